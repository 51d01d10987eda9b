"""The gate: places, the queue, and what begins in one turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.router_config import LimitsConfig
from genset.router.backends.lines import PASSED_OVER, Rank
from genset.router.routing.gate import BEGUN_AT_ONCE, Gate
from testbed.router_config import made


class World:
    """A gate and the loop it is in. `begun` in order; `turn()` is the loop's next one."""

    def __init__(self, *, max_in_flight: int, max_queued: int, queue_seconds: float = 30.0) -> None:
        self.begun: list[int] = []
        self.soon: list[Callable[[], None]] = []
        self.gate: Gate[int] = Gate(self.begun.append, self.soon.append)
        self.limits(max_in_flight, max_queued, queue_seconds)

    def limits(self, max_in_flight: int, max_queued: int, queue_seconds: float = 30.0) -> None:
        limits = made(LimitsConfig, max_in_flight=max_in_flight, max_queued=max_queued, queue_seconds=queue_seconds)
        self.gate.set_limits(limits)

    def enter(self, waiter: int, now: float = 0.0) -> bool:
        """Each of a client of its own."""
        return self.gate.enter(waiter, now, str(waiter))

    def leave(self, waiter: int) -> None:
        self.gate.leave(waiter, str(waiter))

    def turn(self) -> None:
        due, self.soon[:] = list(self.soon), []
        for call in due:
            call()


def test_places_then_the_queue_then_a_refusal() -> None:
    world = World(max_in_flight=2, max_queued=2, queue_seconds=10)
    gate = world.gate
    assert [world.enter(number, number) for number in range(5)] == [True, True, True, True, False]
    assert world.begun == [0, 1] and gate.queued == 2
    world.leave(2)  # left while it waited
    assert gate.queued == 1 and gate.in_flight == 2
    assert gate.overdue(12.9) == [] and gate.overdue(13.0) == [3]
    world.leave(0)
    assert world.begun == [0, 1, 3] and gate.in_flight == 2
    world.leave(1)
    world.leave(3)
    assert gate.in_flight == gate.queued == 0


def test_higher_limits_let_waiters_in() -> None:
    world = World(max_in_flight=1, max_queued=9)
    for number in range(4):
        world.enter(number)
    world.limits(3, 9)
    assert world.begun == [0, 1, 2]


def test_answers_that_come_at_once_do_not_keep_the_loop_from_its_next_turn() -> None:
    """Each answer lets another request begin, whose answer is there before the loop has looked at anything else."""
    world = World(max_in_flight=100, max_queued=10_000)
    for number in range(5_000):
        assert world.enter(number)
    answered = 0
    for turn in range(1, 10):
        while answered < len(world.begun):
            world.leave(world.begun[answered])
            answered += 1
        assert answered == turn * BEGUN_AT_ONCE, f"{answered} requests began in {turn} turns"
        world.turn()


class Crowd:
    """A gate with one place, and waiters that are called by whose they are: "a1"."""

    def __init__(self, *, max_queued: int) -> None:
        self.begun: list[str] = []
        self.evicted: list[str] = []
        self.gate: Gate[str] = Gate(self.begun.append, lambda call: None, self._evict)
        self.gate.set_limits(made(LimitsConfig, max_in_flight=1, max_queued=max_queued))

    def _evict(self, waiter: str) -> None:
        self.evicted.append(waiter)
        self.leave(waiter)

    def enter(self, *waiters: str, rank: int = Rank.NORMAL) -> list[bool]:
        return [self.gate.enter(waiter, 0.0, waiter[0], rank) for waiter in waiters]

    def leave(self, waiter: str) -> None:
        self.gate.leave(waiter, waiter[0])

    def serve(self) -> list[str]:
        """Everybody in turn."""
        before = len(self.begun)
        while self.gate.in_flight:
            self.leave(self.begun[-1])
        return self.begun[before:]


def test_clients_take_turns_and_each_is_served_in_its_own_order() -> None:
    crowd = Crowd(max_queued=100)
    assert all(crowd.enter("a0", *(f"a{number}" for number in range(1, 6)), "b1", "b2", "c1"))
    assert crowd.serve() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5"]
    assert crowd.gate.queued == 0


def test_who_comes_back_has_no_second_turn_before_the_others() -> None:
    crowd = Crowd(max_queued=100)
    crowd.enter("a0", "a1", "a2", "b1", "c1")
    crowd.leave("a0")
    crowd.leave("a1")
    crowd.enter("b2")
    crowd.leave("b1")
    assert crowd.begun == ["a0", "a1", "b1", "c1"]
    assert crowd.serve() == ["a2", "b2"]


def test_in_a_full_line_whoever_has_most_in_it_makes_way() -> None:
    crowd = Crowd(max_queued=4)
    assert crowd.enter("a0", "a1", "a2", "a3", "a4") == [True] * 5
    assert crowd.enter("a5") == [False] and crowd.evicted == [], "a client cannot push out its own"
    assert crowd.enter("b1") == [True] and crowd.evicted == ["a4"]
    assert crowd.enter("b2") == [True] and crowd.evicted == ["a4", "a3"]
    assert crowd.enter("b3", "a6") == [False, False], "equal shares stay as they are"
    assert crowd.enter("c1") == [True] and len(crowd.evicted) == 3
    assert crowd.gate.queued == 4
    assert sorted(crowd.serve()) in (["a1", "b1", "b2", "c1"], ["a1", "a2", "b1", "c1"])


def test_one_client_alone_gets_everything() -> None:
    crowd = Crowd(max_queued=50)
    assert all(crowd.enter(*(f"a{number}" for number in range(51))))
    assert crowd.serve() == [f"a{number}" for number in range(1, 51)]


def test_a_higher_rank_goes_first_and_clients_of_one_take_turns() -> None:
    crowd = Crowd(max_queued=100)
    crowd.enter("n0", "n1", "n2", "m1")
    crowd.enter("l1", "l2", rank=Rank.LOW)
    crowd.enter("h1", "h2", "i1", rank=Rank.HIGH)
    assert crowd.serve() == ["h1", "i1", "h2", "n1", "m1", "n2", "l1", "l2"]


def test_no_rank_waits_for_ever() -> None:
    """Whoever is more urgent comes again and again; those who are less have every eighth place, and one in nine at the least."""
    crowd = Crowd(max_queued=1000)
    crowd.enter("n0")
    crowd.enter(*(f"h{number}" for number in range(100)), rank=Rank.HIGH)
    crowd.enter(*(f"n{number}" for number in range(1, 100)))
    crowd.enter(*(f"l{number}" for number in range(100)), rank=Rank.LOW)
    served = "".join(waiter[0] for waiter in crowd.serve())
    assert served[: PASSED_OVER + 2] == "h" * PASSED_OVER + "nl"
    assert served[:90].count("n") == 10 and served[:90].count("l") == 10


def test_in_a_full_line_the_lowest_rank_makes_way() -> None:
    crowd = Crowd(max_queued=4)
    crowd.enter("n0", "n1", "n2")
    crowd.enter("l1", "l2", rank=Rank.LOW)
    assert crowd.enter("m1") == [True] and crowd.evicted == ["l2"]
    assert crowd.enter("k1", rank=Rank.LOW) == [False], "nobody makes way for whoever may wait"
    assert crowd.enter("h1", rank=Rank.HIGH) == [True] and crowd.evicted == ["l2", "l1"]
    assert crowd.enter("h2", rank=Rank.HIGH) == [True] and crowd.evicted == ["l2", "l1", "n2"]
    assert crowd.enter("l3", rank=Rank.LOW) == [False] and crowd.enter("n3") == [False]
    assert crowd.enter("h3", "h4", rank=Rank.HIGH) == [True, True]
    assert crowd.enter("h5", rank=Rank.HIGH) == [False], "the most urgent of one client push out their own"
    assert crowd.enter("i1", rank=Rank.HIGH) == [True] and crowd.evicted[-1] == "h4"


def test_a_rank_that_goes_and_comes_back_has_waited_for_nothing() -> None:
    crowd = Crowd(max_queued=100)
    crowd.enter("n0", "n1")
    crowd.enter(*(f"h{number}" for number in range(20)), rank=Rank.HIGH)
    for _ in range(PASSED_OVER):
        crowd.leave(crowd.begun[-1])
    crowd.leave("n1")
    crowd.enter("n2")
    crowd.leave(crowd.begun[-1])
    assert crowd.begun[-1] == f"h{PASSED_OVER}"


def test_who_may_wait_leaves_half_of_the_places() -> None:
    places = Places(20)
    assert places.fill("l", 30, Rank.LOW) == 10
    assert places.fill("n", 12) == 8 and places.gate.in_flight == 18
    for number in range(10):
        places.gate.leave(f"l{number}", "l")
    assert sum(waiter.startswith("l") for waiter in places.begun) > 10, "places stay empty while somebody waits"


def test_waiters_of_every_client_become_overdue() -> None:
    gate: Gate[str] = Gate(lambda waiter: None, lambda call: None)
    gate.set_limits(made(LimitsConfig, max_in_flight=1, max_queued=9, queue_seconds=10))
    for at, waiter in enumerate(["a0", "a1", "b1", "a2"]):
        gate.enter(waiter, at, waiter[0])
    assert gate.overdue(10.5) == [] and gate.overdue(12.0) == ["a1", "b1"] and len(gate.overdue(13.0)) == 3


class Places:
    """A gate, and who is in work in it, by client."""

    def __init__(self, most: int) -> None:
        self.begun: list[str] = []
        self.gate: Gate[str] = Gate(self.begun.append, lambda call: None)
        self.gate.set_limits(made(LimitsConfig, max_in_flight=most, max_queued=1000))

    def fill(self, origin: str, count: int, rank: int = Rank.NORMAL) -> int:
        """How many of a client's requests are in work when it has sent so many."""
        for number in range(count):
            assert self.gate.enter(f"{origin}{number}", 0.0, origin, rank)
        return sum(waiter.startswith(origin) for waiter in self.begun)


@pytest.mark.parametrize(
    ("most", "one", "second", "third"),
    [(1, 1, 0, 0), (2, 1, 1, 0), (3, 2, 1, 0), (7, 6, 1, 0), (8, 7, 1, 0), (20, 17, 2, 1), (240, 210, 26, 3)],
)
def test_one_client_gets_nearly_everything_and_the_next_finds_some(
    most: int, one: int, second: int, third: int
) -> None:
    places = Places(most)
    assert [places.fill(origin, 240) for origin in "abc"] == [one, second, third]
    assert places.gate.in_flight <= most


def test_a_client_over_its_share_waits_behind_whoever_is_within() -> None:
    places = Places(20)
    places.fill("a", 30)
    places.fill("b", 5)
    begun = len(places.begun)
    for number in range(4):
        places.gate.leave(f"a{number}")
    assert [waiter[0] for waiter in places.begun[begun:]].count("b") >= 2
    for number in range(4, 16):
        places.gate.leave(f"a{number}")
    assert places.gate.queued < 18, "the places of those who left stay empty"


def test_without_a_line_a_client_over_its_share_is_refused_at_once() -> None:
    gate: Gate[str] = Gate(lambda waiter: None, lambda call: None)
    gate.set_limits(made(LimitsConfig, max_in_flight=20, max_queued=0))
    assert [gate.enter(f"a{number}", 0.0, "a") for number in range(19)].count(True) == 17
    assert gate.enter("b", 0.0, "b") and gate.queued == 0


STEPS = st.tuples(st.sampled_from(["enter", "answer", "give up", "limit", "turn"]), st.integers(1, 2 * BEGUN_AT_ONCE))


@given(st.lists(STEPS, max_size=40))
def test_whoever_was_taken_begins_in_order_and_nobody_is_forgotten(steps: list[tuple[str, int]]) -> None:
    world = World(max_in_flight=100, max_queued=300)
    gate, begun = world.gate, world.begun
    most = 100
    number = answered = before_turn = 0
    taken: list[int] = []  # neither refused nor given up
    for step, count in steps:
        if step == "enter":
            for _ in range(count):
                full = gate.in_flight + gate.queued >= most + 300
                number += 1
                if world.enter(number):
                    taken.append(number)
                else:
                    assert full, "refused although there was room"
        elif step == "answer":
            for _ in range(min(count, gate.in_flight)):
                gate.leave(begun[answered])
                answered += 1
        elif step == "give up":
            for _ in range(min(count, gate.queued)):
                gate.leave(taken.pop())
        elif step == "limit":
            most = count
            world.limits(most, 300)
        else:
            before_turn = len(begun)
            world.turn()
        assert begun == taken[: len(begun)]
        assert gate.in_flight == len(begun) - answered
        assert gate.queued == len(taken) - len(begun)
        assert len(begun) - before_turn <= BEGUN_AT_ONCE
        assert world.soon or not gate.queued or gate.in_flight >= most, "waits for ever"
