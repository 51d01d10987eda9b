"""Large and compressed bodies: one at a time, senders in turns, and the loop left to others in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genset.router.http.heavy import REST_SECONDS, HeavyLine


class FakeLoop:
    """Turns that a test takes one by one, and a clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.rests: list[float] = []
        self.line = HeavyLine(lambda then: self.due.append((0.0, then)), self._later, lambda: self.now)

    def _later(self, after: float, then: Callable[[], None]) -> None:
        self.rests.append(after)
        self.due.append((after, then))

    def turn(self) -> None:
        """The next of what is due."""
        after, then = self.due.pop(0)
        self.now += after
        then()


class Body:
    def __init__(self, loop: FakeLoop, origin: str, read: list[str], seconds: float = 0.02, here: bool = True) -> None:
        self.origin = origin
        self._loop, self._read, self._seconds, self.here = loop, read, seconds, here

    def go_on(self) -> None:
        if self.here and self._loop.line.admits(self):
            self._read.append(self.origin)
            self._loop.now += self._seconds


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


def test_one_is_read_in_a_turn_and_senders_take_turns(loop: FakeLoop) -> None:
    read: list[str] = []
    for origin in ("a", "a", "a", "a", "b", "b", "c"):
        Body(loop, origin, read).go_on()
    assert read == ["a"]
    while loop.due:
        before = len(read)
        loop.turn()
        assert len(read) <= before + 1
    assert read == ["a", "a", "b", "c", "a", "b", "a"]


@pytest.mark.parametrize(("seconds", "rest"), [(0.0, 0.0), (0.02, 0.02), (0.5, REST_SECONDS)])
def test_the_loop_is_left_to_others_for_as_long_as_it_took(loop: FakeLoop, seconds: float, rest: float) -> None:
    read: list[str] = []
    for _ in range(3):
        Body(loop, "a", read, seconds).go_on()
    while loop.due:
        loop.turn()
    assert read == ["a"] * 3 and loop.rests == pytest.approx([rest] * 3)


def test_who_has_left_keeps_nobody_waiting_and_nobody_stands_twice(loop: FakeLoop) -> None:
    read: list[str] = []
    Body(loop, "first", read).go_on()
    gone, other = Body(loop, "a", read), Body(loop, "b", read)
    for sender in (gone, other, other):
        sender.go_on()
    gone.here = False
    while loop.due:
        loop.turn()
    assert read == ["first", "b"]
    assert loop.line.admits(gone), "nothing is remembered"
