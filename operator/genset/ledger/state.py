"""What the ledger has to remember beside its tables of records: a few values by name."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select

from genset.ledger.chain import Head
from genset.ledger.tables import STATE

ANCHOR: Final = "chain_anchor"  # the last link that retention has taken away
RETENTION: Final = "retention_clock"  # seconds since 1970, as far as retention believes the clock
RAW_SINCE: Final = "raw_since"  # the latest time of a raw record that is gone: later hours have all of theirs
OTARI: Final = "otari_after"  # the last record that was passed on to Otari
HOURS_SINCE: Final = "hours_since"  # the first hour whose sums are kept; before it there are days alone


def get(connection: Connection, name: str) -> str:
    """Returns a value; empty if there is none."""
    return connection.execute(select(STATE.c.value).where(STATE.c.name == name)).scalar() or ""


def put(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(STATE).where(STATE.c.name == name))
    connection.execute(insert(STATE).values(name=name, value=value))


def anchor(connection: Connection) -> Head:
    """Returns the link before the first that is still there."""
    kept = get(connection, ANCHOR)
    return Head.read(kept) if kept else Head()
