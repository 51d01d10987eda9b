"""A soak finds out what the router can do, keeps it at half of that under faults, and judges every answer.

The load has two parts. Judged clients read streams and whole answers token by token, while two of three upstreams fail
at random. They cost more than the router does, so the benchmark's generator adds requests that meet no fault, until the
router uses half of the processor time that it uses at its limit.

The upstream of the generator pauses every now and then, and thousands of requests wait in the router for it. The
longest pauses come before memory is measured: an allocator keeps what the busiest moment took, so memory after such
moments shows what leaks, and memory before them shows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.soak import rig
from testbed.soak.callers import SHOWN_PROBLEMS, Callers, Tally
from testbed.soak.steady import MOST_CONNECTIONS, Kept, Steady, steady
from testbed.upstream import client

CALLERS = 256
CALIBRATING_CALLERS = 32
SHARE_OF_CAPACITY = 0.5
JUDGED_SHARE = 0.35  # of what judged clients and their upstreams can do: the rest of the machine is for the steady load
GROWTH = 1.05  # times the RSS after warm-up, which RSS at the end may be ...
GROWTH_KIB = 4096  # ... and what an allocator may keep besides
SAMPLE_SECONDS = 1.0
REPORT_SECONDS = 30.0
PAUSES = 15  # of the steady upstream, per soak
PAUSE_SECONDS = 0.4  # after warm-up; before that, until all connections of the steady load wait
SETTLE_SECONDS = 20.0  # until the router has closed what the last clients and upstreams left

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A plan says how long each part lasts, in seconds.

    `full`: with the steady load; without it, at half of what the judged clients can do.
    """

    calibrate: float
    warm_up: float
    soak: float
    full: bool = True
    seed: int = 20261121

    @classmethod
    def of_minutes(cls, minutes: float, seed: int) -> Plan:
        seconds = minutes * 60
        return cls(min(10.0, seconds / 10), seconds / 3, seconds, seed=seed)


@dataclass
class Load:
    """A load is what was measured without faults, and what follows from it, in requests per second and router cores."""

    capacity: float | None  # of the router, by the benchmark's generator
    cores_at_capacity: float
    judged_capacity: float  # of judged clients, router and scripted upstreams together
    judged: float
    steady: float

    def __str__(self) -> str:
        judged = f"{self.judged:.0f} judged requests/s of {self.judged_capacity:.0f} that clients and upstreams can do"
        if self.capacity is None:
            return judged
        return (
            f"{judged}, and {self.steady:.0f} steady ones; the router can do {self.capacity:.0f} of those "
            f"with {self.cores_at_capacity:.2f} cores"
        )


@dataclass
class Summary:
    """A summary is what a soak showed. RSS in KiB, cores of the router."""

    load: Load
    cores: float
    tally: Tally
    steady: Kept
    first_rss: int  # median of a while after warm-up
    last_rss: int
    most_rss: int
    files_before: int
    files_most: int
    files_after: int
    counts: dict[str, float]

    def violations(self) -> list[str]:
        """Lists what must not be; empty for a soak that passed."""
        found = [f"{len(self.tally.problems)} answers were lost, cut or wrong"] if self.tally.problems else []
        if self.steady.errors:
            found.append(f"requests that met no fault failed: {self.steady.errors}")
        if self.last_rss > self.first_rss * GROWTH + GROWTH_KIB:
            found.append(f"memory grew from {self.first_rss} to {self.last_rss} KiB")
        if self.files_after > self.files_before:
            found.append(f"{self.files_after - self.files_before} file descriptors were left open")
        if not self.tally.whole:
            found.append("no request was answered")
        return found

    def lines(self) -> list[str]:
        """Returns lines for people."""
        told = ", ".join(f"{name} {value:.0f}" for name, value in sorted(self.counts.items()))
        return [
            f"load          {self.load}",
            f"router        used {self.cores:.2f} cores",
            f"judged        {self.tally}; slowest {self.tally.slowest:.2f} s",
            f"steady        {self.steady.requests} answered, {sum(self.steady.errors.values())} failed; "
            f"{self.steady.requests / max(1.0, self.steady.seconds):.0f} requests/s",
            f"first by      {dict(sorted(self.tally.backends.items()))}",
            f"router saw    {told}",
            f"memory        {self.first_rss / 1024:.1f} MB after warm-up, {self.last_rss / 1024:.1f} MB at the end, "
            f"{self.most_rss / 1024:.1f} MB at most",
            f"descriptors   {self.files_before} before, {self.files_most} at most, {self.files_after} after",
        ]


async def soak(plan: Plan, folder: Path, say: Say) -> Summary:
    """Runs the whole soak. `folder` takes configuration and logs."""
    async with contextlib.AsyncExitStack() as stack:
        ports, weather = await stack.enter_async_context(rig.upstreams(plan.seed, folder))
        extra = await stack.enter_async_context(steady()) if plan.full else None
        config = rig.configuration(ports, extra.upstream_port if extra else None)
        router = await stack.enter_async_context(rig.router(config, folder))
        await client.request(f"http://127.0.0.1:{router.port}/v1/models")
        await router.admin_page("/metrics")
        files_before = router.files()
        load = await _calibrate(plan, router, extra)
        say(str(load))
        weather("fair")
        tally, began, used = Tally(), time.monotonic(), router.cpu_seconds()
        keeping = asyncio.create_task(extra.keep(router.port, load.steady, plan.soak)) if extra else None
        beside = [asyncio.create_task(_watch(router, tally, began, say))]
        if extra:
            beside.append(asyncio.create_task(_pause_often(extra, load.steady, plan)))
        try:
            await Callers(router.port, CALLERS, plan.seed + 1, tally).run(plan.soak, load.judged)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        cores = (router.cpu_seconds() - used) / (time.monotonic() - began)
        others = await keeping if keeping else Kept()
        counts = await router.counts()
        weather("")  # the upstreams end, and with them the connections that the router keeps to them
        if extra:
            await extra.end()
        settled = router.rss[int(plan.warm_up / SAMPLE_SECONDS) :] or router.rss
        some = max(1, len(settled) // 10)
        first, last = int(statistics.median(settled[:some])), int(statistics.median(settled[-some:]))
        after = await _files_left(router, files_before)
        return Summary(
            load, cores, tally, others, first, last, max(settled), files_before, max(router.open_files), after, counts
        )


async def _calibrate(plan: Plan, router: rig.RouterProcess, extra: Steady | None) -> Load:
    calm = Tally()
    used = router.cpu_seconds()
    judged_capacity = await Callers(router.port, CALIBRATING_CALLERS, plan.seed, calm).run(plan.calibrate)
    assert not calm.problems, f"answers were lost without any fault: {calm.problems[:3]}"
    if extra is None:
        return Load(None, 0.0, judged_capacity, judged_capacity * SHARE_OF_CAPACITY, 0.0)
    judged = judged_capacity * JUDGED_SHARE
    cores_of_judged = judged * (router.cpu_seconds() - used) / calm.sent
    began, used = time.monotonic(), router.cpu_seconds()
    capacity = await extra.saturate(router.port, plan.calibrate)
    cores = (router.cpu_seconds() - used) / (time.monotonic() - began)
    rest = max(0.0, SHARE_OF_CAPACITY * cores - cores_of_judged)
    return Load(capacity, cores, judged_capacity, judged, capacity * rest / cores)


async def _watch(router: rig.RouterProcess, tally: Tally, began: float, say: Say) -> None:
    told, shown = 0.0, 0
    while True:
        rss, passed = router.sample(), time.monotonic() - began
        for problem in tally.problems[shown:SHOWN_PROBLEMS]:
            say(f"{passed:4.0f} s: LOST {problem}")
        shown = len(tally.problems)
        if passed - told >= REPORT_SECONDS:
            told = passed
            say(f"{passed:4.0f} s: {tally}; router {rss / 1024:.1f} MB, {router.open_files[-1]} descriptors")
        await asyncio.sleep(SAMPLE_SECONDS)


async def _pause_often(extra: Steady, rate: float, plan: Plan) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(plan.soak / PAUSES)
        warming_up = time.monotonic() - began < plan.warm_up
        await extra.pause(1.2 * MOST_CONNECTIONS / rate if warming_up else PAUSE_SECONDS)


async def _files_left(router: rig.RouterProcess, before: int) -> int:
    deadline = time.monotonic() + SETTLE_SECONDS
    while (files := router.files()) > before and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return files
