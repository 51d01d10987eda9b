"""The local share is how much of a route's whole answers the house has given, in a window that moves with the time. Pure."""

from __future__ import annotations

from typing import Final, final

SLOTS: Final = 60  # of the window of a local share, which goes on by one of them at a time


@final
class CountedShare:
    """A counted share counts the answers of one route. Times are seconds of the router's clock."""

    __slots__ = ("_slots", "answers", "house", "window")

    def __init__(self, window: float) -> None:
        self.window = window  # seconds
        self.answers = 0  # since the process began
        self.house = 0
        self._slots: list[list[int]] = [[-SLOTS, 0, 0] for _ in range(SLOTS + 1)]  # epoch, answers, those of the house

    def count(self, now: float, *, house: bool) -> None:
        """Counts an answer that has ended as it should."""
        epoch = int(now * SLOTS / self.window)
        slot = self._slots[epoch % (SLOTS + 1)]
        if slot[0] != epoch:
            slot[0], slot[1], slot[2] = epoch, 0, 0
        self.answers += 1
        slot[1] += 1
        if house:
            self.house += 1
            slot[2] += 1

    def counted(self, now: float) -> tuple[int, int]:
        """Returns the answers of the window, and those of the house among them."""
        oldest = int(now * SLOTS / self.window) - SLOTS
        found = [slot for slot in self._slots if slot[0] >= oldest]
        return sum(slot[1] for slot in found), sum(slot[2] for slot in found)
