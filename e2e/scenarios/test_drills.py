"""Drills on a real cluster under a load: what status says is what clients measure, nobody is lost, evidence can be checked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import story
from e2e.load import Answer, Load
from e2e.policies import served
from e2e.typed import typed
from e2e.world import World, until
from genset.cli.drill import command as drill
from testbed.house import OPERATOR_NAMESPACE, House
from testbed.resources import route_policy

pytestmark = [pytest.mark.timeout(420), pytest.mark.needs_embedded_cluster]
POLICY = "drilled"
MODELS = {"Cloud": "count-cloud", "House": "count-house"}  # the model whose route asks this side first
FIRST_TOKEN_SECONDS = 3  # which is what a slow backend costs until it is passed over
LOOK_SECONDS = 0.05  # a router looks at its drill every 20 ms, and a client on a busy machine is as late
EXIT = {"Passed": 0, "Missed": 1, "Aborted": 2}


def drill_of(name: str, side: str, fault: str, *, live: int = 0, seconds: int = 6) -> dict[str, Any]:
    objective = {"rtoSeconds": 2 * FIRST_TOKEN_SECONDS, "lost": 0}
    made = {"name": name, "take": {"side": side}, "fault": fault, "forSeconds": seconds, "objective": objective}
    return {**made, "impact": "Live", "share": live} if live else made


DRILLS = [
    drill_of("cloud-slow", "Cloud", "SlowFirstToken", live=100),
    drill_of("house-slow", "House", "SlowFirstToken", live=100),
    drill_of("cloud-suspended", "Cloud", "Suspended"),
    drill_of("house-cut", "House", "CutStream"),
    drill_of("long", "House", "Refused", live=50, seconds=300),
]


@asynccontextmanager
async def drilled(world: World) -> AsyncIterator[str]:
    """A policy with a route for each side; its router's URL."""
    frontier = next(b for b in world.sample("RoutePolicy", story.POLICY)["spec"]["backends"] if b["name"] == "frontier")
    backends = [frontier, {"name": "house", "deployment": {"name": story.DEPLOYMENT}}]
    made = route_policy(story.NAMESPACE, POLICY, backends, continuity={"allowLiveDrills": True}, drills=DRILLS)
    made["spec"]["router"]["replicas"] = 1
    made["spec"]["routes"] = [
        {
            "name": side.lower(),
            "match": {"models": [model]},
            "tiers": [{"backends": [{"name": name}]} for name in order],
            "failover": {"firstTokenSeconds": FIRST_TOKEN_SECONDS},
        }
        for (side, model), order in zip(MODELS.items(), (("frontier", "house"), ("house", "frontier")), strict=True)
    ]
    async with served(world, made) as url:
        yield url


def genset_drill(house: House, *arguments: str) -> tuple[int, str]:
    """Runs the command as somebody at a terminal does. Returns its exit status and what it has said."""
    done = typed(house, drill, *arguments)
    return done.exit_code, done.output


async def run(house: House, name: str) -> tuple[int, str]:
    arguments = ("run", "-n", story.NAMESPACE, "--context", house.context, POLICY, name, "--watch")
    return await asyncio.to_thread(genset_drill, house, *arguments)


def told(house: House, name: str) -> dict[str, Any]:
    found = house.get("rp", story.NAMESPACE, POLICY) or {}
    return next((one for one in found["status"].get("drills", ()) if one["name"] == name), {})


def nobody_lost(load: Load) -> list[Answer]:
    assert not load.lost, load.lost[:3]
    return load.answers


@asynccontextmanager
async def loaded(url: str, side: str) -> AsyncIterator[Load]:
    async with Load(url, MODELS[side], tokens=6, clients=6) as load:
        await load.until_answered_by("frontier" if side == "Cloud" else "house", since=0, seconds=30)
        yield load


async def test_drills_under_a_load(world: World, ledger: House, tmp_path: Path) -> None:
    house = ledger
    async with drilled(world) as url:
        for name in ("cloud-slow", "house-slow"):
            await as_a_client_measures(house, url, name)
        for name in ("cloud-suspended", "house-cut"):
            await unnoticed(house, url, name)
        await asyncio.to_thread(evidence_holds, house, tmp_path)
        await the_leader_is_killed(house, url)
        await the_cloud_really_goes(world, url)


async def as_a_client_measures(house: House, url: str, name: str) -> None:
    """The time that status tells is that of a client who knows nothing of the drill but his answers' header."""
    side = name.partition("-")[0].capitalize()
    async with loaded(url, side) as load:
        code, said = await run(house, name)
    answers = nobody_lost(load)
    last = told(house, name)["last"]
    assert (code, last["outcome"]) == (0, "Passed"), said
    met = [answer for answer in answers if answer.drill == name]
    assert len(met) >= 6 and last["requests"]["live"] <= len(met), (len(met), last)
    assert {answer.backend for answer in met} == {"house" if side == "Cloud" else "frontier"}
    measured = min(answer.first_byte for answer in met) - min(answer.started for answer in met)
    assert abs(last["rtoSeconds"] - measured) <= 0.1 * measured + LOOK_SECONDS, (last, measured)
    assert measured < FIRST_TOKEN_SECONDS + 1, measured


async def unnoticed(house: House, url: str, name: str) -> None:
    """Without impact Live no client meets anything."""
    side = name.partition("-")[0].capitalize()
    async with loaded(url, side) as load:
        code, said = await run(house, name)
    answers = nobody_lost(load)
    assert code == 0, said
    assert {answer.backend for answer in answers} == {"frontier" if side == "Cloud" else "house"}
    assert not any(answer.drill for answer in answers)
    assert "live" not in told(house, name)["last"]["requests"]


def evidence_holds(house: House, folder: Path) -> None:
    """What the ledger has is whole, and one changed number is found."""
    file, wrong = folder / "evidence.json", folder / "wrong.json"
    policy = f"{story.NAMESPACE}/{POLICY}"
    wanted = ("--evidence", str(file), "--policy", policy, "--ledger", OPERATOR_NAMESPACE, "--context", house.context)
    deadline = time.monotonic() + 30
    while True:
        code, said = genset_drill(house, *wanted)
        if code == 0 and len(json.loads(file.read_text())["runs"]) == 4:
            break
        assert time.monotonic() < deadline, said
        time.sleep(1)
    head = (house.get("rp", story.NAMESPACE, POLICY) or {})["status"]["drillEvidence"]
    code, said = genset_drill(house, "--verify", str(file), "--head", head)
    assert code == 0 and "unproved" not in said, said
    text = file.read_text()
    made = json.loads(text)
    record = json.loads(made["runs"][1]["records"][0])
    record["measured"]["rto"] = 0.001
    made["runs"][1]["records"][0] = json.dumps(record)
    wrong.write_text(json.dumps(made))
    code, said = genset_drill(house, "--verify", str(wrong))
    assert code == 1 and "BROKEN" in said, said


@asynccontextmanager
async def in_mid_drill(house: House, url: str) -> AsyncIterator[Load]:
    """The long drill runs, half of the requests meet it, and this way ends it."""
    async with loaded(url, "House") as load:
        asked = ("run", "-n", story.NAMESPACE, "--context", house.context, POLICY, "long")
        assert (await asyncio.to_thread(genset_drill, house, *asked))[0] == 0
        await until(lambda: (told(house, "long").get("running") or {}).get("phase") == "Fault", "the fault", seconds=60)
        await load.until_answered_by("frontier", since=0, seconds=20)
        yield load
    nobody_lost(load)
    assert any(answer.drill == "long" for answer in load.answers)


async def aborted(house: House, seconds: float) -> str:
    await until(lambda: "running" not in told(house, "long"), "the end of the drill", seconds=seconds)
    last = told(house, "long")["last"]
    assert last["outcome"] == "Aborted", last
    return str(last["message"])


async def the_leader_is_killed(house: House, url: str) -> None:
    async with in_mid_drill(house, url) as load:
        lease = house.get("lease", OPERATOR_NAMESPACE, "genset-operator") or {}
        leader = str(lease["spec"]["holderIdentity"]).partition("_")[0]
        house.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pod", leader, "--force", "--grace-period=0")
        assert await aborted(house, 90) == "another operator leads now"
        await load.until_answered_by("house", since=time.monotonic(), seconds=20)


async def the_cloud_really_goes(world: World, url: str) -> None:
    """Those of the drill that go to the cloud find it gone, and go back."""
    async with in_mid_drill(world.house, url) as load:
        world.cloud.kill()
        try:
            assert "a real outage" in await aborted(world.house, 60)
            since = time.monotonic()
            await load.until_answered_by("house", since=since, seconds=20)
        finally:
            world.cloud.start()
