"""These are the ledger's tables, for SQLite and PostgreSQL alike. How they came to be stands in `migrations`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from genset.ledger.facts import MEASURES, Series

METADATA: Final = MetaData()
#: SQLite counts rows by itself only if their number is an INTEGER.
_ID: Final = BigInteger().with_variant(Integer, "sqlite")

#: Who has written: one life of one router, for each kind of record. `seen`: JSON, what was booked, by what a line says.
SPOOLS: Final = Table(
    "spools",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("incarnation", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("router", Text, nullable=False),
    Column("opened", BigInteger, nullable=False),  # seconds, by the router's clock
    Column("received", BigInteger, nullable=False),  # seconds, of the last piece, by the ledger's clock
    Column("torn", BigInteger, nullable=False),
    Column("seen", Text, nullable=False),
    UniqueConstraint("incarnation", "kind"),
)
#: How much of each segment is booked, in bytes. These rows stay: what is sent again after years is known.
SEGMENTS: Final = Table(
    "segments",
    METADATA,
    Column("spool", _ID, ForeignKey("spools.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("have", BigInteger, nullable=False),
)
#: Requests as routers wrote them down.
RECORDS: Final = Table(
    "records",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("spool", _ID, ForeignKey("spools.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),  # seconds, of the beginning
    Column("received", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("records_time", "time"),
    Index("records_request", "request"),
)
#: What left the house, and what exercises have shown: one link of the chain each.
LINKS: Final = Table(
    "links",
    METADATA,
    Column("number", _ID, primary_key=True),
    Column("spool", _ID, ForeignKey("spools.id"), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("links_time", "time"),
    Index("links_request", "request"),
)
SERIES: Final = Table(
    "series",
    METADATA,
    Column("id", _ID, primary_key=True),
    *(Column(name, Text, nullable=False) for name in Series._fields),
    UniqueConstraint(*Series._fields, name="series_once"),
)


def _sums(name: str) -> Table:
    """Returns a table of sums. `slot`: number of the hour or of the day since 1970, in UTC."""
    return Table(
        name,
        METADATA,
        Column("slot", BigInteger, primary_key=True),
        Column("series", _ID, ForeignKey("series.id"), primary_key=True),
        *(Column(measure, BigInteger, nullable=False) for measure in MEASURES),
        sqlite_with_rowid=False,
    )


HOURLY: Final = _sums("hourly")
DAILY: Final = _sums("daily")
#: What each life of a router (a spool) has spent of a budget in one window. `begin`: seconds since 1970.
BUDGETS: Final = Table(
    "budgets",
    METADATA,
    Column("policy", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("spool", _ID, ForeignKey("spools.id"), primary_key=True, autoincrement=False),
    Column("spent", BigInteger, nullable=False),
    Column("spent_rest", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
#: What else the ledger has to remember, by name.
STATE: Final = Table("state", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
