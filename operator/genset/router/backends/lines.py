"""Lines hold whoever waits for something scarce, one line for each client.

The waiters of one client are served in the order of their arrival, and clients take turns, so that the long line of one
keeps nobody else waiting; a client that waits alone gets everything. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

W = TypeVar("W")


class Lines(Generic[W]):
    """One line for each client that has somebody waiting; `W` is the type of a waiter."""

    __slots__ = ("_lines", "_origins")

    def __init__(self) -> None:
        self._origins: dict[W, str] = {}  # each waiter's client
        self._lines: OrderedDict[str, OrderedDict[W, float]] = OrderedDict()  # by client, whose turn is next first

    def __len__(self) -> int:
        return len(self._origins)

    def __iter__(self) -> Iterator[W]:
        return iter(self._origins)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._origins

    @property
    def origins(self) -> Iterable[str]:
        """Lists the clients that have somebody waiting, in the order of their turns."""
        return self._lines

    @property
    def first(self) -> W | None:
        """Returns the first waiter of the client whose turn it is."""
        for line in self._lines.values():
            return next(iter(line))
        return None

    def add(self, waiter: W, origin: str, since: float = 0.0) -> None:
        self._origins[waiter] = origin
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = OrderedDict()
        line[waiter] = since

    def remove(self, waiter: W) -> None:
        """Removes a waiter; its client keeps its turn."""
        origin = self._origins.pop(waiter)
        line = self._lines[origin]
        del line[waiter]
        if not line:
            del self._lines[origin]

    def pop(self, origin: str) -> W:
        """Removes and returns the first waiter of a client, whose next turn then comes after everybody else's."""
        line = self._lines[origin]
        waiter = next(iter(line))
        self.remove(waiter)
        if line:
            self._lines.move_to_end(origin)
        return waiter

    def since(self) -> Iterator[Iterable[tuple[W, float]]]:
        """Yields the waiters of each client with the times at which they came, in that order."""
        for line in self._lines.values():
            yield line.items()

    def making_way(self, origin: str) -> W | None:
        """Returns who has to make way in a full line: the last waiter of the client with the most, for one with fewer.

        None if nobody has at least two more waiting than the client `origin`.
        """
        if not self._lines:
            return None
        most = max(self._lines.values(), key=len)
        own = self._lines.get(origin)
        if len(most) <= (len(own) if own is not None else 0) + 1:
            return None
        return next(reversed(most))
