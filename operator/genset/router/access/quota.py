"""A quota is one limit of one consumer, of which this router has a part. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from genset.router.access.minute import Minute

_IDLE_PART: Final = 50  # of a limit, for a router that nobody asks at the moment


@final
class Quota:
    """A quota allows `limit` in any 60 seconds, over all routers.

    `share` is this router's while it hears nothing of the others: an equal part. While it does, it may take a part of what
    nobody has used (`divide`), until it hears the next time.
    """

    __slots__ = ("_elsewhere", "_grant", "_shared", "asked", "limit", "minute", "share")

    def __init__(self, limit: int, routers: int) -> None:
        self.minute = Minute()
        self.limit = limit
        self.share = limit
        self.asked = 0  # since the last exchange, whether there was room or not
        self._shared = False
        self._grant = 0  # of what is left, until the next exchange
        self._elsewhere = 0  # used by other routers
        self.resize(limit, routers)

    @property
    def told(self) -> int:
        """Returns the limit as clients are told it: what they can reach."""
        return self.limit if self._shared else self.share

    def resize(self, limit: int, routers: int) -> None:
        """Takes another limit, or another number of routers; what was used stays counted."""
        self.limit = limit
        self.share = max(1, limit // routers)

    def used(self, now: float) -> int:
        """Returns what was used here in the last minute."""
        self.minute.move(now)
        return self.minute.used

    def claimed(self, now: float) -> int:
        """Returns what was used here in the last minute, with what may still be until the next exchange."""
        used = self.used(now)
        return used + max(0, self._grant) if self._shared else max(used, self.share)

    def alone(self) -> None:
        """Keeps to the share: nothing is heard of others."""
        self._shared = False

    @property
    def demand(self) -> int:
        """Returns how much this router may need until the next exchange; an idle one keeps a little."""
        return self.asked + 1 + self.limit // _IDLE_PART

    def divide(self, elsewhere: int, demands: Sequence[int], turn: bool, now: float) -> None:
        """Takes what others claim and need, and a part of what nobody claims. `turn`: what is too little to be divided is its.

        Turns go round each second, or a limit of one would be nobody's.
        """
        left = max(0, self.limit - elsewhere - self.used(now))
        self._grant = left * self.demand // (self.demand + sum(demands))
        if not self._grant and left and turn:
            self._grant = 1
        self.asked = 0
        self._elsewhere = elsewhere
        self._shared = True

    def wanted(self, count: int) -> None:
        """Hears that somebody wants so much, whether there is room or not."""
        self.asked += count

    def room(self, now: float) -> int:
        """Returns how much is left now."""
        used = self.used(now)
        left = min(self.limit - self._elsewhere - used, self._grant) if self._shared else self.share - used
        return max(0, left)

    def takes(self, count: int, now: float) -> bool:
        """Takes as much if it is left. One request that wants more than there ever is gets it when all of it is left."""
        if self.room(now) < min(count, self.share):
            return False
        self.minute.add(count, now)
        self._grant -= count
        return True

    def wait(self, count: int, now: float) -> float:
        """Returns in how many seconds so much will be left, if nobody else takes it."""
        wanted = min(count, self.share)
        left = self.limit - self._elsewhere - self.used(now) if self._shared else self.room(now)
        return 1.0 if left >= wanted else self.minute.seconds_until(wanted - left, now)
