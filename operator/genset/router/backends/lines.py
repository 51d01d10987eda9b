"""Who waits for something. The waiters of one client are served in the order of their arrival, and clients take turns, so
that a line of one of them keeps nobody else waiting; where only one waits, it gets everything. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

W = TypeVar("W")


class Lines(Generic[W]):
    """One line for each client that has somebody waiting; `W` is whatever waits."""

    __slots__ = ("_lines", "_origins")

    def __init__(self) -> None:
        self._origins: dict[W, str] = {}  # whose each of them is
        self._lines: OrderedDict[str, OrderedDict[W, float]] = OrderedDict()  # by whose they are, the next one first

    def __len__(self) -> int:
        return len(self._origins)

    def __iter__(self) -> Iterator[W]:
        return iter(self._origins)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._origins

    @property
    def origins(self) -> Iterable[str]:
        """Whose turn it is, and whose after that."""
        return self._lines

    @property
    def first(self) -> W | None:
        """The first waiter of whoever's turn it is."""
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
        """Whose line it stood in keeps its turn."""
        origin = self._origins.pop(waiter)
        line = self._lines[origin]
        del line[waiter]
        if not line:
            del self._lines[origin]

    def pop(self, origin: str) -> W:
        """The first waiter of a client, whose next turn is behind everybody else's."""
        line = self._lines[origin]
        waiter = next(iter(line))
        self.remove(waiter)
        if line:
            self._lines.move_to_end(origin)
        return waiter

    def since(self) -> Iterator[Iterable[tuple[W, float]]]:
        """The waiters of each client with the time when they came, in that order."""
        for line in self._lines.values():
            yield line.items()

    def making_way(self, origin: str) -> W | None:
        """Where there is no room: the last one of whoever has most waiting, for a client who has fewer."""
        if not self._lines:
            return None
        most = max(self._lines.values(), key=len)
        own = self._lines.get(origin)
        if len(most) <= (len(own) if own is not None else 0) + 1:
            return None
        return next(reversed(most))
