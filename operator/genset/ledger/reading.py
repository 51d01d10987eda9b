"""Reading asks the books: sums for reports, raw records for single requests, and what left the house."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, literal, or_, select, true

from genset.contracts.ledger import DIMENSIONS
from genset.ledger import state
from genset.ledger.database import Database
from genset.ledger.facts import DAY, HOUR, MEASURES, Series
from genset.ledger.questions import BadQuestion
from genset.ledger.report import UsageQuestion, UsageReport, report
from genset.ledger.tables import DAILY, HOURLY, LINKS, RECORDS, SERIES, SPOOLS
from genset.times import rfc3339

Sum = tuple[int, Series, Sequence[int]]
MOST_LINES: Final = 10_000  # of one answer


def usage(database: Database, question: UsageQuestion) -> UsageReport:
    """Answers a question of usage. Raises Unavailable."""
    with database.reading() as connection:
        return report(question, _sums(connection, question))


def _sums(connection: Connection, question: UsageQuestion) -> Iterator[Sum]:
    """Yields the sums of a span by hours: whole days from the sums of days, the rest from those of hours."""
    series = {row[0]: Series(*row[1:]) for row in connection.execute(_series(question))}
    first, last = -(-question.begin // DAY), question.end // DAY  # whole days
    per_day = first < last and (
        (question.time in ("", "day", "month") and question.time_zone is UTC) or not question.time
    )
    spans: list[tuple[Table, int, int]] = []
    if per_day:
        spans = [
            (HOURLY, question.begin // HOUR, first * DAY // HOUR),
            (DAILY, first, last),
            (HOURLY, last * DAY // HOUR, question.end // HOUR),
        ]
    else:
        spans = [(HOURLY, question.begin // HOUR, question.end // HOUR)]
    since = int(state.get(connection, state.HOURS_SINCE) or 0)
    for table, begin, end in spans:
        if table is HOURLY and begin < min(end, since):
            raise BadQuestion(
                f"sums of hours are kept since {rfc3339(since * HOUR)}: before that, ask from midnight to midnight in UTC, by "
                "day or month or by no time"
            )
        if begin < end:
            yield from _of(connection, table, begin, end, series, timed=bool(question.time))


def _of(
    connection: Connection, table: Table, begin: int, end: int, series: dict[int, Series], *, timed: bool
) -> Iterator[Sum]:
    slots = DAY // HOUR if table is DAILY else 1
    slot = table.c.slot if timed else literal(begin).label("slot")
    grouping = [table.c.slot, table.c.series] if timed else [table.c.series]
    asked = (
        select(slot, table.c.series, *(func.sum(table.c[name]).label(name) for name in MEASURES))
        .where(table.c.slot >= begin, table.c.slot < end)
        .group_by(*grouping)
    )
    for row in connection.execute(asked):
        found = series.get(row[1])
        if found is not None:
            yield int(row[0]) * slots, found, [int(value) for value in row[2:]]


def _series(question: UsageQuestion) -> Any:
    wanted: list[ColumnElement[bool]] = [SERIES.c[DIMENSIONS[word]] == value for word, value in question.only.items()]
    return select(SERIES.c.id, *(SERIES.c[name] for name in Series._fields)).where(and_(true(), *wanted))


def request(database: Database, request_id: str) -> dict[str, list[Row[Any]]]:
    """Returns what is known of a request: its records of usage, and the lines of what left the house for it."""
    with database.reading() as connection:
        return {
            "usage": _lines(connection, RECORDS, RECORDS.c.request == request_id),
            "egress": _lines(connection, LINKS, LINKS.c.request == request_id),
        }


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
