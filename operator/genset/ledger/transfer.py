"""Everything that a ledger has goes out as lines of JSON, and into another one: of SQLite into PostgreSQL, say.

Segments of spools come in, too, as people carry them from sites without a network. Then, and whenever something comes twice,
it is booked once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Table, func, insert, select, text

from genset.ledger.books import Booked, Books, Sending
from genset.ledger.database import Database, LedgerError
from genset.ledger.decoding import SegmentName
from genset.ledger.tables import BUDGETS, DAILY, HOURLY, LINKS, RECORDS, SEGMENTS, SERIES, SPOOLS, STATE

FORMAT: Final = {"genset": "ledger", "version": 1}
AT_ONCE: Final = 2000  # rows
_TABLES: Final = (SPOOLS, SEGMENTS, RECORDS, LINKS, SERIES, HOURLY, DAILY, STATE, BUDGETS)
_END: Final = {"end": True}


def export(database: Database) -> Iterator[str]:
    """Yields lines: a heading, each row as its table's name and its values, and an end. Raises Unavailable."""
    with database.reading() as connection:
        yield json.dumps(FORMAT)
        for table in _TABLES:
            binary = [isinstance(column.type, LargeBinary) for column in table.columns]
            for row in connection.execution_options(yield_per=AT_ONCE).execute(
                select(table).order_by(*table.primary_key.columns)
            ):
                values = [bytes(v).hex() if b else v for v, b in zip(row, binary, strict=True)]
                yield json.dumps([table.name, *values], ensure_ascii=False, separators=(",", ":"))
        yield json.dumps(_END)


def import_lines(database: Database, lines: Iterable[str]) -> int:
    """Takes what `export` gave into an empty ledger, all of it or nothing; returns how many rows. Raises LedgerError."""
    tables = {table.name: table for table in _TABLES}
    given = iter(lines)
    if _parsed(next(given, "")) != FORMAT:
        raise LedgerError("this is no export of a ledger: `genset ledger export` makes one")
    count, ended = 0, False
    with database.writing() as connection:
        if connection.execute(select(func.count()).select_from(SPOOLS)).scalar_one():
            raise LedgerError("the database has records already: import into an empty one; name it with --database")
        connection.execute(STATE.delete())
        rows: list[dict[str, Any]] = []
        table: Table | None = None
        for one in given:
            told = _parsed(one)
            if told == _END:
                ended = True
                break
            if not isinstance(told, list) or not told or told[0] not in tables:
                raise LedgerError(f"line {count + 2} is none of an export: the file is damaged, or of a newer release")
            following = tables[told[0]]
            if table is not None and (following is not table or len(rows) >= AT_ONCE):
                connection.execute(insert(table), rows)
                rows = []
            table = following
            rows.append(_row(table, told[1:]))
            count += 1
        if not ended:
            raise LedgerError("the export ends in the middle: nothing was imported; make it again")
        if table is not None and rows:
            connection.execute(insert(table), rows)
        _count_on(connection)
    return count


def _parsed(one: str) -> Any:
    try:
        return json.loads(one)
    except ValueError:
        return None


def _row(table: Table, values: list[Any]) -> dict[str, Any]:
    columns = table.columns
    if len(values) != len(columns):
        raise LedgerError(
            f"table {table.name} has {len(columns)} columns, and a line {len(values)}: run the newer release"
        )
    return {
        column.name: bytes.fromhex(value) if isinstance(column.type, LargeBinary) else value
        for column, value in zip(columns, values, strict=True)
    }


def _count_on(connection: Connection) -> None:
    """Has PostgreSQL number new rows behind those that came with their numbers."""
    if connection.dialect.name == "postgresql":
        for table in (SPOOLS, RECORDS):
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "
                    f"GREATEST((SELECT MAX(id) FROM {table.name}), 1))"
                )
            )


def import_spools(books: Books, paths: Iterable[Path]) -> tuple[int, int]:
    """Books segments, or folders of them; returns how many bytes of how many segments were new. Raises LedgerError, BadPiece."""
    new = count = 0
    for path in paths:
        for segment in sorted(path.glob("*-*-*.log")) if path.is_dir() else [path]:
            content, name, before = segment.read_bytes().rstrip(b"\0"), SegmentName.read(segment.name), 0
            while True:
                (taken,) = books.take([Sending(name, before, content[before:])])
                if not isinstance(taken, Booked):
                    raise LedgerError(f"{segment}: {taken}")
                if taken.fits:
                    break
                before = taken.have
            new, count = new + taken.have - before, count + 1
    return new, count
