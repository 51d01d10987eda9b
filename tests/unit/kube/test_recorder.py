"""Events: said once, counted after, never too many, never in the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from genset.kube.client import ApiServer
from genset.kube.metrics import Metrics
from genset.kube.recorder import BURST, LONGEST_NOTE, Recorder
from tests.support.kube_server import FakeApiServer, refusal


def about(name: str = "house", uid: str = "u1") -> dict[str, Any]:
    return {
        "apiVersion": "genset.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "models", "uid": uid},
    }


class Desk:
    """A recorder with a clock in the test's hand."""

    def __init__(self, api: ApiServer, server: FakeApiServer) -> None:
        self.server, self.clock, self.metrics = server, 1000.0, Metrics()
        self.recorder = Recorder(api, self.metrics, "pod-1", monotonic=lambda: self.clock)

    async def settled(self, count: int) -> None:
        """Until so many events have been dealt with."""

        def total() -> float:
            results = ("created", "counted", "limited", "failed", "dropped")
            sample = self.metrics.registry.get_sample_value
            return sum(sample("genset_events_total", {"result": result}) or 0 for result in results)

        async with asyncio.timeout(5):
            while total() < count:
                await asyncio.sleep(0.005)

    def posts(self) -> int:
        return sum(method == "POST" for method, _ in self.server.requests)


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    server = FakeApiServer()
    async with server.listening() as configuration:
        api = ApiServer(configuration, Metrics(), attempts=1)
        made = Desk(api, server)
        task = asyncio.create_task(made.recorder.run())
        try:
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await api.close()


async def test_an_event_says_what_happened_to_whom() -> None:
    async with desk() as made:
        made.recorder.record(about(), "Warning", "SecretNotFound", "x" * 5000)
        await made.settled(1)
        (event,) = made.server.objects.values()
        assert event["regarding"]["name"] == "house" and event["regarding"]["uid"] == "u1"
        assert (event["type"], event["reason"], event["reportingInstance"]) == ("Warning", "SecretNotFound", "pod-1")
        assert len(event["note"]) == LONGEST_NOTE and event["note"].endswith("…")


async def test_the_same_again_is_counted_at_most_once_a_minute() -> None:
    async with desk() as made:
        for _ in range(10):
            made.recorder.record(about(), "Normal", "Ready", "it serves")
        await made.settled(10)
        assert made.posts() == 1 and len(made.server.requests) == 1
        made.clock += 61
        made.recorder.record(about(), "Normal", "Ready", "it serves")
        await made.settled(11)
        assert [method for method, _ in made.server.requests] == ["POST", "PATCH"]
        made.clock += 3600
        made.recorder.record(about(), "Normal", "Ready", "it serves")
        await made.settled(12)
        assert made.posts() == 2, "much later it is a new event"


async def test_an_object_that_flaps_has_a_budget_and_others_are_free() -> None:
    async with desk() as made:
        for number in range(BURST * 2):
            made.recorder.record(about(), "Warning", "CrashLoop", f"restart {number}")
        await made.settled(BURST * 2)
        assert made.posts() == BURST
        made.recorder.record(about("other", "u2"), "Normal", "Ready", "it serves")
        await made.settled(BURST * 2 + 1)
        assert made.posts() == BURST + 1
        made.clock += 60
        made.recorder.record(about(), "Warning", "CrashLoop", "again")
        await made.settled(BURST * 2 + 2)
        assert made.posts() == BURST + 2, "a token comes back each minute"


async def test_a_refused_event_is_no_matter_and_may_come_again() -> None:
    async with desk() as made:
        made.server.answer = lambda *_: refusal(403, "Forbidden", "namespace is being terminated")
        made.recorder.record(about(), "Normal", "Ready", "it serves")
        await made.settled(1)
        made.server.answer = lambda *_: None
        made.recorder.record(about(), "Normal", "Ready", "it serves")
        await made.settled(2)
        assert len(made.server.objects) == 1
