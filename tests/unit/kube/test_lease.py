"""Leader election: one leader at a time, quick after a clean stop, sure after a loss."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from genset.kube.client import ApiServer
from genset.kube.lease import LeaderElection, OwnPod, Timings
from genset.kube.metrics import Metrics
from tests.support.kube_server import FakeApiServer, refusal

TIMINGS = Timings(lease_duration=1.0, renew_deadline=0.5, retry_period=0.1, stop_limit=0.5)
PATH = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"


class Candidate:
    """An election and what it led to."""

    def __init__(self, api: ApiServer, name: str) -> None:
        self.election = LeaderElection(
            api,
            Metrics(),
            namespace="n",
            name="l",
            identity=name,
            timings=TIMINGS,
            rng=random.Random(name),
            pod=OwnPod(f"pod-of-{name}", f"uid-of-{name}"),
        )
        self.name = name
        self.leading = False
        self.terms = 0
        self.ended_at = 0.0
        self.task = asyncio.create_task(self.election.run(self._lead), name=name)

    async def _lead(self) -> None:
        self.leading, self.terms = True, self.terms + 1
        try:
            await asyncio.Event().wait()
        finally:
            self.leading, self.ended_at = False, asyncio.get_running_loop().time()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


class Field:
    """Candidates before one fake API server."""

    async def __aenter__(self) -> Field:
        self.server = FakeApiServer()
        self._listening = self.server.listening()
        self._configuration = await self._listening.__aenter__()
        self.candidates: list[Candidate] = []
        self._apis: list[ApiServer] = []
        return self

    def enter(self, name: str) -> Candidate:
        api = ApiServer(self._configuration, Metrics())
        self._apis.append(api)
        self.candidates.append(Candidate(api, name))
        return self.candidates[-1]

    async def __aexit__(self, *error: object) -> None:
        for candidate in self.candidates:
            await candidate.stop()
        for api in self._apis:
            await api.close()
        await self._listening.__aexit__(*error)

    @property
    def owners(self) -> list[str]:
        return [str(owner["uid"]) for owner in self.server.objects[PATH]["metadata"].get("ownerReferences") or ()]

    @property
    def holder(self) -> str:
        return str(self.server.objects[PATH]["spec"]["holderIdentity"])


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_exactly_one_leads() -> None:
    async with Field() as field:
        candidates = [field.enter(f"c{number}") for number in range(4)]
        await until(lambda: any(item.leading for item in candidates))
        for _ in range(30):
            assert sum(item.leading for item in candidates) == 1
            assert [item.name for item in candidates if item.election.held()] == [field.holder]
            await asyncio.sleep(0.05)


async def test_a_clean_stop_hands_over_at_once() -> None:
    async with Field() as field:
        first = field.enter("first")
        await until(lambda: first.leading)
        second = field.enter("second")
        await asyncio.sleep(0.2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await first.stop()
        assert field.holder == ""
        await until(lambda: second.leading)
        assert loop.time() - began < TIMINGS.lease_duration / 2
        assert field.server.objects[PATH]["spec"]["leaseTransitions"] >= 1


async def test_a_vanished_leader_is_replaced_after_the_lease_and_not_before() -> None:
    async with Field() as field:
        first = field.enter("first")
        await until(lambda: first.leading)
        # It vanishes: nothing of it reaches the server any more, not even the giving back.
        field.server.answer = lambda request, _: (
            refusal(500, "InternalError") if "first" in request.headers.get("X-Who", "") else None
        )
        first.election._api._client.default_headers["X-Who"] = "first"
        loop = asyncio.get_running_loop()
        began = loop.time()
        second = field.enter("second")
        await until(lambda: second.leading)
        assert loop.time() - began >= TIMINGS.lease_duration * 0.8
        assert not first.leading and first.ended_at < loop.time(), "the first one had stopped by itself before"
        assert not first.election.held()


async def test_a_leader_without_an_api_server_stops_in_time_and_comes_back() -> None:
    async with Field() as field:
        only = field.enter("only")
        await until(lambda: only.leading)
        field.server.answer = lambda *_: refusal(503, "ServiceUnavailable")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(lambda: not only.leading)
        assert loop.time() - began <= TIMINGS.renew_deadline + 0.3
        assert not only.election.held()
        field.server.answer = lambda *_: None
        await until(lambda: only.leading)
        assert only.terms == 2


async def test_a_lease_taken_by_force_ends_the_term() -> None:
    async with Field() as field:
        first = field.enter("first")
        await until(lambda: first.leading)
        live = field.server.objects[PATH]
        spec = {**live["spec"], "holderIdentity": "somebody", "leaseDurationSeconds": 3600}
        metadata = {**live["metadata"], "resourceVersion": "9999"}
        field.server.objects[PATH] = {**live, "metadata": metadata, "spec": spec}
        await until(lambda: not first.leading)
        await asyncio.sleep(0.3)
        assert field.holder == "somebody", "it is not given back for somebody else"


async def test_a_lease_belongs_to_the_pod_that_holds_it_until_it_is_given_back() -> None:
    async with Field() as field:
        first = field.enter("first")
        await until(lambda: first.leading)
        assert field.owners == ["uid-of-first"]
        await first.stop()
        assert field.owners == [], "it outlives a pod that gave it back"
        second = field.enter("second")
        await until(lambda: second.leading)
        assert field.owners == ["uid-of-second"]


async def test_a_leader_whose_lease_was_removed_makes_another_one_and_leads_on() -> None:
    async with Field() as field:
        first = field.enter("first")
        await until(lambda: first.leading)
        del field.server.objects[PATH]
        await until(lambda: PATH in field.server.objects)
        assert field.holder == "first" and first.election.held() and first.terms == 1


async def test_work_that_fails_is_not_hidden() -> None:
    async with Field() as field:
        candidate = field.enter("first")
        await until(lambda: candidate.leading)
        await candidate.stop()

        async def broken() -> None:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(candidate.election.run(broken), 5)
        assert field.holder == ""


def test_proportions() -> None:
    assert Timings.of(15) == Timings()
