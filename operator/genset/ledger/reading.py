"""Reading asks the books: sums for reports, raw records for single requests, and what left the house."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, literal, or_, select

from genset.contracts.ledger import DIMENSIONS
from genset.contracts.usage import ENDED, OPENED, line
from genset.ledger import money, state
from genset.ledger.database import Database
from genset.ledger.facts import DAY, HOUR, MEASURES, Booking, Series
from genset.ledger.questions import BadQuestion
from genset.ledger.report import UsageQuestion, UsageReport, report
from genset.ledger.tables import BUDGETS, DAILY, HOURLY, LINKS, RECORDS, SERIES, SPOOLS
from genset.times import rfc3339

Sum = tuple[int, Series, Sequence[int]]
MOST_LINES: Final = 10_000  # of one answer
LONGEST_ATTEMPT_SECONDS: Final = 3600  # in which the end of an attempt is looked for
_ALWAYS: Final = ("zone", "currency", "avoided_currency")  # what a report looks at, whatever is asked


def usage(database: Database, question: UsageQuestion) -> UsageReport:
    """Answers a question of usage. Raises Unavailable."""
    with database.reading() as connection:
        return report(question, _sums(connection, question))


def _sums(connection: Connection, question: UsageQuestion) -> Iterator[Sum]:
    """Yields the sums of a span by hours: whole days from the sums of days, the rest from those of hours."""
    first, last = -(-question.begin // DAY), question.end // DAY  # whole days
    spans: list[tuple[Table, int, int]] = [(HOURLY, question.begin // HOUR, question.end // HOUR)]
    if first < last and (not question.time or (question.time != "hour" and question.time_zone is UTC)):
        spans = [
            (HOURLY, question.begin // HOUR, first * DAY // HOUR),
            (DAILY, first, last),
            (HOURLY, last * DAY // HOUR, question.end // HOUR),
        ]
    since = int(state.get(connection, state.HOURS_SINCE) or 0)
    for table, begin, end in spans:
        if table is HOURLY and begin < min(end, since):
            raise BadQuestion(
                f"sums of hours are kept since {rfc3339(since * HOUR)}: before that, ask from midnight to midnight in UTC, by "
                "day or month or by no time"
            )
        if begin < end:
            yield from _of(connection, table, begin, end, question)


def _of(connection: Connection, table: Table, begin: int, end: int, question: UsageQuestion) -> Iterator[Sum]:
    """Yields what a table has of a span of its slots. The database adds up, so that few rows come here."""
    hours = DAY // HOUR if table is DAILY else 1
    asked = {DIMENSIONS[word] for word in (*question.by, *question.only) if word in DIMENSIONS}
    names = [name for name in Series._fields if name in asked or name in _ALWAYS]
    parts = [SERIES.c[name] for name in names]
    only = [SERIES.c[DIMENSIONS[word]] == value for word, value in question.only.items()]
    slot = table.c.slot if question.time else literal(begin)
    statement = (
        select(slot.label("slot"), *parts, *(func.sum(table.c[name]) for name in MEASURES))
        .join(SERIES, SERIES.c.id == table.c.series)
        .where(table.c.slot >= begin, table.c.slot < end, *only)
        .group_by(*((table.c.slot,) if question.time else ()), *parts)
    )
    for row in connection.execute(statement):
        series = Series(**dict(zip(names, row[1:], strict=False)))
        yield int(row[0]) * hours, series, [int(value) for value in row[1 + len(names) :]]


def budgets(database: Database, asked: Sequence[Booking]) -> list[dict[str, Any]]:
    """Returns what each life of each router has spent in these windows, as routers are told it. Raises Unavailable."""
    with database.reading() as connection:
        return [
            {"name": one.name, "currency": one.currency, "begin": one.begin, "spent": _spent(connection, one)}
            for one in asked
        ]


def _spent(connection: Connection, of: Booking) -> dict[str, str]:
    key = [BUDGETS.c[name] == value for name, value in of._asdict().items()]
    rows = connection.execute(
        select(SPOOLS.c.incarnation, BUDGETS.c.spent, BUDGETS.c.spent_rest)
        .join(SPOOLS, SPOOLS.c.id == BUDGETS.c.spool)
        .where(*key)
    )
    return {row.incarnation: money.digits(money.joined(row.spent, row.spent_rest)) for row in rows}


def request(database: Database, request_id: str) -> dict[str, list[Row[Any]]]:
    """Returns what is known of a request: its records of usage, and the lines of what left the house for it, ends among them."""
    with database.reading() as connection:
        begun = _lines(connection, LINKS, LINKS.c.request == request_id)
        ends = [row for one in begun for row in _end(connection, one)]
        return {
            "usage": _lines(connection, RECORDS, RECORDS.c.request == request_id),
            "egress": [*begun, *ends],
        }


def _end(connection: Connection, begun: Row[Any]) -> Iterator[Row[Any]]:
    """Yields the line that ends an attempt, which names no request: the next one of its spool with the same number."""
    told = json.loads(bytes(begun.body))
    first = int(told.get("time") or 0)
    span = and_(LINKS.c.number > begun.place, LINKS.c.time >= first, LINKS.c.time <= first + LONGEST_ATTEMPT_SECONDS)
    for row in _lines(connection, LINKS, span, SPOOLS.c.incarnation == begun.incarnation):
        found = json.loads(bytes(row.body))
        if found.get("kind") == ENDED and found.get("n") == told.get("n"):
            yield row
            return


def egress(database: Database, begin: int, end: int, after: int = 0) -> list[Row[Any]]:
    """Returns lines of the chain from a span of time, those behind link `after`, at most MOST_LINES.

    A line without a time, which says how many bytes went out, is of the time when it was received.
    """
    moment = and_(LINKS.c.time >= begin, LINKS.c.time < end)
    untimed = and_(LINKS.c.time == 0, LINKS.c.received >= begin, LINKS.c.received < end + DAY)
    with database.reading() as connection:
        return _lines(connection, LINKS, LINKS.c.number > after, or_(moment, untimed))


def _lines(connection: Connection, table: Table, *wanted: ColumnElement[bool]) -> list[Row[Any]]:
    first = table.primary_key.columns[0]
    asked = (
        select(
            first.label("place"), SPOOLS.c.incarnation, SPOOLS.c.kind, SPOOLS.c.policy, SPOOLS.c.router, table.c.body
        )
        .join(SPOOLS, SPOOLS.c.id == table.c.spool)
        .where(*wanted)
        .order_by(first)
        .limit(MOST_LINES)
    )
    return list(connection.execute(asked))


def segments(rows: Sequence[Row[Any]]) -> bytes:
    """Returns lines of the chain as segments of the spools that they came in, one after the other."""
    found, last = [], ""
    for row in rows:
        if row.incarnation != last:
            last = row.incarnation
            opened = {"kind": OPENED, "version": 1, "incarnation": last, "policy": row.policy, "router": row.router}
            found.append(line(json.dumps(opened, ensure_ascii=False, separators=(",", ":")).encode()))
        found.append(line(bytes(row.body)))
    return b"".join(found)
