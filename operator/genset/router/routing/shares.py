"""Shares divide something scarce among clients: how much each one holds, and who may have more. Pure.

A client may hold ALPHA times as much as nobody holds (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on
Networking 6(2), 1998). So one client alone gets nearly everything, a newcomer finds some left, and if many want it all
they get equal parts, without a number that says how many there are.
"""

from __future__ import annotations

from typing import Final, final

ALPHA: Final = 7  # times what is free: a client alone gets seven eighths
LOW_ALPHA: Final = 1  # of one that may wait: alone it gets one half, and leaves the other one to whoever comes


@final
class _Share:
    """What one client holds."""

    __slots__ = ("held",)

    def __init__(self, held: int) -> None:
        self.held = held


class Shares:
    """Shares divide `most` units, of which `taken` are held."""

    __slots__ = ("_held", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._held: dict[str, _Share] = {}  # by client; without those that hold nothing

    def resize(self, most: int) -> None:
        """Sets how much there is from now on."""
        self.most = most

    def held(self, origin: str) -> int:
        share = self._held.get(origin)
        return share.held if share is not None else 0

    def takes(self, origin: str, size: int = 1, alpha: int = ALPHA) -> bool:
        """Takes `size` more if that is within the client's share, `alpha` times what is free. Returns whether it was.

        A client that holds nothing gets what it asks for if that much is free.
        """
        taken, share = self.taken + size, self._held.get(origin)
        allowed = alpha * (self.most - taken)
        if taken > allowed and (share.held + size > allowed if share is not None else taken > self.most):
            return False
        self.taken = taken
        if share is not None:
            share.held += size
        else:
            self._held[origin] = _Share(size)
        return True

    def is_over(self, origin: str) -> bool:
        """Returns whether a client holds more than its share."""
        allowed = ALPHA * (self.most - self.taken)
        return self.taken > allowed and self.held(origin) > allowed

    def take(self, origin: str, size: int = 1) -> None:
        """Takes `size` more, whatever the client's share. Less than nothing is given back."""
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
        """Gives back some of what the client has taken."""
        self.taken -= size
        share = self._held.get(origin)
        if share is not None:
            share.held -= size
            if share.held <= 0:
                del self._held[origin]
