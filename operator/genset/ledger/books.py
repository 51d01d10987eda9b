"""The books take pieces of segments, several in one transaction: records, chain and sums are written together, or not at all."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from genset.ledger import money
from genset.ledger.chain import Head
from genset.ledger.database import Database, DiskFull, Unavailable
from genset.ledger.decoding import (
    CHAINED,
    BadPiece,
    Piece,
    SegmentName,
    SpoolLine,
    SpoolWriter,
    decode,
    kept_text,
    moment,
)
from genset.ledger.facts import (
    DAY,
    HOUR,
    MEASURES,
    MONEY,
    Booking,
    Series,
    Sums,
    add,
    add_to,
    bookings,
    coarser,
    facts,
)
from genset.ledger.seen import Seen
from genset.ledger.state import anchor
from genset.ledger.tables import BUDGETS, DAILY, HOURLY, LINKS, RECORDS, SEGMENTS, SERIES, SPOOLS
from genset.ledger.tally import BookedCounts

MOST_SERIES: Final = 100_000  # then models count together: their names may come from clients and from providers
OTHER_MODELS: Final = "(others)"

log = logging.getLogger(__name__)


class Forbidden(Exception):
    """Whoever sends this may not: it was written by routers of another namespace."""


@dataclass(frozen=True)
class Sending:
    """A sending is a piece of a segment, from byte `offset` on. `namespace`: whose routers may send it; None: anybody's."""

    name: SegmentName
    offset: int
    body: bytes
    namespace: str | None = None


@dataclass(frozen=True)
class Booked:
    """`have`: bytes of the segment that are booked. Not `fits`: the sending did not begin there, and was not taken."""

    have: int
    fits: bool = True


@dataclass
class _Spool:
    id: int
    writer: SpoolWriter
    torn: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)
    have: dict[int, int] = field(default_factory=dict)  # by segment, as far as they were asked for
    begun: set[int] = field(default_factory=set)  # segments that have a row already


class Books:
    """The books write to one database. `clock`: seconds since 1970. One thread uses them."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._series: dict[Series, int] = {}
        self.tally = BookedCounts()

    def take(self, sendings: Sequence[Sending]) -> list[Booked | BadPiece | Forbidden]:
        """Books sendings. Once this returns, they are on the disk. Raises Unavailable, and nothing is booked."""
        try:
            try:
                return self._take(sendings)
            except DiskFull:
                self._database.relieve()
                return self._take(sendings)
        except Unavailable:
            self.tally.sendings["unavailable"] += len(sendings)
            raise

    def _take(self, sendings: Sequence[Sending]) -> list[Booked | BadPiece | Forbidden]:
        known = dict(self._series) if len(self._series) < MOST_SERIES else self._series
        with self._database.writing() as connection:
            turn = _Turn(connection, int(self._clock()), known)
            results = [turn.take(sending) for sending in sendings]
            turn.write()
        self._series = known
        self.tally.bytes += turn.size
        self.tally.booked(turn.kinds, turn.latest, turn.hourly)
        self.tally.sendings.update(_word(result) for result in results)
        return results


def _word(result: Booked | BadPiece | Forbidden) -> str:
    return ("booked" if result.fits else "known") if isinstance(result, Booked) else "refused"


class _Turn:
    """A turn is what one transaction books."""

    def __init__(self, connection: Connection, received: int, series: dict[Series, int]) -> None:
        self._connection = connection
        self._received = received
        self._series = series
        self._spools: dict[tuple[str, str], _Spool] = {}
        self._records: list[dict[str, Any]] = []
        self._links: list[tuple[_Spool, str, SpoolLine]] = []
        self.hourly: Sums = {}
        self.kinds: Counter[str] = Counter()  # lines that are new, by kind
        self.size = 0  # bytes of pieces
        self.latest = 0
        self._spent: dict[tuple[Booking, int], tuple[int, int]] = {}  # by budget and spool

    def take(self, sending: Sending) -> Booked | BadPiece | Forbidden:
        try:
            return self._take(sending)
        except (BadPiece, Forbidden) as problem:
            return problem

    def _take(self, sending: Sending) -> Booked:
        name = sending.name
        spool = self._known(name)
        have = self._have(spool, name) if spool is not None else 0
        if sending.offset != have:
            return Booked(have, fits=False)
        piece = decode(name, spool.writer if spool is not None and have else None, sending.body)
        if not piece.size:
            return Booked(have)
        self._check(spool, piece, sending)
        if spool is None:
            spool = self._new(name, piece.writer)
        spool.torn += piece.torn
        spool.have[name.number] = have + piece.size
        self.size += piece.size
        for line in piece.lines:
            if spool.seen.setdefault(line.what, Seen()).add(line.number):
                self._book(spool, name, line)
        return Booked(have + piece.size)

    def _check(self, spool: _Spool | None, piece: Piece, sending: Sending) -> None:
        policy = piece.writer.policy
        if spool is not None and spool.writer.policy != policy:
            raise BadPiece(f"{sending.name.file} is of {policy}, and what came before it of {spool.writer.policy}")
        namespace = policy.partition("/")[0]
        if sending.namespace is not None and namespace != sending.namespace:
            raise Forbidden(f"the token is that of namespace {sending.namespace}, and the records are of {namespace}")

    def _book(self, spool: _Spool, name: SegmentName, line: SpoolLine) -> None:
        self.kinds[name.kind] += 1
        if name.kind in CHAINED:
            self._links.append((spool, name.incarnation, line))
            return
        self._records.append(
            {
                "spool": spool.id,
                "number": line.number,
                "time": moment(line.time),
                "received": self._received,
                "request": kept_text(line.request),
                "body": line.body,
            }
        )
        if line.record is not None:
            self.latest = max(self.latest, moment(line.time))
            add(self.hourly, facts(line.record), HOUR)
            for booking, (whole, rest) in bookings(line.record):
                held, held_rest = self._spent.get((booking, spool.id), (0, 0))
                self._spent[booking, spool.id] = held + whole, held_rest + rest

    # What is known of spools

    def _known(self, name: SegmentName) -> _Spool | None:
        key = (name.incarnation, name.kind)
        found = self._spools.get(key)
        if found is not None:
            return found
        row = self._connection.execute(
            select(SPOOLS).where(SPOOLS.c.incarnation == name.incarnation, SPOOLS.c.kind == name.kind)
        ).first()
        if row is None:
            return None
        seen = {what: Seen(runs) for what, runs in json.loads(row.seen).items()}
        self._spools[key] = _Spool(row.id, SpoolWriter(row.policy, row.router, row.opened), row.torn, seen)
        return self._spools[key]

    def _new(self, name: SegmentName, writer: SpoolWriter) -> _Spool:
        made = self._connection.execute(
            insert(SPOOLS)
            .returning(SPOOLS.c.id)
            .values(
                incarnation=name.incarnation,
                kind=name.kind,
                policy=kept_text(writer.policy),
                router=kept_text(writer.router),
                opened=moment(writer.time),
                received=self._received,
                torn=0,
                seen="{}",
            )
        )
        spool = self._spools[name.incarnation, name.kind] = _Spool(made.scalar_one(), writer)
        return spool

    def _have(self, spool: _Spool, name: SegmentName) -> int:
        if name.number not in spool.have:
            found = self._connection.execute(
                select(SEGMENTS.c.have).where(SEGMENTS.c.spool == spool.id, SEGMENTS.c.number == name.number)
            ).scalar()
            if found is not None:
                spool.begun.add(name.number)
            spool.have[name.number] = found or 0
        return spool.have[name.number]

    # What is written

    def write(self) -> None:
        """Writes everything that was taken."""
        if self._records:
            self._connection.execute(insert(RECORDS), self._records)
        self._write_links()
        self._write_sums()
        self._write_budgets()
        for spool in self._spools.values():
            self._write_spool(spool)

    def _write_spool(self, spool: _Spool) -> None:
        seen = json.dumps({what: seen.runs() for what, seen in spool.seen.items()}, separators=(",", ":"))
        self._connection.execute(
            update(SPOOLS).where(SPOOLS.c.id == spool.id).values(received=self._received, torn=spool.torn, seen=seen)
        )
        for number, have in spool.have.items():
            if number in spool.begun:
                place = (SEGMENTS.c.spool == spool.id) & (SEGMENTS.c.number == number)
                self._connection.execute(update(SEGMENTS).where(place).values(have=have))
            elif have:
                self._connection.execute(insert(SEGMENTS).values(spool=spool.id, number=number, have=have))

    def _write_links(self) -> None:
        if not self._links:
            return
        head, rows = chain_head(self._connection), []
        for spool, writer, line in self._links:
            head = head.following(writer, line.body)
            rows.append(
                {
                    "number": head.number,
                    "spool": spool.id,
                    "time": moment(line.time),
                    "received": self._received,
                    "request": kept_text(line.request),
                    "body": line.body,
                    "hash": head.hash,
                }
            )
        self._connection.execute(insert(LINKS), rows)

    def _write_sums(self) -> None:
        if self.hourly:
            self.hourly = self._named()
            add_sums(self._connection, HOURLY, self._rows(self.hourly))
            add_sums(self._connection, DAILY, self._rows(coarser(self.hourly, DAY // HOUR)))

    def _write_budgets(self) -> None:
        rows = []
        for (booking, spool), (whole, rest) in self._spent.items():
            more, rest = divmod(rest, money.REST)
            rows.append({**booking._asdict(), "spool": spool, "spent": whole + more, "spent_rest": rest})
        if rows:
            add_spent(self._connection, rows)

    def _rows(self, sums: Sums) -> list[dict[str, int]]:
        return [
            {"slot": slot, "series": self._series[series], **dict(zip(MEASURES, measures, strict=True))}
            for (slot, series), measures in sums.items()
        ]

    def _named(self) -> Sums:
        """Returns the sums by series that have a number each; new ones get theirs."""
        found = self.hourly
        if any(series not in self._series for _, series in found):
            self._learn()
            found = {}
            for (slot, series), measures in self.hourly.items():
                if series not in self._series and len(self._series) >= MOST_SERIES:
                    series = series._replace(model=OTHER_MODELS)
                held = found.setdefault((slot, series), [0] * len(measures))
                add_to(held, measures)
            self._number(dict.fromkeys(series for _, series in found if series not in self._series))
        return found

    def _learn(self) -> None:
        """Reads the series that are new since they were read last."""
        last = max(self._series.values(), default=0)
        for number, *names in self._connection.execute(select(SERIES).where(SERIES.c.id > last)):
            self._series[Series(*names)] = number

    def _number(self, fresh: dict[Series, None]) -> None:
        if not fresh:
            return
        first = max(self._series.values(), default=0) + 1
        rows = [{"id": number, **series._asdict()} for number, series in enumerate(fresh, first)]
        self._connection.execute(insert(SERIES), rows)
        self._series.update((series, number) for number, series in enumerate(fresh, first))


def chain_head(connection: Connection) -> Head:
    """Returns the last link of the chain."""
    found = connection.execute(select(LINKS.c.number, LINKS.c.hash).order_by(LINKS.c.number.desc()).limit(1)).first()
    return Head(found.number, bytes(found.hash)) if found is not None else anchor(connection)


def add_sums(connection: Connection, table: Table, rows: list[dict[str, int]]) -> None:
    """Adds rows to sums that are there."""
    _add(connection, table, rows, ["slot", "series"], MEASURES, MONEY)


def add_spent(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Adds rows to what was spent of budgets."""
    _add(
        connection, BUDGETS, rows, [column.name for column in BUDGETS.primary_key], ("spent", "spent_rest"), ("spent",)
    )


def _add(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    measures: Sequence[str],
    amounts: Sequence[str],
) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    added = {name: table.c[name] + statement.excluded[name] for name in measures}
    for name in amounts:
        rest = added[f"{name}_rest"]
        added[name] = added[name] + rest // money.REST
        added[f"{name}_rest"] = rest % money.REST
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=added), rows)
