"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAMES = (
    "policy", "consumer", "team", "route", "api", "model", "backend", "zone", "tier", "size_class", "speed_class", "drill",
    "currency", "avoided_currency",
)  # fmt: skip
_MEASURES = (
    "requests", "answered", "cancelled", "cut", "refused", "attempts", "failovers", "prompt", "cached", "cache_write",
    "completion", "reasoning", "audio_in", "audio_out", "images", "searches", "estimated", "unpriced", "cost", "cost_rest",
    "avoided", "avoided_rest",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "spools",
        sa.Column("id", _ID, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("incarnation", "kind", "policy", "router")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("opened", "received", "torn")),
        sa.Column("seen", sa.Text, nullable=False),
        sa.UniqueConstraint("incarnation", "kind"),
    )
    op.create_table(
        "segments",
        sa.Column("spool", _ID, sa.ForeignKey("spools.id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("have", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("spool", _ID, sa.ForeignKey("spools.id"), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("number", "time", "received")),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "links",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("spool", _ID, sa.ForeignKey("spools.id"), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("time", "received")),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    for table in ("records", "links"):
        for column in ("time", "request"):
            op.create_index(f"{table}_{column}", table, [column])
    op.create_table(
        "series",
        sa.Column("id", _ID, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in _NAMES),
        sa.UniqueConstraint(*_NAMES, name="series_once"),
    )
    for table in ("hourly", "daily"):
        op.create_table(
            table,
            sa.Column("slot", sa.BigInteger, primary_key=True),
            sa.Column("series", _ID, sa.ForeignKey("series.id"), primary_key=True),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in _MEASURES),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
