"""Sees to it that every request leaves a line: who asked, and what the access log can do about it.

A request that a route took tells everything (`ended`); one that was refused, or that the router answered itself, tells
what there is (`told`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genset.contracts.router_config import RouterConfig
from genset.router.errors import ErrorAnswer
from genset.router.exchange.record import Record
from genset.router.http.callers import Proxies, client_of
from genset.router.telemetry.access_log import AccessLog
from genset.router.telemetry.log_line import line_of, short_line


class Journal:
    """`unlogged` says why requests must be refused for want of a log (`log.required`); empty if they need not."""

    __slots__ = ("_log", "_lost", "_proxies", "_required", "_wall", "unlogged")

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._log: AccessLog | None = None
        self._lost = 0  # lines, as far as they were told
        self._proxies: Proxies | None = None  # whose X-Forwarded-For is believed
        self._required = False
        self.unlogged = ""

    def open(self, descriptor: int | None) -> None:
        """Begins to write. None: there is no log."""
        if descriptor is not None:
            self._log = AccessLog(descriptor)

    def take(self, config: RouterConfig, proxies: Proxies | None) -> None:
        """What a configuration says of it. `proxies`: whose X-Forwarded-For it has believed."""
        self._proxies = proxies
        self._required = config.log is not None and config.log.required
        self._look()

    def ended(self, record: Record, now: float) -> None:
        """A request that took a model has ended."""
        if self._log is not None:
            client = client_of(self._proxies, record.peer, record.headers)
            self._log.add(line_of(record, client, now, self._wall()))

    def told(
        self,
        peer: str,
        headers: Mapping[bytes, bytes],
        identity: bytes,
        asked: str,
        status: int,
        answer: ErrorAnswer | None = None,
    ) -> None:
        """The router itself has answered a request, with this error or well."""
        if self._log is None:
            return
        line = short_line(identity, client_of(self._proxies, peer, headers), asked, status, answer, self._wall())
        if self.unlogged and self._log.crowded:
            self._log.dropped += 1  # the lines of requests that were served must not be lost for it
        else:
            self._log.add(line)

    def flush(self) -> int:
        """Ten times a second. The number of lines that were lost since the last time."""
        lost = 0
        if self._log is not None:
            self._log.flush()
            lost, self._lost = self._log.dropped - self._lost, self._log.dropped
        self._look()
        return lost

    def view(self) -> dict[str, Any]:
        """For `/-/state`."""
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
