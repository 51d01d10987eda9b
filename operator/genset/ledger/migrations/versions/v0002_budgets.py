"""Budgets: what each life of a router has spent in one window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "budgets",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("policy", "name", "currency")),
        sa.Column("begin", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("spool", _ID, sa.ForeignKey("spools.id"), primary_key=True, autoincrement=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("spent_rest", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
