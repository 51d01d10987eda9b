"""Alembic runs this file: it takes the connection that `upgrade` has, and its transaction."""

from __future__ import annotations

from alembic import context

from genset.ledger.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
