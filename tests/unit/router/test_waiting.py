"""The line before a full backend: order, bounds, nobody overtaken, no place left empty."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genset.router.backends.line import Line
from genset.router.backends.lines import Rank


class FakeWaiter:
    """Notes that it was woken; a test looks for its place later, as the exchange does."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_first_come_first_served() -> None:
    line = Line(3, 5.0)
    a, b, c, d = waiters = [FakeWaiter(name) for name in "abcd"]
    assert [line.join(waiter) for waiter in waiters] == [True, True, True, False], "the bound was not kept"
    assert line.first is a and len(line) == 3
    line.wake()
    assert [waiter.woken for waiter in waiters] == [1, 0, 0, 0], "somebody was woken who may not go"
    line.leave(a)
    assert line.first is b and b.woken == 1, "the next one was not told"
    line.leave(c)
    assert b.woken == 1 and len(line) == 1
    line.leave(d)
    line.leave(c)
    assert line.first is b
    line.leave(b)
    assert line.first is None and not line
    line.wake()


def test_clients_take_turns() -> None:
    line = Line(9, 5.0)
    crowd = [FakeWaiter(f"a{number}") for number in range(4)]
    other, ahead = FakeWaiter("b"), FakeWaiter("ahead")
    for waiter in crowd:
        assert line.join(waiter, "a")
    assert line.join(other, "b") and line.join(ahead, "c", ahead=True)
    served = []
    while line.first is not None:
        first = line.first
        assert isinstance(first, FakeWaiter)
        served.append(first.name)
        line.leave(first)
    assert served == ["ahead", "a0", "b", "a1", "a2", "a3"]


def test_a_full_line_makes_way_for_who_has_fewer_in_it() -> None:
    line = Line(3, 5.0)
    crowd = [FakeWaiter(f"a{number}") for number in range(4)]
    assert [line.join(waiter, "a") for waiter in crowd] == [True, True, True, False]
    other = FakeWaiter("b")
    assert line.join(other, "b") and len(line) == 3
    assert [waiter.woken for waiter in crowd] == [0, 0, 1, 0], "who made way has to look for another way"
    assert not line.join(crowd[2], "a"), "and is not taken again"
    assert not line.join(FakeWaiter("b2"), "b"), "equal shares stay as they are"


def test_a_higher_rank_is_first_and_pushes_out_a_lower_one() -> None:
    line = Line(3, 5.0)
    low, normal, high, more, broken = (FakeWaiter(name) for name in ("low", "normal", "high", "more", "broken"))
    assert line.join(low, "l", Rank.LOW) and line.first is low
    assert line.join(normal, "n") and line.first is normal
    assert line.join(high, "h", Rank.HIGH) and line.first is high
    assert line.join(more, "n2") and low.woken and len(line) == 3
    assert not line.join(FakeWaiter(), "l2", Rank.LOW)
    assert line.join(broken, "l3", Rank.LOW, ahead=True) and line.first is broken, (
        "an answer that has begun goes before all ranks"
    )
    served = []
    while line.first is not None:
        served.append(line.first)
        line.leave(line.first)
    assert served == [broken, high, normal, more]


def test_a_line_for_nobody() -> None:
    assert not Line(0, 5.0).join(FakeWaiter())


class Places(RuleBasedStateMachine):
    """A backend of 2 places with everything that may happen before it, in any order.

    Requests look for a place when they arrive and when they were woken, some turns of the loop later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(4, 5.0)
        self.free = 2
        self.arrived: Iterator[int] = iter(range(1_000_000))
        self.waiting: list[FakeWaiter] = []  # in the order of arrival
        self.inside = 0

    @rule()
    def arrive(self) -> None:
        if self.free and not self.line:
            self.free -= 1
            self.inside += 1
            return
        waiter = FakeWaiter(str(next(self.arrived)))
        if self.line.join(waiter):
            self.waiting.append(waiter)

    @precondition(lambda self: self.inside > 0)
    @rule()
    def finish(self) -> None:
        self.inside -= 1
        self.free += 1
        self.line.wake()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiter)
        self.line.leave(waiter)

    @precondition(lambda self: any(waiter.woken for waiter in self.waiting))
    @rule()
    def look(self) -> None:
        """A turn of the loop: those who were woken look."""
        for waiter in [w for w in self.waiting if w.woken]:
            waiter.woken = 0
            if self.free and self.line.first is waiter:
                assert waiter is self.waiting[0], "somebody was overtaken"
                self.free -= 1
                self.inside += 1
                self.waiting.remove(waiter)
                self.line.leave(waiter)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        assert len(self.line) == len(self.waiting) <= 4
        if self.free and self.waiting:
            assert self.waiting[0].woken, "there is a place, and the first in line was not told"


TestPlaces = Places.TestCase
TestPlaces.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
