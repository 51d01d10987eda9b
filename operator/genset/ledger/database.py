"""A database is a file of SQLite, or a PostgreSQL that the house has. One process writes; reading never waits for it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError

from genset.ledger import migrations

#: Of SQLite's log of writes, once nobody needs it any more. It grows beyond that while somebody reads for long (verify, export).
MOST_LOG_BYTES: Final = 32 * 1024 * 1024
BUSY_SECONDS: Final = 10.0  # that a writer of another process is waited for
READERS: Final = 4  # connections that read at the same time
#: Held by whoever writes to a PostgreSQL, so that there is one at a time, even while pods of two ledgers live.
_LOCK: Final = 0x67656E736574
_FULL: Final = ("disk is full", "no space left", "disk i/o error", "disk quota", "could not extend")

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    f"journal_size_limit={MOST_LOG_BYTES}",
)
_READING: Final = ("query_only=1", "temp_store=MEMORY")

log = logging.getLogger(__name__)


class LedgerError(Exception):
    """The ledger cannot do what it was asked. The message says why, and the remedy."""


class Unavailable(LedgerError):
    """The database takes nothing now: its disk is full, or it is away. Nothing was booked; the same works later."""


class DiskFull(Unavailable):
    """The database's disk is full."""


class Database:
    """A database is where a ledger keeps everything. `url` is a file's path, or a URL of SQLAlchemy's."""

    def __init__(self, url: str) -> None:
        self._url = _read(url)
        self.shown = self._url.render_as_string(hide_password=True)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._writer = self._engine(1)
        self._readers = self._engine(READERS)
        if not self.is_sqlite:  # else each statement has a moment of its own
            self._readers = self._readers.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        if self.is_sqlite:
            _sqlite(self._writer, "BEGIN IMMEDIATE", _PRAGMAS)
            _sqlite(self._readers, "BEGIN", _READING)  # a backup that nobody may write to is read, too

    @property
    def file(self) -> Path | None:
        """Returns the file of a SQLite database."""
        return Path(self._url.database) if self.is_sqlite and self._url.database else None

    def open(self) -> None:
        """Brings the tables up to this release; makes them in an empty database. Raises LedgerError."""
        try:
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.writing() as connection:
                _migrate(connection)
        except OSError as problem:
            raise LedgerError(
                f"{self.file}: {problem.strerror}; name a folder that this user may write in"
            ) from problem

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Gives a transaction; it is on the disk once this has ended. Raises Unavailable, and nothing is booked."""
        with self._told(), self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Gives a view of one moment. Raises Unavailable."""
        with self._told(), self._readers.connect() as connection, connection.begin():
            yield connection

    def relieve(self) -> None:
        """Makes room on a full disk, as far as SQLite has some: what it wrote ahead goes into the database itself."""
        if self.is_sqlite:
            with suppress(sqlite3.Error), closing(self._readers.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")  # outside of any transaction

    def close(self) -> None:
        self._writer.dispose()
        self._readers.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as problem:
            raise self._unavailable(problem) from problem
        except DatabaseError as problem:
            raise LedgerError(f"{self.shown}: {problem.orig}") from problem

    def _unavailable(self, problem: DBAPIError) -> Unavailable:
        why = str(problem.orig).strip().split("\n")[0]
        if any(word in why.lower() for word in _FULL):
            remedy = "make the volume larger, or keep records for fewer days"
            return DiskFull(f"{self.shown}: the disk is full ({why}); {remedy}")
        if "locked" in why.lower():
            return Unavailable(f"{self.shown}: another process writes to it ({why}); let only one ledger have it")
        return Unavailable(f"{self.shown}: {why}")

    def _engine(self, connections: int) -> Engine:
        options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        else:
            options["pool_pre_ping"] = True  # it may have been away
            options["connect_args"] = {"connect_timeout": int(BUSY_SECONDS), "application_name": "genset-ledger"}
        return create_engine(self._url, **options)


def _read(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        found = make_url(url)
    except ArgumentError:
        found = URL.create("")
    if found.drivername in ("postgresql", "postgres"):
        found = found.set(drivername="postgresql+psycopg")
    if found.drivername not in ("sqlite", "postgresql+psycopg") or not found.database:
        raise LedgerError("the database's URL is no postgresql://USER:PASSWORD@HOST/NAME, and no file's path")
    return found


def _sqlite(engine: Engine, begin: str, pragmas: Iterable[str]) -> None:
    """Has SQLite write ahead and bring each transaction to the disk, and begin transactions when SQLAlchemy says so."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the module would begin transactions by itself, and late
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _migrate(connection: Connection) -> None:
    current, known = MigrationContext.configure(connection).get_current_revision(), migrations.known()
    if current is not None and current not in known:
        raise LedgerError(
            f"the database was written by a newer release (its tables are at {current}, this one knows {known[0]}): "
            "run that release, or one that is newer"
        )
    if current != known[0]:
        migrations.upgrade(connection)
        log.info("Brought the database's tables from %s to %s", current or "nothing", known[0])
