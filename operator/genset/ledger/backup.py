"""A backup is a copy of the database as it was at one moment, made while the ledger goes on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from genset.ledger.database import Database, LedgerError

_PAGES: Final = 1000  # that are copied before others have their turn
_PAUSE_SECONDS: Final = 0.01


def backup(database: Database, to: Path) -> int:
    """Writes a backup, whole or not at all; returns its bytes. Raises LedgerError."""
    source = database.file
    if source is None:
        raise LedgerError("this database is PostgreSQL's: back it up with pg_dump, or with what the house uses for it")
    draft = to.with_name(f"{to.name}.part")
    try:
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(draft)) as copy:
            held.backup(copy, pages=_PAGES, sleep=_PAUSE_SECONDS)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, that can be moved
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(to)
        return to.stat().st_size
    except (OSError, sqlite3.Error) as problem:
        draft.unlink(missing_ok=True)
        raise LedgerError(f"{to}: {problem}; name a file on a disk with as much room as the database has") from problem
