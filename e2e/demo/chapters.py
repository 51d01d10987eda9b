"""The demo's second half: what the policy survives, a drill that proves it, a data zone that refuses, and what it cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import httpx

from e2e import story
from e2e.demo.printing import Printer
from e2e.typed import shell
from e2e.world import World

DRILL = {
    "name": "cloud-gone",
    "take": {"side": "Cloud"},
    "fault": "Refused",
    "forSeconds": 5,
    "probes": {"perSecond": 4, "prompt": "count"},
    "objective": {"rtoSeconds": 5, "lost": 0},
}
PRICE = {"inputPerMillion": "3", "outputPerMillion": "15", "currency": "USD"}


def policy(world: World) -> dict[str, Any]:
    """Returns the sample policy with a drill, and with a price of its cloud."""
    found = world.sample("RoutePolicy", story.POLICY)
    spec = {**found["spec"], "drills": [DRILL]}
    spec["backends"] = [
        {**one, "cloud": {**one["cloud"], "price": PRICE}} if one["name"] == story.FRONTIER else one
        for one in spec["backends"]
    ]
    return {**found, "spec": spec}


def prepared(world: World, printer: Printer) -> None:
    """The policy gets both, and running routers take them."""
    printer.title("f. The policy says what its cloud costs, and how to take it away in peace")
    before = (world.house.get("rp", story.NAMESPACE, story.POLICY) or {})["status"]["observedGeneration"]
    world.house.apply(policy(world))
    deadline = time.monotonic() + 60
    while True:
        status = (world.house.get("rp", story.NAMESPACE, story.POLICY) or {})["status"]
        if status["observedGeneration"] > before:
            break
        if time.monotonic() > deadline:
            raise TimeoutError("the operator did not look at the changed policy within 60 s")
        time.sleep(0.2)
    world.house.until("rp", story.NAMESPACE, story.POLICY, "Programmed", seconds=60)
    printer.done("Applied the RoutePolicy with `drills` and `cloud.price`: no router was restarted")
    printer.output("genset coverage -n models", genset(world, "coverage", "-n", story.NAMESPACE, fails=(0, 1)))


def drilled(world: World, printer: Printer) -> None:
    printer.title("g. A drill: the cloud is gone, for the drill's own requests alone")
    told = genset(world, "drill", "run", "-n", story.NAMESPACE, story.POLICY, str(DRILL["name"]), "--watch")
    printer.output(f"genset drill run -n models {story.POLICY} {DRILL['name']} --watch", told)
    printer.done(
        "The drill was passed; `status.drills` and an Event have its numbers, and the ledger its evidence where there is one"
    )


def refused(world: World, printer: Printer) -> None:
    printer.title("h. A data zone: what may not leave the house does not")
    kept = _asked(world, {"x-genset-data-zones": "house"})
    if kept.status_code != 200 or kept.headers["x-genset-backend"] != story.HOUSE:
        raise RuntimeError(
            f"a request that may stay in the house alone was answered {kept.status_code}: {kept.text[:200]}"
        )
    printer.done("With `x-genset-data-zones: house` the model that prefers the cloud is answered by the house")
    nowhere = _asked(world, {"x-genset-data-zones": "eu"})
    if nowhere.status_code != 403:
        raise RuntimeError(
            f"a request with no backend in its zones was answered {nowhere.status_code}: {nowhere.text[:200]}"
        )
    printer.done(f"With `eu`, where nobody is: 403, {nowhere.json()['error']['message']}")


def paid(world: World, printer: Printer) -> None:
    printer.title("i. What it cost, and what became of it")
    answer = _asked(world, {}).raise_for_status()
    printer.done(f"Answered by {answer.headers['x-genset-backend']} for {answer.headers['x-genset-cost']}")
    request = answer.headers["x-request-id"]
    deadline = time.monotonic() + 10
    while not (
        trail := genset(world, "logs", "-n", story.NAMESPACE, request, fails=(0, 1))
    ):  # a line is written in a moment
        if time.monotonic() > deadline:
            raise TimeoutError(f"no router's log has request {request}")
        time.sleep(0.3)
    printer.output(f"genset logs -n models {request}", trail)
    printer.output("genset status", genset(world, "status", "-n", story.NAMESPACE, fails=(0, 1)))


def genset(world: World, *arguments: str, fails: tuple[int, ...] = (0,)) -> str:
    """Returns what the command prints. Raises RuntimeError if it ends with another status than those of `fails`."""
    env = {**os.environ, **shell(world.house)}
    command = [sys.executable, "-m", "genset", *arguments, "--context", world.house.context]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode not in fails:
        raise RuntimeError(
            f"genset {' '.join(arguments)} ended with status {done.returncode}: {done.stderr or done.stdout}"
        )
    return done.stdout.rstrip()


def _asked(world: World, headers: dict[str, str]) -> httpx.Response:
    body = {"model": story.CLOUD_FIRST, "max_tokens": 20, "messages": [{"role": "user", "content": "count"}]}
    with httpx.Client(timeout=60, trust_env=False) as http:
        return http.post(f"{world.router_url}/chat/completions", json=body, headers=headers)
