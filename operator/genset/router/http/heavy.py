"""Large and compressed bodies are unpacked and parsed one at a time, and in between the loop looks at everybody else.

What a body costs is bounded by what was sent, and still it is up to 20 ms per MiB of one turn in which nobody else is
served. Many of them in one turn, or turn after turn, would be that many times as much. So they stand in a line: whoever
sends many waits behind himself, and after each one the loop is left to all others for as long as it has taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from genset.router.backends.lines import Lines

LARGE_BODY_BYTES: Final = 256 * 1024  # from here on a plain body stands in the line
REST_SECONDS: Final = 0.1  # at most, after a large body: a request of somebody else gets through in less


class Sender(Protocol):
    """A sender is a connection whose next request has such a body."""

    @property
    def origin(self) -> str:
        """Returns whose share the connection takes."""

    def go_on(self) -> None:
        """Asks again: its turn has come."""


class HeavyLine:
    """A line of heavy bodies belongs to an event loop: `soon` and `later` are its `call_soon` and `call_later`."""

    __slots__ = ("_began", "_later", "_now", "_resting", "_soon", "_waiting")

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._soon = soon
        self._later = later
        self._waiting: Lines[Sender] = Lines()
        self._resting = False
        self._began = 0.0

    def admits(self, sender: Sender) -> bool:
        """Returns whether a sender's body may be read now. If not, it stands in line, where it may stand already."""
        if self._resting:
            self._waiting.add(sender, sender.origin)
            return False
        self._resting = True
        self._began = self._now()
        self._soon(self._turn_ended)
        return True

    def _turn_ended(self) -> None:
        self._later(min(self._now() - self._began, REST_SECONDS), self._next)

    def _next(self) -> None:
        """Calls the next sender. Clients take turns; those that have left ask for nothing, and the one after them is called."""
        self._resting = False
        while self._waiting and not self._resting:
            self._waiting.pop_first().go_on()
