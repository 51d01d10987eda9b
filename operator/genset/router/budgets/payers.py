"""Payers are those who have reserved of one budget: none of them may hold everything that is left while others ask. Pure."""

from __future__ import annotations

from typing import Final, final

CONTENDED_SECONDS: Final = (
    60.0  # after another caller was seen, in which none may reserve more than half of what is left
)


@final
class Payers:
    """`now` is seconds of the router's clock. A payer is a consumer, or an address."""

    __slots__ = ("_held", "_last", "_other_seen")

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._last = ""
        self._other_seen = -CONTENDED_SECONDS

    def come(self, payer: str, now: float) -> None:
        """Notes who asks."""
        if payer != self._last:
            if self._last:
                self._other_seen = now
            self._last = payer

    def is_greedy(self, payer: str, want: int, left: int, now: float) -> bool:
        """Returns whether somebody who has reserved something would hold more than half of what is left, while others ask."""
        own = self._held.get(payer, 0)
        return own > 0 and 2 * (own + want) > left and now - self._other_seen < CONTENDED_SECONDS

    def reserve(self, payer: str, amount: int) -> None:
        self._held[payer] = self._held.get(payer, 0) + amount

    def release(self, payer: str, amount: int) -> None:
        rest = self._held.get(payer, 0) - amount
        if rest > 0:
            self._held[payer] = rest
        else:
            self._held.pop(payer, None)

    @property
    def count(self) -> int:
        """Returns how many have reserved something."""
        return len(self._held)
