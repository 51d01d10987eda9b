"""Lines hold whoever waits for something scarce, one line for each client, by rank.

The waiters of one client are served in the order of their arrival, and clients of a rank take turns, so that the long line of
one keeps nobody else waiting; a client that waits alone gets everything. A higher rank goes first, but for every eighth turn,
so that nobody waits for ever. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

W = TypeVar("W")


class Rank:
    """A waiter has one of these ranks."""

    HIGH: Final = 0
    NORMAL: Final = 1
    LOW: Final = 2


_RANKS: Final = (Rank.HIGH, Rank.NORMAL, Rank.LOW)
PASSED_OVER: Final = 7  # turns of higher ranks, after which a rank that waits has one


class Queue(Generic[W]):
    """A queue holds the waiters of one client at one rank, with the times at which they came."""

    __slots__ = ("origin", "rank", "waiters")

    def __init__(self, origin: str, rank: int) -> None:
        self.origin = origin
        self.rank = rank
        self.waiters: OrderedDict[W, float] = OrderedDict()


class Lines(Generic[W]):
    """One queue for each client that has somebody waiting; `W` is the type of a waiter."""

    __slots__ = ("_passed", "_queues", "_ranks")

    def __init__(self) -> None:
        self._queues: dict[W, Queue[W]] = {}  # each waiter's
        # By rank and client; whose turn is next stands first.
        self._ranks: list[OrderedDict[str, Queue[W]]] = [OrderedDict() for _ in _RANKS]
        self._passed = [0 for _ in _RANKS]  # turns that a rank has waited through

    def __len__(self) -> int:
        return len(self._queues)

    def __iter__(self) -> Iterator[W]:
        return iter(self._queues)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._queues

    def turns(self) -> Iterator[Queue[W]]:
        """Yields the queues in the order of their turns."""
        for rank in self._order():
            yield from self._ranks[rank].values()

    @property
    def first(self) -> W | None:
        """Returns the first waiter of the client whose turn it is."""
        for rank in self._order():
            for queue in self._ranks[rank].values():
                return next(iter(queue.waiters))
        return None

    def _order(self) -> list[int]:
        """Returns the ranks that have somebody waiting: the highest first, or one that was passed over often enough."""
        order = [rank for rank in _RANKS if self._ranks[rank]]
        if len(order) > 1:
            for rank in order[1:]:
                if self._passed[rank] >= PASSED_OVER:
                    order.remove(rank)
                    order.insert(0, rank)
                    break
        return order

    def add(self, waiter: W, origin: str, since: float = 0.0, rank: int = Rank.NORMAL) -> None:
        queues = self._ranks[rank]
        queue = queues.get(origin)
        if queue is None:
            queue = queues[origin] = Queue(origin, rank)
        queue.waiters[waiter] = since
        self._queues[waiter] = queue

    def remove(self, waiter: W) -> None:
        """Removes a waiter; its client keeps its turn."""
        queue = self._queues.pop(waiter)
        del queue.waiters[waiter]
        if not queue.waiters:
            del self._ranks[queue.rank][queue.origin]
            if not self._ranks[queue.rank]:
                self._passed[queue.rank] = 0

    def pop(self, queue: Queue[W]) -> W:
        """Removes and returns the first of a queue, whose next turn then comes after those of all others of its rank."""
        rank = queue.rank
        self._passed[rank] = 0
        for lower in _RANKS[rank + 1 :]:
            if self._ranks[lower]:
                self._passed[lower] += 1
        waiter = next(iter(queue.waiters))
        self.remove(waiter)
        if queue.waiters:
            self._ranks[rank].move_to_end(queue.origin)
        return waiter

    def pop_first(self) -> W:
        """Removes and returns `first`, which must be there."""
        return self.pop(next(self.turns()))

    def since(self) -> Iterator[Iterable[tuple[W, float]]]:
        """Yields the waiters of each client with the times at which they came, in that order."""
        for queues in self._ranks:
            for queue in queues.values():
                yield queue.waiters.items()

    def making_way(self, origin: str, rank: int = Rank.NORMAL) -> W | None:
        """Returns who has to make way in a full line for one of the client `origin`; None if nobody has.

        It is the last waiter of the client with the most, at the lowest rank that waits: if that is lower than `rank`, or if it
        is the same and the client has at least two more waiting.
        """
        waiting = [one for one in _RANKS if self._ranks[one]]
        if not waiting or waiting[-1] < rank:
            return None
        queues = self._ranks[waiting[-1]]
        most = max((queue.waiters for queue in queues.values()), key=len)
        if waiting[-1] == rank:
            own = queues.get(origin)
            if len(most) <= (len(own.waiters) if own is not None else 0) + 1:
                return None
        return next(reversed(most))
