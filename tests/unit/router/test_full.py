"""Full backends: the next tier or the line, who goes first, and how a wait ends. No sockets, no time."""

from __future__ import annotations

import pytest

from genset.router.backends.backend import Backend
from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import Answer, Wait
from tests.support.router.full_backends import FakeWire, busy, cloud, house

# what, backends, the route waits, first decision, decision when the wait is over
ROWS: list[tuple[str, list[Backend], bool, str, str]] = [
    ("next tier: it answers", [house(), cloud()], False, "cloud", ""),
    ("next tier: it is full as well", [house(), cloud(1)], False, "full until 5", "429 router_backend_full"),
    ("next tier: there is none", [house()], False, "full until 5", "429 router_backend_full"),
    ("wait: the next tier only then", [house(), cloud()], True, "full until 5", "cloud"),
    ("wait: one tier after another", [house(queueSeconds=3), cloud(1)], True, "full until 3", "full until 8"),
    ("wait: there is no next tier", [house()], True, "full until 5", "429 router_backend_full"),
    ("no line at all", [house(maxQueued=0)], False, "429 router_backend_full", ""),
    ("no line, but a next tier", [house(maxQueued=0), cloud()], True, "cloud", ""),
    ("each backend's own patience", [house(queueSeconds=3), cloud(1, queueSeconds=7)], False, "full until 7",
     "429 router_backend_full"),
]  # fmt: skip


@pytest.mark.parametrize(("backends", "wait", "first", "then"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_rows(backends: list[Backend], wait: bool, first: str, then: str) -> None:
    for backend in backends:
        busy(backend)
    one = FakeWire(*backends, wait=wait)
    assert one.begin() == first
    assert one.machine.reason == "full"
    if then:
        assert isinstance(one.decision, Wait)
        until = one.decision.until
        assert one.resume(until - 0.1) == first, "the wait ended early"
        assert one.resume(until) == then
    if isinstance(one.decision, Answer):
        assert one.decision.answer.retry_after == min(int(b.line.seconds) for b in backends)
        assert "house: full" in one.decision.answer.message
    waiting = isinstance(one.decision, Wait)
    assert sum(len(backend.line) for backend in backends) == waiting, "somebody who is gone still stands in line"


def test_a_bound_holds_for_each_endpoint() -> None:
    backend = house(pods=2, bound=3)
    asked = [FakeWire(backend) for _ in range(7)]
    assert [one.begin() for one in asked] == ["house"] * 6 + ["full until 5"]
    assert [endpoint.in_flight for endpoint in backend.endpoints] == [3, 3]
    assert backend.numbers.full == backend.numbers.queued == 1


def test_a_free_place_goes_to_the_first_in_line() -> None:
    backend = house()
    holder, *others = (FakeWire(backend) for _ in range(4))
    assert holder.begin() == "house"
    assert [one.begin(1.0) for one in others] == ["full until 6"] * 3
    first, second, third = others
    holder.done(2.0)
    assert [one.woken for one in others] == [True, False, False]
    late = FakeWire(backend)
    assert late.begin(2.0) == "full until 7", "a new request overtook those who wait"
    assert second.resume(2.0) == "full until 6", "the sweep let the second overtake the first"
    assert first.resume(2.0) == "house" and backend.endpoints[0].in_flight == 1
    assert second.woken, "the new first in line was not told"
    assert second.resume(2.0) == "full until 6"
    second.machine.cancelled(3.0)  # its client leaves
    assert third.woken and third.resume(3.0) == "full until 6"
    first.done(4.0)
    assert third.resume(4.0) == "house"
    third.done(5.0)
    assert late.woken and late.resume(5.0) == "house"
    late.done(6.0)
    assert len(backend.line) == 0 and backend.endpoints[0].in_flight == 0
    assert FakeWire(backend).begin(7.0) == "house"


def test_several_places_at_once_reach_several_waiters() -> None:
    backend = house(pods=3)
    holders = [FakeWire(backend) for _ in range(3)]
    assert {one.begin() for one in holders} == {"house"}
    waiters = [FakeWire(backend) for _ in range(4)]
    assert {one.begin() for one in waiters} == {"full until 5"}
    for holder in holders:
        holder.done(1.0)
    went = []
    while any(one.woken for one in waiters):
        for one in waiters:
            if one.woken and one.resume(1.0) == "house":
                went.append(waiters.index(one))
    assert went == [0, 1, 2] and len(backend.line) == 1


def test_whichever_place_comes_first_is_taken_and_both_lines_are_left() -> None:
    local, other = house(), cloud(1)
    busy(local)
    busy(other)
    one = FakeWire(local, other)
    assert one.begin() == "full until 5" and len(local.line) == len(other.line) == 1
    other.endpoints[0].in_flight = 0
    other.line.wake()
    assert one.woken and one.resume(1.0) == "cloud"
    assert len(local.line) == len(other.line) == 0
    assert one.failed(2.0) == "full until 5", "after a failure it may wait for the rest of its time"


def test_equals_of_a_tier_are_asked_before_anyone_waits() -> None:
    local, peer = house(), cloud(name="peer")
    busy(local)
    assert FakeWire(local, peer, tiers=[0, 0], wait=True).begin() == "peer"


def test_a_full_backend_is_no_last_resort_and_an_ill_one_is() -> None:
    local, other = house(queueSeconds=3), cloud()
    busy(local)
    for _ in range(3):
        other.breaker.failure(1.0, 1.0)
    one = FakeWire(local, other)
    assert one.begin(1.0) == "full until 4"
    assert one.resume(4.0) == "cloud", "nobody tried what may be well again"
    assert one.failed(4.5) == "429 router_backend_full" and one.decision.answer.retry_after == 2
    assert local.endpoints[0].in_flight == 1


def test_an_answer_of_the_next_tier_is_not_hidden_behind_429() -> None:
    local, other = house(), cloud()
    busy(local)
    one = FakeWire(local, other)
    assert one.begin() == "cloud"
    assert one.failed(1.0, Outcome.REJECTED, status=422) == "422 provider_rejected"


def test_what_goes_down_while_one_waits_is_waited_for_no_longer() -> None:
    backend = house()
    busy(backend)
    one = FakeWire(backend)
    assert one.begin() == "full until 5"
    for now in (1.0, 1.1, 1.2):
        backend.probed(backend.endpoints[0], False, now)
    assert one.resume(1.3) == "503 router_no_backend"
    assert len(backend.line) == 0


def test_nobody_stands_in_a_line_whose_place_it_would_not_take() -> None:
    local, other = house(queueSeconds=60), cloud(1, queueSeconds=60)
    busy(local)
    busy(other)
    one, behind = FakeWire(local, other, wait=True), FakeWire(other)
    assert one.begin(0.0) == "full until 60" and len(other.line) == 0
    for now in (1.0, 1.1, 1.2):
        local.probed(local.endpoints[0], False, now)
    assert one.resume(1.3) == "full until 61.3" and (len(local.line), len(other.line)) == (0, 1)
    assert behind.begin(2.0) == "full until 62"
    for now in (3.0, 4.0, 13.0, 14.0):  # well for ten seconds: closed again
        local.probed(local.endpoints[0], True, now)
    assert one.resume(15.0) == "full until 60" and (len(local.line), len(other.line)) == (1, 1)
    assert behind.woken, "it keeps the others from a place that it would not take itself"


def test_the_deadline_ends_a_wait() -> None:
    backend = house()
    busy(backend)
    one = FakeWire(backend, deadline=2.0)
    assert one.begin() == "full until 2"
    assert one.resume(2.0) == "504 router_deadline" and len(backend.line) == 0


def test_a_sibling_must_have_a_place() -> None:
    backend, other = house(pods=2), cloud()
    one = FakeWire(backend, other)
    assert one.begin() == "house"
    busy(backend)
    assert one.failed(1.0) == "cloud"
    assert backend.breaker._window._consecutive == 0, "a full sibling made a lost endpoint the backend's fault"


def test_a_new_endpoint_is_a_free_place() -> None:
    backend = house()
    busy(backend)
    one = FakeWire(backend)
    assert one.begin() == "full until 5"
    backend.pool.take((*backend.endpoints, backend.pool.make("10.0.0.2", 80)))
    assert one.woken and one.resume(1.0) == "full until 5", "an endpoint that no probe has seen was used"
    backend.probed(backend.endpoints[1], True, 1.5)
    assert one.woken and one.resume(1.5) == "house"


def test_a_broken_stream_goes_ahead_of_all_who_wait() -> None:
    local, other = house(), cloud(1, maxQueued=1)
    one = FakeWire(other, local)
    assert one.begin() == "cloud"
    one.commit(0.0)
    busy(local)
    waiter = FakeWire(local)
    assert waiter.begin() == "full until 5"
    assert one.broke(1.0) == "full until 6", "half an answer was thrown away although a place may come"
    assert one.is_first_in(local.line) and len(local.line) == 2
    local.endpoints[0].in_flight = 0
    local.line.wake()
    assert one.woken and one.resume(2.0) == "house"
    assert waiter.woken and waiter.resume(2.0) == "full until 5"


def test_who_waits_for_a_place_is_late_for_nothing() -> None:
    local = house()
    begun, new = FakeWire(cloud(), local, stall_seconds=1), FakeWire(cloud(name="x"), local, first_token_seconds=1)
    assert begun.begin() == "cloud" and new.begin() == "x"
    begun.commit(0.0)
    new.machine.sent(0.0)
    busy(local)
    assert begun.broke(1.0) == "full until 6" and new.failed(1.0, Outcome.UNSUPPORTED, status=404) == "full until 6"
    for one in (begun, new):
        assert one.machine.expired(4.0) is None, "an attempt that is over ended once more"
        one.machine.cancelled(4.0)
        assert len(one.machine.trail) == 1, "and once more when the client left"


def test_a_broken_stream_that_finds_no_place_goes_back_where_it_came_from() -> None:
    local = house(maxQueued=0)
    one = FakeWire(cloud(), local)
    assert one.begin() == "cloud"
    one.commit(0.0)
    busy(local)
    assert one.broke(1.0) == "full until 6"
    assert one.resume(6.0) == "cloud" and len(local.line) == 0, "itself once more, since nobody else is left"


def test_prompts_keep_to_their_endpoints() -> None:
    backend = house(pods=4, bound=None, strategy="PrefixAffinity")
    chosen: dict[str, set[str]] = {}
    for turn in range(6):
        for customer in ("a", "b", "c", "d", "e"):
            one = FakeWire(backend, prompt={"messages": [{"role": "user", "content": f"I am {customer}"}]})
            assert one.begin(float(turn)) == "house" and one.endpoint is not None
            chosen.setdefault(customer, set()).add(one.endpoint.name)
            one.done(float(turn))
    assert all(len(names) == 1 for names in chosen.values()), chosen
    assert (backend.numbers.affinity_hits, backend.numbers.affinity_misses) == (30, 0)


def test_an_endpoint_that_left_is_not_asked_again() -> None:
    backend, other = house(pods=2, bound=None), cloud()
    one = FakeWire(backend, other)
    assert one.begin() == "house" and one.endpoint is not None
    left = one.endpoint
    backend.pool.take(tuple(e for e in backend.endpoints if e is not left))
    assert one.failed(1.0, Outcome.SERVER_ERROR) == "house"
    assert one.endpoint is not left and one.decision.delay == 0.0
