"""What leaves the house is written down by routers and read by people and ledgers: the lines of the egress spool.

A spool is a folder of segments, `egress-INCARNATION-NUMBER.log`. An incarnation is one life of one router's process. A line is
the CRC-32 of its JSON in eight hexadecimal digits, a blank, the JSON, a line feed; the first one of a segment says who writes it.
Whatever a process did not finish writing when it was killed has no right checksum or no end: readers leave it out, and say how
much it was. Bytes that are zero behind the last line are room that was not used.

An entry is one attempt at a backend outside the house. `begun` is written before a connection is used for it; `sent` says how
many bytes went out if that was not known before; `ended` is missing while it runs, and for ever if its router was killed.
No line holds content of requests or answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from genset.contracts.reading import count, duration, parsed, text

VERSION: Final = 1
EGRESS_PATH: Final = "/-/egress"  # on the admin port: names of segments; a segment's content at /NAME below it
PREFIX, SUFFIX = "egress-", ".log"
OPENED, BEGUN, SENT, ENDED = "opened", "begun", "sent", "ended"
_CHECKSUM: Final = 9  # characters before the JSON, the blank among them


def line(body: bytes) -> bytes:
    """Returns the line of a JSON object, which must not hold a line feed."""
    return b"%08x %b\n" % (zlib.crc32(body), body)


def spool_objects(segment: bytes) -> Iterator[Mapping[str, Any] | None]:
    """Yields the object of each line, and None for each piece that a killed process left unfinished or a disk has spoilt."""
    for one in (piece.rstrip(b"\0") for piece in segment.split(b"\n")):
        body = one[_CHECKSUM:]
        if one.startswith(b"%08x " % zlib.crc32(body)) and (told := parsed(body)):
            yield told
        elif one:
            yield None


def opening(incarnation: str, policy: str, router: str, time: float) -> bytes:
    """Returns the first line of a segment. `policy` is NAMESPACE/NAME, `router` the name of the pod."""
    told = {"kind": OPENED, "version": VERSION, "incarnation": incarnation, "policy": policy, "router": router}
    return line(orjson.dumps({**told, "time": time}))


@dataclass(frozen=True)
class EgressEntry:
    """An entry is one attempt outside the house. Times are seconds since 1970; bytes are those of HTTP, inside TLS.

    `incarnation` and `number` name it once and for all. `ended` is None if nothing says that it has; what it brought in is then
    not known. `outcome` is ok, or the outcome of a failed attempt.
    """

    incarnation: str
    number: int
    time: float
    request: str = ""
    consumer: str = ""
    policy: str = ""
    router: str = ""
    route: str = ""
    backend: str = ""
    zone: str = ""
    host: str = ""
    bytes_out: int | None = None
    bytes_in: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    outcome: str = ""
    ended: float | None = None


@dataclass
class EgressReading:
    """A reading is what a spool holds. `torn` counts pieces that a killed process left unfinished or a disk has spoilt."""

    entries: dict[tuple[str, int], EgressEntry] = field(default_factory=dict)
    torn: int = 0

    def add(self, segment: bytes) -> None:
        """Reads one segment. Segments may come in any order, and twice: an entry counts once."""
        incarnation, policy, router = "", "", ""
        for told in spool_objects(segment):
            if told is None:
                self.torn += 1
                continue
            kind = told.get("kind")
            if kind == OPENED:
                incarnation, policy, router = (
                    text(told.get("incarnation")),
                    text(told.get("policy")),
                    text(told.get("router")),
                )
                continue
            if not incarnation:  # whose lines these are cannot be read
                self.torn += 1
                continue
            key = (incarnation, count(told.get("n")))
            entry = self.entries.get(key) or EgressEntry(incarnation, key[1], 0.0, policy=policy, router=router)
            self.entries[key] = _with(entry, kind, told)

    def found(self) -> list[EgressEntry]:
        """Returns the entries by time. One whose beginning was thrown away to make room is left out."""
        return sorted((e for e in self.entries.values() if e.backend), key=lambda e: (e.time, e.incarnation, e.number))


def _with(entry: EgressEntry, kind: Any, told: Mapping[str, Any]) -> EgressEntry:
    if kind == BEGUN:
        return replace(
            entry,
            time=duration(told.get("time")) or 0.0,
            request=text(told.get("request")),
            consumer=text(told.get("consumer")),
            route=text(told.get("route")),
            backend=text(told.get("backend")),
            zone=text(told.get("zone")),
            host=text(told.get("host")),
            bytes_out=_count(told, "bytesOut", entry.bytes_out),
        )
    if kind == SENT:
        return replace(entry, bytes_out=_count(told, "bytesOut", entry.bytes_out))
    if kind == ENDED:
        return replace(
            entry,
            ended=duration(told.get("time")),
            bytes_out=_count(told, "bytesOut", entry.bytes_out),
            bytes_in=_count(told, "bytesIn", None),
            input_tokens=_count(told, "inputTokens", None),
            output_tokens=_count(told, "outputTokens", None),
            outcome=text(told.get("outcome")),
        )
    return entry


def _count(told: Mapping[str, Any], name: str, otherwise: int | None) -> int | None:
    return count(told[name]) if name in told else otherwise
