"""The outage switches: when a whole side, the cloud or the house, is passed over at once instead of backend by backend.

Pure: the clock comes in, decisions go out. A cut of the site's own line looks like the failure of every cloud backend;
waiting for each breaker would make each of them cost some requests their connect deadline. So two distinct cloud hosts
that fail at DNS, connect or TLS within 10 s open the cloud's switch for every route, and one probe per 5 s (or any
answer) closes it. With a single cloud host its breaker says the same, and the switch stays out of it.

The house is probed all the time, so its switch follows what is seen: it is down while every local backend that is not
at rest has no endpoint that could answer. What this process has never seen up is unknown to it, not down.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

HOSTS_DOWN: Final = 2  # distinct cloud hosts, failing ...
WINDOW_SECONDS = 10.0  # ... within this time
PROBE_SECONDS = 5.0  # between two probes of the cloud while it is down
TRUST_SECONDS = 10.0  # an answer from the house counts more than its probes for so long


class Scope(StrEnum):
    """What is down, in the words of RoutePolicy status."""

    CLOUD = "Cloud"
    HOUSE = "House"
    BACKEND = "Backend"


class Flip(NamedTuple):
    """A switch has changed. `detail`: what failed, or what ended the outage."""

    scope: Scope
    down: bool
    detail: str


class Switch:
    """One side. `down` is read for each request; everything else only when something fails or ends.

    `alarmed`: an answer of this side is news. All times are seconds of one monotonic clock.
    """

    __slots__ = ("alarmed", "detail", "down", "flips", "known", "news", "opened_at", "scope", "word")

    def __init__(self, scope: Scope, word: str) -> None:
        self.scope = scope
        self.word = word  # for evidence: why a backend was passed over
        self.down = False
        self.alarmed = False
        self.known = False  # whether this side was ever seen up, or is down
        self.detail = ""  # what opened it; stays the same while it is open
        self.opened_at = 0.0
        self.flips = 0
        self.news: list[Flip] = []  # for the log; whoever reads them clears them

    def unreachable(self, host: str, now: float, began: float, detail: str) -> None:
        """An attempt that began at `began` found no way to `host`: DNS, connect, TLS or its proxy failed."""

    def answered(self, now: float, began: float) -> None:
        """A request that began at `began` was answered, whatever the answer. Called only while `alarmed`."""

    def reached(self, name: str) -> None:
        """A probe has found an endpoint of the backend well: no need to wait for the next look."""

    def _open(self, now: float, detail: str) -> None:
        self.down = self.alarmed = self.known = True
        self.detail = detail
        self.opened_at = now
        self._flip(detail)

    def _close(self, detail: str) -> None:
        self.down = self.alarmed = False
        self.detail = ""
        self._flip(detail)

    def _flip(self, detail: str) -> None:
        self.flips += 1
        self.news.append(Flip(self.scope, self.down, detail))


class CloudSwitch(Switch):
    """Egress. `set_hosts` says which hosts there are, `due` which one to probe now."""

    __slots__ = ("_failed", "_hosts", "_next_probe", "_proven", "_turn")

    def __init__(self) -> None:
        super().__init__(Scope.CLOUD, "egress_down")
        self.known = True  # nothing probes the cloud: it counts as up until it fails
        self._hosts: tuple[str, ...] = ()
        self._failed: dict[str, tuple[float, str]] = {}  # host -> when, and what the failure was
        self._proven = -math.inf  # when the last request began that was answered
        self._next_probe = math.inf
        self._turn: list[str] = []  # hosts still to probe in this rotation

    def set_hosts(self, hosts: Collection[str]) -> None:
        """The cloud hosts of the configuration in force."""
        self._hosts = tuple(dict.fromkeys(hosts))
        self._failed = {host: seen for host, seen in self._failed.items() if host in self._hosts}
        self._turn = [host for host in self._turn if host in self._hosts]
        if self.down and len(self._hosts) < HOSTS_DOWN:
            self._end(f"the configuration has {len(self._hosts)} cloud hosts left")

    def unreachable(self, host: str, now: float, began: float, detail: str) -> None:
        if self.down or host not in self._hosts or began < self._proven:
            return
        self._failed[host] = (now, detail)
        recent = {name: what for name, (at, what) in self._failed.items() if now - at <= WINDOW_SECONDS}
        self.alarmed = True
        if len(recent) >= HOSTS_DOWN:
            self._turn = [name for name in self._hosts if name not in recent]
            # A host that nobody has asked may tell at once that it is not the way out that is broken.
            self._next_probe = now if self._turn else now + PROBE_SECONDS
            self._open(now, "; ".join(f"{name}: {what}" for name, what in sorted(recent.items())))

    def answered(self, now: float, began: float) -> None:
        if self.down:
            if began >= self.opened_at:  # else the tail of what was under way before
                self._end("a request was answered")
            return
        self._proven = max(self._proven, began)
        self._failed = {host: seen for host, seen in self._failed.items() if seen[0] > began}
        self.alarmed = bool(self._failed)

    def due(self, now: float) -> str | None:
        """The host to probe now, if it is time for one; each in turn."""
        if not self.down or now < self._next_probe:
            return None
        self._next_probe = now + PROBE_SECONDS
        self._turn = self._turn or list(self._hosts)
        return self._turn.pop(0)

    def probed(self, host: str, good: bool) -> None:
        """How the probe of `due` ended."""
        if self.down and good:
            self._end(f"a probe reached {host}")

    def _end(self, detail: str) -> None:
        self._failed.clear()
        self._turn.clear()
        self._next_probe = math.inf
        self._close(detail)


class HouseSwitch(Switch):
    """The models of the house, all of them."""

    __slots__ = ("_trusted_until",)

    def __init__(self) -> None:
        super().__init__(Scope.HOUSE, "house_down")
        self._trusted_until = -math.inf

    def look(self, now: float, backends: Sequence[tuple[str, bool]]) -> None:
        """What is seen now: name of each local backend that is not at rest, and whether it is down."""
        up = [name for name, down in backends if not down]
        if up or not backends:
            self.known = self.known or bool(up)
            if self.down:
                self._close(f"{', '.join(up)} can answer" if up else "what is left is at rest by intent")
        elif self.known and not self.down and now >= self._trusted_until:
            self._open(now, "no endpoint of " + ", ".join(name for name, _ in backends) + " can answer")

    def reached(self, name: str) -> None:
        if self.down:
            self._close(f"{name} can answer")

    def answered(self, now: float, began: float) -> None:
        if self.down and began >= self.opened_at:
            self._trusted_until = now + TRUST_SECONDS
            self._close("a request was answered")
