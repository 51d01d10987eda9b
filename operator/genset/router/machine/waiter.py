"""A waiter is one request that waits in the lines before full backends. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from genset.router.backends.backend import Backend


@final
class Waiter:
    """A waiter stands in several lines at once, and takes the first place. Made only if there is something to wait for.

    `origin` is whose request it is, because clients take turns, those of a higher `rank` (see `lines`) first. `latest` is when
    it leaves every line, in monotonic seconds.
    """

    __slots__ = ("_latest", "_lines", "_origin", "_rank", "_wake")

    def __init__(self, origin: str, rank: int, latest: float) -> None:
        self._origin = origin
        self._rank = rank
        self._latest = latest
        self._lines: dict[Backend, float] = {}  # by backend: until when a place is waited for; 0: no longer
        self._wake: Callable[[], None] | None = None

    def has_met(self, backend: Backend) -> bool:
        """Returns whether this backend has been found full before."""
        return backend in self._lines

    def queue(self, now: float, backends: list[Backend], *, ahead: bool) -> float:
        """Joins the lines of these backends and leaves all others.

        Returns until when it waits, in monotonic seconds; 0 if it may not, or no longer.
        """
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
            elif line.join(self, self._origin, self._rank, ahead=ahead):
                latest = max(latest, until)
            else:
                self._lines[backend] = 0.0
        return latest

    def leave(self) -> None:
        """Leaves all lines, with a place or without."""
        for backend in self._lines:
            backend.line.leave(self)

    def when_free(self, wake: Callable[[], None]) -> None:
        """Sets whom to tell that a place is free. `wake` must not act before the one that frees the place has returned."""
        self._wake = wake

    def wake(self) -> None:
        """Hears, as the first in line, that a place may be free."""
        if self._wake is not None:
            self._wake()
