"""Something scarce that clients share: how much of it each of them holds, and who may have more. Pure.

A client may hold ALPHA times as much as nobody holds (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on
Networking 6(2), 1998). So one alone gets nearly everything, whoever comes beside it finds some, and where many want it all
get alike, without a number that says how many there are.
"""

from __future__ import annotations

from typing import Final, final

ALPHA: Final = 7  # times what is free: one client alone gets seven of eight parts


@final
class _Share:
    """What one client holds."""

    __slots__ = ("held",)

    def __init__(self, held: int) -> None:
        self.held = held


class Shares:
    """`most` of it there is, `taken` of it are held."""

    __slots__ = ("_held", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._held: dict[str, _Share] = {}  # by whose it is; nobody who holds nothing

    def resize(self, most: int) -> None:
        """From here on there is so much of it."""
        self.most = most

    def held(self, origin: str) -> int:
        share = self._held.get(origin)
        return share.held if share is not None else 0

    def takes(self, origin: str, size: int = 1) -> bool:
        """Takes so much more if it is within a client's share; the first that a client takes only has to be there."""
        taken, share = self.taken + size, self._held.get(origin)
        allowed = ALPHA * (self.most - taken)
        if taken > allowed and (share.held + size > allowed if share is not None else taken > self.most):
            return False
        self.taken = taken
        if share is not None:
            share.held += size
        else:
            self._held[origin] = _Share(size)
        return True

    def is_over(self, origin: str) -> bool:
        """Whether a client holds more than its share."""
        allowed = ALPHA * (self.most - self.taken)
        return self.taken > allowed and self.held(origin) > allowed

    def take(self, origin: str, size: int = 1) -> None:
        """Takes so much more, within the client's share or not. Less than nothing is given back."""
        if size <= 0:
            self.give(origin, -size)
            return
        self.taken += size
        share = self._held.get(origin)
        if share is not None:
            share.held += size
        else:
            self._held[origin] = _Share(size)

    def give(self, origin: str, size: int = 1) -> None:
        """Back, of what it has taken."""
        self.taken -= size
        share = self._held.get(origin)
        if share is not None:
            share.held -= size
            if share.held <= 0:
                del self._held[origin]
