"""What leaves the house is written down: before a connection outside is used for a request, and when its answer is there.

Only attempts at backends in another zone than the house come here, and only if the policy wants the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, final
from zlib import crc32

from genset.router.decimals import three_decimals
from genset.router.dialects.tolerant import dumps
from genset.router.http.spool import Spool
from genset.router.http.upstream import UpstreamConnection

_HEX: Final = [b"%02x" % byte for byte in range(256)]
MOST_PARTS: Final = 1024  # of lines that are kept: names from the configuration


@final
class EgressBook:
    """The egress record of one router. `required`: no record, no way out. `wall`: seconds since 1970; `now`: monotonic."""

    __slots__ = ("_now", "_number", "_parts", "_wall", "required", "spool", "unkept")

    def __init__(self, spool: Spool, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self.spool = spool
        self.required = False
        self.unkept = 0  # records that could not be kept, of attempts that were made all the same (BestEffort)
        self._wall = wall
        self._now = now
        self._number = 0
        self._parts: dict[Any, tuple[bytes, int]] = {}  # with their checksums

    def require(self, required: bool) -> None:
        """Takes what a configuration says."""
        self.required = required

    @property
    def refuses(self) -> str:
        """Returns why nothing may leave the house now; empty if it may."""
        return self.spool.failing if self.required else ""

    def begun(
        self, request: bytes, consumer: str, route: str, place: tuple[str, str, str], bytes_out: int | None
    ) -> Entry | None:
        """Writes down that a request goes to a `place`: backend, zone and host. None: it must not go, there is no record.

        `request` is its id, which is made of characters that JSON takes as they are.
        """
        self._number += 1
        key: Any = (consumer, route, place[0], place[1], place[2])
        found = self._parts.get(key)
        if found is None:
            told = {"consumer": consumer, "route": route, "backend": place[0], "zone": place[1], "host": place[2]}
            text = b'{"kind":"begun",%b' % dumps(told)[1:-1]
            if len(self._parts) >= MOST_PARTS:
                self._parts.clear()
            found = self._parts[key] = (text, crc32(text))
        common, check = found
        rest = b',"n":%d,"time":%b,"request":"%b"%b}' % (
            self._number,
            self.time(),
            request,
            b"" if bytes_out is None else b',"bytesOut":%d' % bytes_out,
        )
        if not self.spool.add(spool_line_behind(common, check, rest), self._now()):
            if self.required:
                return None
            self.unkept += 1
        return Entry(self, self._number, bytes_out)

    def write(self, body: bytes) -> None:
        """Writes down what has become of an entry."""
        if not self.spool.add(spool_line(body), self._now()):
            self.unkept += 1

    def time(self) -> bytes:
        """Returns the time of a line."""
        return three_decimals(self._wall())


@final
class Entry:
    """An entry is one attempt outside, from before its connection is used until its last byte."""

    __slots__ = ("_egress", "_end", "_meter", "_number", "_out")

    def __init__(self, egress: EgressBook, number: int, bytes_out: int | None) -> None:
        self._egress = egress
        self._number = number
        self._out = bytes_out
        self._meter: Meter | None = None
        self._end: tuple[str, tuple[int, int]] | None = None

    def sends(self, connection: UpstreamConnection, size: int) -> None:
        """So many bytes go out on this connection, from now on until the end of their answer."""
        if self._out is None:
            self._out = size
            self._egress.write(b'{"kind":"sent","n":%d,"bytesOut":%d}' % (self._number, size))
        elif self._meter is not None:  # a kept connection was closed under it: it is sent once more
            self._out += size
        meter = connection.transport.get_protocol()
        if not isinstance(meter, Meter):
            meter = Meter(connection)
            connection.transport.set_protocol(meter)
        before = self._meter.bytes_in if self._meter is not None else 0
        meter.begin(self, before)
        self._meter = meter

    def ended(self, outcome: str, tokens: tuple[int, int], connection: UpstreamConnection | None) -> None:
        """The attempt has ended so. What still comes of a complete answer is waited for."""
        self._end = (outcome, tokens)
        if connection is None or connection.closed or connection.complete or self._meter is None:
            self.write_end()

    def write_end(self) -> None:
        """Writes the end, once it is known."""
        end, meter = self._end, self._meter
        if end is None:
            return
        self._end = None
        (outcome, (given, made)) = end
        if meter is not None:
            meter.entry = None
        self._egress.write(
            b'{"kind":"ended","n":%d,"time":%b,"bytesOut":%d,"bytesIn":%d,"inputTokens":%d,"outputTokens":%d,"outcome":"%b"}'
            % (
                self._number,
                self._egress.time(),
                self._out or 0,
                meter.bytes_in if meter is not None else 0,
                given,
                made,
                outcome.encode(),
            )
        )


@final
class Meter(asyncio.Protocol):
    """A meter stands between a transport and its connection, and counts what comes in for the entry that uses it."""

    __slots__ = ("_inner", "bytes_in", "entry")

    def __init__(self, inner: UpstreamConnection) -> None:
        self._inner = inner
        self.bytes_in = 0
        self.entry: Entry | None = None

    def begin(self, entry: Entry, before: int) -> None:
        """Counts for another entry from now on; `before`: what had come for it on another connection."""
        self.bytes_in = before
        self.entry = entry

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        inner, entry = self._inner, self.entry
        inner.data_received(data)
        if entry is not None and (inner.complete or inner.closed):
            entry.write_end()

    def eof_received(self) -> None:
        self._inner.eof_received()

    def connection_lost(self, problem: BaseException | None) -> None:
        entry = self.entry
        self._inner.connection_lost(problem)
        if entry is not None:
            entry.write_end()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def spool_line_behind(common: bytes, check: int, rest: bytes) -> bytes:
    """Returns the line of a JSON object that begins as others do. `check`: the checksum of what they have in common."""
    check = crc32(rest, check)
    return b"%b%b%b%b %b%b\n" % (
        _HEX[check >> 24],
        _HEX[check >> 16 & 255],
        _HEX[check >> 8 & 255],
        _HEX[check & 255],
        common,
        rest,
    )


def spool_line(body: bytes) -> bytes:
    """Returns the line of a JSON object as `contracts.usage.line` does, compiled."""
    return spool_line_behind(b"", 0, body)
