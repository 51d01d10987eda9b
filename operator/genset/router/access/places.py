"""The places of a consumer are how many of its requests may be in work at once, of which this router has a part. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

_ANY: Final = 1 << 60  # requests: more than there ever are, where nothing bounds them


@final
class Places:
    """Places allow `limit` requests in work, over all routers; None: any number. `most` of them may be here, `in_work` are.

    They are shared as a quota is (`access.sharing`): what a router may have until the next exchange counts as taken.
    """

    __slots__ = ("_lately", "_least", "in_work", "limit", "most", "refused", "share")

    def __init__(self) -> None:
        self.limit: int | None = None
        self.share = self.most = _ANY
        self._least = 0
        self.in_work = 0
        self.refused = 0  # since the last exchange
        self._lately = 0  # between the last one and the one before it

    def resize(self, limit: int | None, routers: int) -> None:
        """Takes another limit, or another number of routers. Until the next exchange this router has its equal part."""
        share = max(1, limit // routers) if limit is not None else _ANY
        if (limit, share) != (self.limit, self.share):
            self.limit, self.share, self.most = limit, share, share
            self._least = int(limit is not None and limit < routers)

    def alone(self) -> None:
        """Keeps to the share: nothing is heard of others."""
        self.most = self.share

    def claimed(self, now: float) -> int:
        """Returns how many are in work here, or may be until the next exchange."""
        return max(self.in_work, self.most)

    @property
    def demand(self) -> int:
        """Returns how many more this router needs, and one: as many as it has refused, lately."""
        return max(self.refused, self._lately) + 1

    def divide(self, elsewhere: int, demands: Sequence[int], turn: bool, now: float) -> None:
        """Takes what others claim and need, and a part of what nobody claims. `turn`: see Quota.

        One place is for whoever comes, unless others have refused somebody: a client that asks one thing after another cannot
        choose its router. If there are fewer places than routers, each router has one all the same.
        """
        if self.limit is None:
            return
        left = max(0, self.limit - elsewhere - self.in_work)
        more = left * self.demand // (self.demand + sum(demands))
        if not more and left and (turn or (not self.in_work and max(demands, default=1) == 1)):
            more = 1
        self.most = max(self.in_work + more, self._least)
        self._lately, self.refused = self.refused, 0
