"""The journal sees to it that every request leaves a line in the access log, if there is one.

A request that named a model leaves everything (`ended`); one that was refused before, or that the router answered
itself, leaves what is known of it (`unrouted`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genset.contracts.router_config import RouterConfig
from genset.router.exchange.record import Record
from genset.router.http.callers import Proxies, client_of
from genset.router.shared import Unrouted
from genset.router.telemetry.access_log import DEFAULT, AccessLog, LogBounds
from genset.router.telemetry.log_line import line_of, short_line


class Journal:
    """A journal writes the lines of all requests of one router.

    `unlogged` is why requests have to be refused for want of a log (`log.required`); empty if they need not be.
    """

    __slots__ = ("_bounds", "_log", "_lost", "_proxies", "_required", "_wall", "unlogged")

    def __init__(self, wall: Callable[[], float], bounds: LogBounds = DEFAULT) -> None:
        self._wall = wall
        self._bounds = bounds
        self._log: AccessLog | None = None
        self._lost = 0  # lines that were lost and reported
        self._proxies: Proxies | None = None  # proxies whose X-Forwarded-For is believed
        self._required = False
        self.unlogged = ""

    def open(self, descriptor: int | None) -> None:
        """Begins to write to this file descriptor; with None there is no log."""
        if descriptor is not None:
            self._log = AccessLog(descriptor, self._bounds)

    def take(self, config: RouterConfig, proxies: Proxies | None) -> None:
        """Takes a configuration. `proxies` are those whose X-Forwarded-For it believes."""
        self._proxies = proxies
        self._required = config.log is not None and config.log.required
        self._look()

    def ended(self, record: Record, now: float) -> None:
        """Writes the line of a request that named a model and has ended."""
        if self._log is not None:
            client = client_of(self._proxies, record.peer, record.headers)
            self._log.add(line_of(record, client, now, self._wall()))

    def unrouted(self, request: Unrouted) -> None:
        """Writes the line of a request that was refused, or that the router itself has answered."""
        if self._log is None:
            return
        line = short_line(request, client_of(self._proxies, request.peer, request.headers), self._wall())
        if self.unlogged and self._log.crowded:
            self._log.dropped += 1  # so that no line of a served request is lost for it
        else:
            self._log.add(line)

    def flush(self) -> int:
        """Hands lines to the writing thread; called ten times a second. Returns how many were lost since the last call."""
        lost = 0
        if self._log is not None:
            self._log.flush()
            lost, self._lost = self._log.dropped - self._lost, self._log.dropped
        self._look()
        return lost

    def view(self) -> dict[str, Any]:
        """Returns the view for `/-/state`."""
        return self._log.view() if self._log is not None else {"failing": "", "waitingLines": 0, "droppedLines": 0}

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _look(self) -> None:
        self.unlogged = self._why() if self._required else ""

    def _why(self) -> str:
        if self._log is None:
            return "the policy wants an access log (router.log.required), and this router was started without one"
        failing = self._log.failing
        return (
            f"the access log cannot be written ({failing}), and the policy wants it (router.log.required)"
            if failing
            else ""
        )
