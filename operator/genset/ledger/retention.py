"""Retention takes away what is old: raw records first, sums of hours later, sums of days never.

Its clock is not simply the machine's: a clock that jumps ahead by years would take everything away. It never runs faster than
ten times real time, so that there are days to notice, and a ledger that was away catches up all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select

from genset.ledger import state
from genset.ledger.chain import Head
from genset.ledger.database import Database
from genset.ledger.facts import DAY, HOUR
from genset.ledger.tables import HOURLY, LINKS, RECORDS

SLICE: Final = 5000  # rows that one transaction takes away, so that routers wait for none of them long
CATCH_UP: Final = 10.0  # seconds that retention's clock may go on in one
JUMP_SECONDS: Final = 2 * DAY  # by which it may be behind before somebody is told

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetentionDays:
    """So many days are kept: raw records, sums of hours, and links of the chain. 0: for ever."""

    raw: int = 30
    hourly: int = 366
    egress: int = 366


def now(before: float, wall: float, elapsed: float) -> float:
    """Returns the time by retention's clock. `before`: what it was, 0 if it never ran; `elapsed`: real seconds since then."""
    return min(wall, before + CATCH_UP * elapsed) if before else wall


class Retention:
    """Retention takes away what a database has for too long. `monotonic` counts real seconds."""

    def __init__(
        self, database: Database, kept: RetentionDays, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._kept = kept
        self._clock = clock
        self._monotonic = monotonic
        self._looked = monotonic()

    def step(self) -> bool:
        """Takes one slice away. Returns whether there may be more. Raises Unavailable."""
        with self._database.writing() as connection:
            moment = self._now(state.get(connection, state.RETENTION))
            state.put(connection, state.RETENTION, f"{moment:.0f}")
        kept = self._kept
        steps = (
            (kept.raw, self._raw),
            (kept.egress, self._links),
            (kept.hourly, self._hours),
        )
        return any(step(int(moment) - days * DAY) for days, step in steps if days)

    def _now(self, before: str) -> float:
        looked, self._looked = self._looked, self._monotonic()
        wall = self._clock()
        moment = now(float(before or 0), wall, self._looked - looked)
        if wall - moment > JUMP_SECONDS:
            log.warning(
                "The clock is %.1f days ahead of what retention has seen: records go as if it ran ten times as fast; correct "
                "the machine's clock if it is wrong",
                (wall - moment) / DAY,
            )
        return moment

    def _raw(self, horizon: int) -> bool:
        old = select(RECORDS.c.id).where(RECORDS.c.received < horizon).order_by(RECORDS.c.id).limit(SLICE)
        with self._database.writing() as connection:
            found = connection.execute(old).scalars().all()
            if found:
                span = RECORDS.c.id.between(found[0], found[-1]) & (RECORDS.c.received < horizon)
                latest = connection.execute(select(func.max(RECORDS.c.time)).where(span)).scalar_one()
                state.put(
                    connection, state.RAW_SINCE, str(max(latest, int(state.get(connection, state.RAW_SINCE) or 0)))
                )
                connection.execute(delete(RECORDS).where(span))
        return len(found) == SLICE

    def _links(self, horizon: int) -> bool:
        """Takes away the beginning of the chain, and remembers where the rest goes on."""
        stays = select(func.min(LINKS.c.number)).where(LINKS.c.received >= horizon)
        with self._database.writing() as connection:
            first = connection.execute(select(func.min(LINKS.c.number))).scalar()
            if first is None:
                return False
            last = connection.execute(stays).scalar()
            old: ColumnElement[bool] = LINKS.c.number < first + SLICE
            if last is not None:
                old &= LINKS.c.number < last
            end = connection.execute(
                select(LINKS.c.number, LINKS.c.hash).where(old).order_by(LINKS.c.number.desc()).limit(1)
            ).first()
            if end is None:
                return False
            state.put(connection, state.ANCHOR, str(Head(end.number, bytes(end.hash))))
            connection.execute(delete(LINKS).where(old))
        return bool(end.number == first + SLICE - 1)

    def _hours(self, horizon: int) -> bool:
        first = horizon // DAY * DAY // HOUR  # whole days, so that a day has all of its hours, or none
        with self._database.writing() as connection:
            gone = connection.execute(delete(HOURLY).where(HOURLY.c.slot < first)).rowcount
            if gone:
                state.put(connection, state.HOURS_SINCE, str(first))
        return False
