"""Two operators, one Lease: only one writes, and the other one takes over."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from genset import kinds
from tests.support.integration import samples
from tests.support.integration.process import Process
from tests.support.integration.world import SETTINGS, World


@asynccontextmanager
async def processes(world: World, folder: Path, *names: str) -> AsyncIterator[dict[str, Process]]:
    """Operators for the world's namespace, with one Lease among them."""
    lease = f"lease-{uuid.uuid4().hex[:8]}"
    started = {name: Process(world, folder, name, lease, "--namespace", world.namespace) for name in names}
    try:
        yield started
    finally:
        for process in started.values():
            process.end()


async def _ports(process: Process) -> list[int]:
    return process.ports()


async def _leader(world: World, started: dict[str, Process]) -> str:
    """Who says that it became leader and still runs."""

    async def leading() -> str | None:
        for name, process in started.items():
            assert process.process.poll() in (None, -signal.SIGKILL, 0), process.log.read_text()
            if process.process.poll() is None and any(line.startswith("Became leader") for line in process.lines()):
                return name
        return None

    name: str = await world.until("one operator leads", leading)
    return name


def _writers(world: World, since: int) -> list[tuple[float, str]]:
    """(time, source port and agent) of writes to the world's namespace."""
    return [
        (event["requestReceivedTimestamp"], event["objectRef"]["name"])
        for event in world.plane.writes(since, "genset-operator")
        if event["objectRef"].get("namespace") == world.namespace
    ]


async def test_the_other_one_takes_over_when_the_leader_is_killed(world: World, tmp_path: Path) -> None:
    async with processes(world, tmp_path, "one", "two") as started:
        first = await _leader(world, started)
        second = ({"one", "two"} - {first}).pop()
        await world.apply(samples.model_deployment(world.namespace, "before"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "before", "Accepted", "True")
        assert not any(line.startswith(("Applied", "Became")) for line in started[second].lines())
        (health,) = await world.until("the follower listens", lambda: _ports(started[second]))
        async with httpx.AsyncClient(trust_env=False) as client:

            async def is_ready() -> bool:
                return (await client.get(f"http://127.0.0.1:{health}/readyz")).status_code == httpx.codes.OK

            await world.until("a follower is ready", is_ready)

        killed = time.monotonic()
        started[first].end(signal.SIGKILL)
        await world.apply(samples.model_deployment(world.namespace, "after"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "after", "Accepted", "True")
        print(f"\nleader killed -> the other one has reconciled: {time.monotonic() - killed:.1f} s (Lease of 4 s)")
        assert sum(line.startswith("Became leader") for line in started[second].lines()) == 1


async def test_sigterm_is_fast_and_gives_the_lease_back(world: World, tmp_path: Path) -> None:
    async with processes(world, tmp_path, "one", "two") as started:
        first = await _leader(world, started)
        second = ({"one", "two"} - {first}).pop()
        await world.apply(samples.model_deployment(world.namespace, "before"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "before", "Accepted", "True")
        took = await asyncio.to_thread(started[first].end, signal.SIGTERM)
        assert started[first].process.returncode == 0, started[first].log.read_text()
        assert "Gave the Lease back" in started[first].lines()
        assert took < 3
        began = time.monotonic()

        async def took_over() -> bool:
            return any(line.startswith("Became leader") for line in started[second].lines())

        await world.until("the other one leads", took_over)
        waited = time.monotonic() - began
        print(f"\nSIGTERM -> stopped: {took:.2f} s; the other one led after {waited:.2f} s more")
        assert waited < 3, "it need not wait for the Lease to expire"
        assert "Traceback" not in started[first].log.read_text()


async def test_a_leader_that_cannot_renew_stops_writing(world: World, tmp_path: Path) -> None:
    """Its Lease is taken away behind its back: from then on not one write."""
    async with processes(world, tmp_path, "one") as started:
        await _leader(world, started)
        await world.apply(samples.model_deployment(world.namespace, "before"))
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "before", "Accepted", "True")
        taken = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}}
        await world.api.merge_patch(
            kinds.LEASE, SETTINGS.operator_namespace, started["one"].lease, taken, field_manager="test"
        )

        async def lost() -> bool:
            return any(line.startswith("Lost the Lease") for line in started["one"].lines())

        await world.until("the leader notices", lost)
        since = world.plane.audit_position()
        await world.apply(samples.model_deployment(world.namespace, "after"))
        await asyncio.sleep(2)
        assert _writers(world, since) == []
        assert await world.get(kinds.DEPLOYMENT, "after") is None
        assert started["one"].process.poll() is None, "it waits for its turn"
