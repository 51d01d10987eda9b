"""The ledger as the chart installs it: what clients were told of their answers is what `genset usage` says, through kills."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from e2e import story
from e2e.scenarios.conftest import LEDGER, take_ledger_away
from e2e.typed import typed
from genset import names
from genset.cli.egress import command as egress
from genset.cli.usage import command as usage
from testbed.house import OPERATOR_NAMESPACE, House, KubectlError

pytestmark = [pytest.mark.timeout(420), pytest.mark.needs_embedded_cluster]
#: Says whether a connection to the ledger is let through, from wherever it runs.
PROBE = "import socket; socket.create_connection(('%s', 8090), 3); print('reached')"


def run(house: House, command: Any, *arguments: str) -> str:
    done = typed(house, command, "--context", house.context, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def total(house: House, *arguments: str) -> dict[str, Any]:
    said = run(house, usage, "-n", OPERATOR_NAMESPACE, "--from", "1d", "-o", "json", *arguments)
    return dict(json.loads(said))


async def asked(url: str, model: str, count: int) -> dict[str, int]:
    """Asks for answers, four at a time, and returns what they say that they used."""
    used = {"requests": 0, "prompt": 0, "completion": 0}
    places = asyncio.Semaphore(4)

    async def one(http: httpx.AsyncClient, number: int) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": f"count {number}"}], "max_tokens": 8}
        async with places:
            answer = (await http.post(f"{url}/v1/chat/completions", json=body)).raise_for_status().json()
        used["requests"] += 1
        used["prompt"] += answer["usage"]["prompt_tokens"]
        used["completion"] += answer["usage"]["completion_tokens"]

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        await asyncio.gather(*(one(http, number) for number in range(count)))
    return used


async def test_usage_is_what_answers_said_through_kills_of_the_ledger(ledger: House) -> None:
    url = ledger.service_url(story.NAMESPACE, f"{story.POLICY}-router")
    before = total(ledger)["total"]
    house, cloud = await asyncio.gather(asked(url, story.HOUSE_FIRST, 40), asked(url, story.CLOUD_FIRST, 20))
    await asyncio.to_thread(take_ledger_away, ledger)
    more = await asked(url, story.HOUSE_FIRST, 30)  # nobody waits for it
    ledger.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "status", f"deployment/{LEDGER}", "--timeout=90s", seconds=100)
    expected = {name: house[name] + cloud[name] + more[name] for name in house}
    deadline = time.monotonic() + 90
    while True:
        after = total(ledger)["total"]
        found = {name: after[name] - before[name] for name in expected}
        if found == expected or time.monotonic() > deadline:
            break
        await asyncio.sleep(1)
    assert found == expected
    rows = {row["zone"]: row for row in total(ledger, "--by", "zone")["rows"]}
    assert rows["house"]["answered"] >= 70
    verified = ledger.kubectl(
        "-n", OPERATOR_NAMESPACE, "exec", f"deployment/{LEDGER}", "--", "genset", "ledger", "verify"
    )
    assert "Head of the chain" in verified and "Wrong" not in verified
    assert run(ledger, egress, "-n", story.NAMESPACE) is not None


def test_only_routers_reach_it(ledger: House) -> None:
    address = ledger.service_url(OPERATOR_NAMESPACE, LEDGER).removeprefix("http://").rpartition(":")[0]
    policy, component = names.LABEL_ROUTE_POLICY, names.LABEL_COMPONENT
    router = ledger.list("pods", story.NAMESPACE, f"{policy}={story.POLICY},{component}={names.COMPONENT_ROUTER}")[0]
    operator = ledger.list("pods", OPERATOR_NAMESPACE, f"{names.LABEL_OPERATOR}={names.OPERATOR}")[0]

    def tries(pod: Any) -> str:
        at = ("-n", pod["metadata"]["namespace"], "exec", pod["metadata"]["name"], "--")
        try:
            return ledger.kubectl(*at, "/opt/genset/bin/python3", "-c", PROBE % address).strip()
        except KubectlError as problem:
            return str(problem).splitlines()[-1]

    assert tries(router) == "reached"
    assert "reached" not in tries(operator)
