"""Verification looks whether the books are what they were: the file, the chain, and the sums, made anew of the records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Table, select

from genset.contracts.usage import ENDED, SENT, line
from genset.contracts.usage_records import UsageReader
from genset.ledger import money, state
from genset.ledger.chain import Check, Head, Link
from genset.ledger.database import Database
from genset.ledger.facts import DAY, HOUR, MEASURES, Booking, Series, Sums, add, add_to, bookings, coarser, facts
from genset.ledger.seen import Seen
from genset.ledger.tables import BUDGETS, DAILY, HOURLY, LINKS, RECORDS, SERIES, SPOOLS
from genset.times import rfc3339

AT_ONCE: Final = 5000  # rows that are held in memory
MOST_NAMED: Final = 20  # of a kind of problem
_NOTHING: Final = [0] * len(MEASURES)


@dataclass
class BooksVerdict:
    """A verdict says what was looked at, and what is wrong. `missing`: numbers of records that never came, by spool."""

    looked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    head: Head = field(default_factory=Head)


def verify(database: Database, noted: Head | None = None) -> BooksVerdict:
    """Looks at everything, in one view of one moment. Raises Unavailable."""
    verdict = BooksVerdict()
    with database.reading() as connection:
        if database.is_sqlite:
            _file(connection, verdict)
        _chain(connection, verdict, noted)
        _sums(connection, verdict)
        _budgets(connection, verdict)
        _gaps(connection, verdict)
    return verdict


def _file(connection: Connection, verdict: BooksVerdict) -> None:
    told = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if told != ["ok"]:
        verdict.problems += [f"the file is damaged: {one}; go back to a backup" for one in told[:MOST_NAMED]]
    verdict.looked.append("the file")


def _chain(connection: Connection, verdict: BooksVerdict, noted: Head | None) -> None:
    check = Check(state.anchor(connection), noted)
    check.follow(_links(connection))
    if not check.end():
        verdict.problems.append(check.problem)
    verdict.head = check.head
    verdict.looked.append(f"the chain, from link {check.anchor.number + 1} to {check.head.number}")


def _links(connection: Connection) -> Iterator[Link]:
    asked = select(LINKS.c.number, SPOOLS.c.incarnation, LINKS.c.body, LINKS.c.hash)
    ordered = asked.join(SPOOLS, SPOOLS.c.id == LINKS.c.spool, isouter=True).order_by(LINKS.c.number)
    for row in connection.execution_options(yield_per=AT_ONCE).execute(ordered):
        yield Link(row.number, row.incarnation or "", bytes(row.body), bytes(row.hash))


def _sums(connection: Connection, verdict: BooksVerdict) -> None:
    """Compares sums of hours with their records, and of days with their hours, as far as these are kept."""
    names = {row[0]: Series(*row[1:]) for row in connection.execute(select(SERIES))}
    gone = state.get(connection, state.RAW_SINCE)
    first = max(int(gone) // HOUR + 1 if gone else 0, int(state.get(connection, state.HOURS_SINCE) or 0))
    made, count = _made_anew(connection, first)
    hours = _kept(connection, HOURLY, first, names)
    verdict.problems += _different(made, hours, HOUR)
    verdict.looked.append(f"sums of hours, beside {count} records")
    day = -(-int(state.get(connection, state.HOURS_SINCE) or 0) * HOUR // DAY)
    whole = _kept(connection, HOURLY, day * DAY // HOUR, names)
    verdict.problems += _different(coarser(whole, DAY // HOUR), _kept(connection, DAILY, day, names), DAY)
    verdict.looked.append("sums of days, beside those of their hours")


def _budgets(connection: Connection, verdict: BooksVerdict) -> None:
    """Compares what was spent of budgets with the records of windows that are still there whole."""
    gone = int(state.get(connection, state.RAW_SINCE) or -1)
    writers = {
        row.id: UsageReader(row.incarnation, row.policy, row.router) for row in connection.execute(select(SPOOLS))
    }
    made: dict[tuple[Booking, int], int] = {}
    asked = select(RECORDS.c.spool, RECORDS.c.body).where(RECORDS.c.time > gone)
    for row in connection.execution_options(yield_per=AT_ONCE).execute(asked):
        for record in writers[row.spool].read(line(bytes(row.body))):
            for booking, (whole, rest) in bookings(record):
                key = booking, row.spool
                made[key] = made.get(key, 0) + whole * money.REST + rest
    kept = connection.execute(select(BUDGETS).where(BUDGETS.c.begin > gone))
    held = {
        (Booking(row.policy, row.name, row.currency, row.begin), row.spool): row.spent * money.REST + row.spent_rest
        for row in kept
    }
    wrong = [
        one for one, _ in made.items() | held.items() if one[0].begin > gone and made.get(one, 0) != held.get(one, 0)
    ]
    for booking, _ in sorted(set(wrong))[:MOST_NAMED]:
        verdict.problems.append(
            f"what was spent of budget {booking.name} of {booking.policy} since {rfc3339(booking.begin)} is not what its "
            "records say"
        )
    verdict.looked.append("what was spent of budgets, beside their records")


def _made_anew(connection: Connection, first: int) -> tuple[Sums, int]:
    """Returns what records from an hour on come to, by the names that sums have, and how many these are."""
    writers = {
        row.id: UsageReader(row.incarnation, row.policy, row.router) for row in connection.execute(select(SPOOLS))
    }
    asked = select(RECORDS.c.spool, RECORDS.c.body).where(RECORDS.c.time >= first * HOUR)
    sums: Sums = {}
    count = 0
    for row in connection.execution_options(yield_per=AT_ONCE).execute(asked):
        for record in writers[row.spool].read(line(bytes(row.body))):
            add(sums, facts(record), HOUR)
            count += 1
    return sums, count


def _kept(connection: Connection, table: Table, first: int, names: dict[int, Series]) -> Sums:
    asked = select(table.c.slot, table.c.series, *(table.c[name] for name in MEASURES)).where(table.c.slot >= first)
    return {(row[0], names[row[1]]): [int(value) for value in row[2:]] for row in connection.execute(asked)}


def _different(made: Sums, kept: Sums, slot: int) -> list[str]:
    """Compares slot by slot, over all series, because names may have been folded together."""
    there, here = _totals(made), _totals(kept)
    found = []
    for at in sorted(there.keys() | here.keys()):
        pairs = zip(MEASURES, there.get(at, _NOTHING), here.get(at, _NOTHING), strict=True)
        wrong = [f"{name} {b} instead of {a}" for name, a, b in pairs if a != b]
        if wrong:
            found.append(f"sums of {rfc3339(at * slot)} are not those of their records: {', '.join(wrong)}")
    return found[:MOST_NAMED]


def _totals(sums: Sums) -> dict[int, list[int]]:
    whole: Sums = {}
    for (slot, _), measures in sums.items():
        add_to(whole.setdefault((slot, Series()), [0] * len(MEASURES)), measures)
    return {slot: measures for (slot, _), measures in whole.items()}


#: Lines that an entry need not have: how much was sent is said for some alone, and one whose router was killed has no end.
_FURTHER: Final = (SENT, ENDED)


def _gaps(connection: Connection, verdict: BooksVerdict) -> None:
    for row in connection.execute(select(SPOOLS).order_by(SPOOLS.c.id)):
        for what, runs in json.loads(row.seen).items():
            if what in _FURTHER:
                continue
            missing = [f"{a}-{b}" if a < b else str(a) for a, b in Seen(runs).missing()]
            if missing:
                told = ", ".join(missing[:MOST_NAMED]) + (" …" if len(missing) > MOST_NAMED else "")
                verdict.missing.append(f"{row.kind} of {row.router or row.incarnation} ({row.policy}), {what}: {told}")
