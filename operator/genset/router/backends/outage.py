"""An outage switch passes over a whole side, the cloud or the house, at once instead of backend by backend.

If the site's own uplink is cut, every cloud backend fails; waiting for each breaker would cost some requests the
connect deadline of each of them. So two distinct cloud hosts that fail at DNS, connect or TLS within 10 s open the
cloud's switch for every route, and a probe every 5 s, or any answer, closes it. With a single cloud host its breaker
says the same, so the switch stays closed.

The house is probed all the time, so its switch follows what the probes see: it is down while every local backend that
is not at rest has no endpoint that could answer. What this process has never seen up is unknown to it, not down. Pure:
the clock comes in, decisions go out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

HOSTS_DOWN: Final = 2  # distinct cloud hosts, failing ...
WINDOW_SECONDS: Final = 10.0  # ... within this time
PROBE_SECONDS: Final = 5.0  # between two probes of the cloud while it is down
TRUST_SECONDS: Final = 10.0  # after an answer from the house, for which its probes count less


class Scope(StrEnum):
    """A scope is the side that is down, in the words of RoutePolicy status."""

    CLOUD = "Cloud"
    HOUSE = "House"
    PROVIDER = "Provider"
    BACKEND = "Backend"
    LEDGER = "Ledger"


class Flip(NamedTuple):
    """A flip is one change of a switch. `detail` is what failed, or what ended the outage."""

    scope: Scope
    down: bool
    detail: str


class Switch:
    """A switch is the state of one side. `down` is read for each request, all else only when something fails or ends.

    `alarmed`: an answer of this side is news. All times are seconds of one monotonic clock.
    """

    __slots__ = ("alarmed", "detail", "down", "flips", "known", "news", "opened_at", "scope", "word")

    def __init__(self, scope: Scope, word: str) -> None:
        self.scope = scope
        self.word = word  # for answer headers: why a backend was passed over
        self.down = False
        self.alarmed = False
        self.known = False  # whether this side was ever seen up, or is now down
        self.detail = ""  # what opened the switch; it does not change while the switch is open
        self.opened_at = 0.0
        self.flips = 0
        self.news: list[Flip] = []  # for the log; whoever reads them clears them

    def unreachable(self, host: str, now: float, began: float, detail: str) -> None:
        """Notes that an attempt that began at `began` found no way to `host`: DNS, connect, TLS or its proxy failed."""

    def answered(self, now: float, began: float) -> None:
        """Notes that a request that began at `began` was answered, whatever the answer. Called only while `alarmed`."""

    def passed_over(self, host: str) -> None:
        """Notes that a request might have asked `host`, and did not because this side is down."""

    def reached(self, name: str) -> None:
        """Notes that a probe found an endpoint of this backend healthy, so that the next look need not be waited for."""

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


class _Rotation:
    """A rotation is the order in which hosts of the cloud are probed while it is down, one every `seconds`.

    Only those take part that some request of this outage might have asked: a probe opens no connection to a data zone that the
    rules of whoever asks do not allow.
    """

    __slots__ = ("_next", "_seconds", "_taking_part", "_turn", "hosts")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = math.inf
        self._taking_part: list[str] = []
        self._turn: list[str] = []  # hosts still to probe in this rotation
        self.hosts: tuple[str, ...] = ()

    def take(self, hosts: Collection[str]) -> None:
        """Takes the hosts of a new configuration."""
        self.hosts = tuple(dict.fromkeys(hosts))
        self._taking_part = [host for host in self._taking_part if host in self.hosts]
        self._turn = [host for host in self._turn if host in self.hosts]

    def begin(self, now: float, failed: Collection[str]) -> None:
        """Begins with the hosts that have failed."""
        self._taking_part = [host for host in self.hosts if host in failed]
        self._turn = []
        self._next = now + self._seconds

    def join(self, host: str) -> None:
        """Lets a host take part. It is probed at once: it may show that the uplink is not what is broken."""
        if host in self.hosts and host not in self._taking_part:
            self._taking_part.append(host)
            self._turn.insert(0, host)
            self._next = -math.inf

    def due(self, now: float) -> str | None:
        """Returns the host to probe now, if it is time for a probe."""
        if now < self._next:
            return None
        self._next = now + self._seconds
        self._turn = self._turn or list(self._taking_part)
        return self._turn.pop(0) if self._turn else None

    def end(self) -> None:
        self._taking_part.clear()
        self._turn.clear()
        self._next = math.inf


class CloudSwitch(Switch):
    """The cloud's switch opens if several cloud hosts cannot be reached.

    `set_hosts` names the hosts, `due` says which one to probe now, `probe_seconds` how often one is probed.
    """

    __slots__ = ("_failed", "_probes", "_proven")

    def __init__(self, probe_seconds: float = PROBE_SECONDS) -> None:
        super().__init__(Scope.CLOUD, "egress_down")
        self.known = True  # nothing probes the cloud: it counts as up until it fails
        self._probes = _Rotation(probe_seconds)
        self._failed: dict[str, tuple[float, str]] = {}  # by host: when it failed last, and how
        self._proven = -math.inf  # when the last request that was answered began

    def set_hosts(self, hosts: Collection[str]) -> None:
        """Takes the cloud hosts of the configuration in force."""
        self._probes.take(hosts)
        known = self._probes.hosts
        self._failed = {host: seen for host, seen in self._failed.items() if host in known}
        if self.down and len(known) < HOSTS_DOWN:
            self._end(f"the configuration has {len(known)} cloud hosts left")

    def unreachable(self, host: str, now: float, began: float, detail: str) -> None:
        if self.down or host not in self._probes.hosts or began < self._proven:
            return
        self._failed[host] = (now, detail)
        recent = {name: what for name, (at, what) in self._failed.items() if now - at <= WINDOW_SECONDS}
        self.alarmed = True
        if len(recent) >= HOSTS_DOWN:
            self._probes.begin(now, recent)
            self._open(now, "; ".join(f"{name}: {what}" for name, what in sorted(recent.items())))

    def passed_over(self, host: str) -> None:
        self._probes.join(host)

    def answered(self, now: float, began: float) -> None:
        if self.down:
            if began >= self.opened_at:  # otherwise it belongs to what was under way before the outage
                self._end("a request was answered")
            return
        self._proven = max(self._proven, began)
        self._failed = {host: seen for host, seen in self._failed.items() if seen[0] > began}
        self.alarmed = bool(self._failed)

    def due(self, now: float) -> str | None:
        """Returns the host to probe now, in turn, if it is time for a probe."""
        return self._probes.due(now) if self.down else None

    def probed(self, host: str, good: bool) -> None:
        """Takes the result of the probe of a `due` host."""
        if self.down and good:
            self._end(f"a probe reached {host}")

    def _end(self, detail: str) -> None:
        self._failed.clear()
        self._probes.end()
        self._close(detail)


class HouseSwitch(Switch):
    """The house's switch opens if no model of the house can answer."""

    __slots__ = ("_trusted_until",)

    def __init__(self) -> None:
        super().__init__(Scope.HOUSE, "house_down")
        self._trusted_until = -math.inf

    def look(self, now: float, backends: Sequence[tuple[str, bool]]) -> None:
        """Takes what is seen now: the name of each local backend that is not at rest, and whether it is down."""
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
