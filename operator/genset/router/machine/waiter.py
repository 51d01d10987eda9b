"""The lines before full backends in which one request stands. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from genset.router.backends.backend import Backend


@final
class Waiter:
    """Who waits in several lines at once, for the first place. Made only if there is something to wait for.

    `origin`: whose request it is, because clients take turns. `latest`: no line is stood in for longer.
    """

    __slots__ = ("_latest", "_lines", "_origin", "_wake")

    def __init__(self, origin: str, latest: float) -> None:
        self._origin = origin
        self._latest = latest
        self._lines: dict[Backend, float] = {}  # until when a place of each is waited for; 0: not any longer
        self._wake: Callable[[], None] | None = None

    def has_met(self, backend: Backend) -> bool:
        """Returns whether this backend has been found full before."""
        return backend in self._lines

    def queue(self, now: float, backends: list[Backend], *, ahead: bool) -> float:
        """Stands in the lines of these backends and of no others. Until when; 0: may not, or not any longer."""
        for backend in self._lines:
            if backend not in backends:
                backend.line.leave(self)
        latest = 0.0
        for backend in backends:
            line = backend.line
            until = self._lines.get(backend)
            if until is None:
                until = self._lines[backend] = min(now + line.seconds, self._latest)
                if len(line) < line.most:
                    backend.numbers.stood_in_line()
            if now >= until:
                line.leave(self)
            elif line.join(self, self._origin, ahead=ahead):
                latest = max(latest, until)
            else:
                self._lines[backend] = 0.0
        return latest

    def leave(self) -> None:
        """Leaves all lines, with a place or without."""
        for backend in self._lines:
            backend.line.leave(self)

    def when_free(self, wake: Callable[[], None]) -> None:
        """Says whom to tell that a place is free. He must not act before the one who frees it has returned."""
        self._wake = wake

    def wake(self) -> None:
        """The first in line, this request, is told that a place is free."""
        if self._wake is not None:
            self._wake()
