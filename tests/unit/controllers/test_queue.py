"""The work queue: no key lost, none twice at once, failures come again later."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from genset.controllers.queue import WorkQueue
from genset.kube.metrics import Metrics


def make(**settings: float) -> WorkQueue[str]:
    return WorkQueue(Metrics(), rng=random.Random(1), **settings)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Working:
    """Workers that run `body` for each key, until the block ends."""

    def __init__(self, queue: WorkQueue[str], body: Callable[[str], Awaitable[None]], workers: int = 4) -> None:
        self._queue, self._body, self._workers = queue, body, workers

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._queue.run(self._workers, self._body))

    async def __aexit__(self, *_: object) -> None:
        self._queue.close()
        await asyncio.wait_for(self._task, 2)


async def test_a_key_that_waits_is_added_once() -> None:
    queue, seen = make(), Counter[str]()

    async def body(key: str) -> None:
        seen[key] += 1

    for _ in range(5):
        queue.add("a")
    async with Working(queue, body):
        await until(lambda: queue.idle)
    assert seen == {"a": 1}


async def test_a_key_is_never_worked_on_twice_at_once_and_runs_again_after() -> None:
    queue, running, most, runs = make(), Counter[str](), Counter[str](), Counter[str]()

    async def body(key: str) -> None:
        running[key] += 1
        most[key] = max(most[key], running[key])
        await asyncio.sleep(0.01)
        running[key] -= 1
        runs[key] += 1

    async with Working(queue, body, workers=8):
        queue.add("a")
        await until(lambda: running["a"] == 1)
        for _ in range(3):
            queue.add("a")
        await until(lambda: queue.idle)
    assert most == {"a": 1}
    assert runs == {"a": 2}, "added while running: once more, not three times"


async def test_many_keys_from_many_tasks() -> None:
    """Whatever is added last is seen by a run that began after it."""
    queue, world, seen = make(), Counter[str](), {}
    rng = random.Random(3)

    async def body(key: str) -> None:
        value = world[key]
        await asyncio.sleep(rng.random() * 0.003)
        seen[key] = value

    async def change(key: str) -> None:
        for _ in range(20):
            world[key] += 1
            queue.add(key, background=rng.random() < 0.5)
            await asyncio.sleep(rng.random() * 0.004)

    async with Working(queue, body, workers=5):
        await asyncio.gather(*(change(f"k{number}") for number in range(30)))
        await until(lambda: queue.idle)
    assert seen == world


async def test_a_persons_change_does_not_wait_behind_a_resync() -> None:
    queue, order = make(), list[str]()

    async def body(key: str) -> None:
        order.append(key)

    for number in range(50):
        queue.add(f"fleet-{number}", background=True)
    queue.add("fleet-49")
    queue.add("changed")
    async with Working(queue, body, workers=1):
        await until(lambda: queue.idle)
    assert order[:2] == ["fleet-49", "changed"] and len(order) == 51


async def test_an_unexpected_error_is_retried_with_growing_delays(caplog: pytest.LogCaptureFixture) -> None:
    queue, times = make(first_backoff=0.02, longest_backoff=0.05), list[float]()

    async def body(_: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 5:
            raise KeyError("a bug")

    async with Working(queue, body):
        queue.add("a")
        await until(lambda: len(times) == 5 and queue.idle)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 0.015 and gaps[1] > gaps[0] and max(gaps) < 0.5
    assert "a bug" in caplog.text


async def test_backoff_is_capped_and_forgotten_after_success() -> None:
    queue = make(first_backoff=0.25, longest_backoff=60)
    delays = [queue.retry("a") for _ in range(40)]
    assert 0.2 <= delays[0] <= 0.3 and 48 <= delays[-1] <= 72
    queue.forget("a")
    assert queue.retry("a") <= 0.3
    queue.close()


async def test_the_earliest_delay_wins_and_an_add_overtakes_it() -> None:
    queue, times = make(), list[float]()
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def body(_: str) -> None:
        times.append(loop.time() - began)

    async with Working(queue, body):
        queue.add("a", 30)
        queue.add("a", 0.05)
        queue.add("a", 20)
        await until(lambda: len(times) == 1)
        assert 0.04 <= times[0] < 1
        queue.add("a", 30)
        queue.add("a")
        await until(lambda: len(times) == 2)
    assert times[1] < 2


async def test_stall_is_told_with_the_key() -> None:
    queue = make(stall_seconds=0.05)
    stuck = asyncio.Event()

    async def body(_: str) -> None:
        await stuck.wait()

    async with Working(queue, body, workers=1):
        assert queue.stalled() is None
        queue.add("models/house")
        queue.add("models/other")
        # The second one waits a moment longer than the first is in work: it may be told of first.
        await until(lambda: "models/house has been in work" in (queue.stalled() or ""))
        stuck.set()
        await until(lambda: queue.idle)
        assert queue.stalled() is None


async def test_close_ends_idle_workers_and_drops_what_waits() -> None:
    queue, seen = make(), list[str]()

    async def body(key: str) -> None:
        seen.append(key)

    task = asyncio.create_task(queue.run(3, body))
    await asyncio.sleep(0)
    queue.add("later", 0.01)
    queue.close()
    queue.add("too late")
    await asyncio.wait_for(task, 1)
    await asyncio.sleep(0.03)
    assert seen == []


async def test_cancelled_workers_lose_no_wake_up() -> None:
    """A worker that is woken and cancelled in the same moment passes the key on."""
    queue, seen = make(), list[str]()

    async def body(key: str) -> None:
        seen.append(key)

    first = asyncio.create_task(queue.run(1, body))
    second = asyncio.create_task(queue.run(1, body))
    await asyncio.sleep(0.01)
    queue.add("a")
    first.cancel()
    await until(lambda: seen == ["a"])
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_metrics_follow() -> None:
    queue = make()
    queue.add("a")
    queue.add("b", background=True)
    queue.add("c", 60)
    sample = queue.metrics.registry.get_sample_value
    assert (sample("genset_workqueue_depth"), sample("genset_workqueue_delayed")) == (2, 1)
    queue.close()
    assert (sample("genset_workqueue_depth"), sample("genset_workqueue_delayed")) == (0, 0)
