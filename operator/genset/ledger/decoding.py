"""Pieces of segments become records, in the form in which they are kept and summed up. Pure.

A piece begins where the one before it ended and is read up to its last whole line: what stands behind that has not been written
yet, or never will be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from genset.contracts import usage, usage_records
from genset.contracts.reading import count, duration, text
from genset.contracts.usage import spool_objects
from genset.contracts.usage_records import UsageReader, UsageRecord

USAGE, EGRESS, DRILL = "usage", "egress", "drill"
CHAINED: Final = (EGRESS, DRILL)  # kinds whose records are links of the chain
_NAME: Final = re.compile(r"(usage|egress|drill)-([0-9A-Za-z]{1,64})-(\d{1,12})\.log")
_CHECKSUM: Final = 9  # characters before a line's JSON
_HINT: Final = b'{"kind":"opened"'
LATEST: Final = 253_402_300_799.0  # the last second of the year 9999: no record is later, whatever a clock said


class BadPiece(ValueError):
    """What was sent is no piece of a segment. The message says why."""


@dataclass(frozen=True)
class SegmentName:
    """A segment's name says of which kind its records are, which life of which router wrote it, and which one it is of these."""

    kind: str
    incarnation: str
    number: int
    file: str

    @classmethod
    def read(cls, file: str) -> SegmentName:
        """Raises BadPiece."""
        found = _NAME.fullmatch(file)
        if found is None:
            raise BadPiece(
                f"{file[:100]!r} is no segment's name; it is KIND-INCARNATION-NUMBER.log, with usage, egress or drill"
            )
        return cls(found[1], found[2], int(found[3]), file)


@dataclass(frozen=True)
class SpoolWriter:
    """A writer is who has written a spool: one life of the router of a policy."""

    policy: str = ""
    router: str = ""
    time: float = 0.0  # of its first line, by its clock


@dataclass(frozen=True)
class SpoolLine:
    """A line is kept as it was written, without its checksum. `number` names it, with `what` it says, in its spool."""

    what: str
    number: int
    time: float
    request: str
    body: bytes
    record: UsageRecord | None = None  # of lines of usage


@dataclass
class Piece:
    """A piece is what was read. `size`: bytes up to its last whole line. `torn` lines cannot be read by anybody."""

    writer: SpoolWriter
    size: int
    lines: list[SpoolLine] = field(default_factory=list)
    torn: int = 0


def decode(name: SegmentName, writer: SpoolWriter | None, body: bytes) -> Piece:
    """Reads a piece. `writer` is None at the beginning of a segment, whose first line says who it is. Raises BadPiece."""
    size = body.rfind(b"\n") + 1
    whole = memoryview(body)[:size].tobytes() if size < len(body) else body
    piece = Piece(writer or SpoolWriter(), size)
    known = writer is not None
    reader = UsageReader(name.incarnation, piece.writer.policy, piece.writer.router)
    for one in whole.split(b"\n"):
        if not one:
            continue
        if not known or one.startswith(_HINT, _CHECKSUM):
            opened = _opened(one, name)
            if opened is None:
                piece.torn += 1
                continue
            if known and opened.policy != piece.writer.policy:
                raise BadPiece(
                    f"{name.file} is written by routers of {piece.writer.policy}, and in it stands {opened.policy}"
                )
            piece.writer, known = (piece.writer if known else opened), True
            reader = UsageReader(name.incarnation, piece.writer.policy, piece.writer.router)
        elif name.kind == USAGE:
            _usage(reader, one, piece)
        else:
            _chained(one, piece)
    piece.torn += reader.torn
    if size and not known:
        raise BadPiece(f"{name.file} does not begin with a line that says who writes it: it is no segment of a spool")
    return piece


def _opened(one: bytes, name: SegmentName) -> SpoolWriter | None:
    told = next(spool_objects(one), None)
    if told is None:
        return None
    if told.get("kind") != usage.OPENED:
        raise BadPiece(f"{name.file} does not begin with a line that says who writes it: it is no segment of a spool")
    if text(told.get("incarnation")) != name.incarnation:
        raise BadPiece(f"{name.file} was written by another incarnation than its name says")
    return SpoolWriter(text(told.get("policy")), text(told.get("router")), duration(told.get("time")) or 0.0)


def _usage(reader: UsageReader, one: bytes, piece: Piece) -> None:
    for record in reader.read(one):
        _keep(piece, SpoolLine(usage_records.REQUEST, record.number, record.time, record.request, _body(one), record))


def _chained(one: bytes, piece: Piece) -> None:
    told = next(spool_objects(one), None)
    if told is None:
        piece.torn += 1
        return
    what, number, moment = text(told.get("kind")), count(told.get("n")), duration(told.get("time"))
    _keep(piece, SpoolLine(what, number, moment or 0.0, text(told.get("request")), _body(one)))


def _keep(piece: Piece, line: SpoolLine) -> None:
    """Takes a line, if it can be told from others of its spool."""
    if line.number and line.what:
        piece.lines.append(line)
    else:
        piece.torn += 1


def _body(one: bytes) -> bytes:
    return one[_CHECKSUM:].rstrip(b"\0")


def moment(seconds: float) -> int:
    """Returns a time as it is kept: whole seconds, in years that have four digits."""
    return int(min(seconds, LATEST))


def kept_text(value: str) -> str:
    """Returns a text as every database takes it: PostgreSQL knows no zero character."""
    return value.replace("\0", "") if "\0" in value else value
