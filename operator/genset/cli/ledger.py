"""`genset ledger` keeps what routers have written down: serve, and what is done to its database by hand."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from genset import names
from genset.cli.router import HostAndPort

DATABASE = click.option(
    "--database",
    metavar="FILE|URL",
    envvar="GENSET_LEDGER_DATABASE",
    show_envvar=True,
    default=f"{names.LEDGER_DIR}/ledger.db",
    show_default=True,
    help="File of SQLite, or postgresql://USER:PASSWORD@HOST/NAME.",
)
KEY_FILE = click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=names.LEDGER_KEY_FILE,
    show_default=True,
    help="File with the key that tokens are made of.",
)


@click.group()
def command() -> None:
    """Keep what routers have written down: usage, what left the house, exercises."""


@command.command()
@DATABASE
@KEY_FILE
@click.option("--listen", type=HostAndPort(), default=f"[::]:{names.LEDGER_PORT}", show_default=True)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of log lines, on standard error."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Least severe lines."
)
def serve(database: str, key_file: Path, listen: tuple[str, int], log_format: str, log_level: str) -> None:
    """Take records from routers, and answer what is asked of them, until SIGTERM.

    \b
    genset ledger serve --database ./ledger.db --key-file ./key --listen 127.0.0.1:8090
    """
    from genset.cli.logs import configure
    from genset.ledger.database import Database, LedgerError
    from genset.ledger.run import serve as run

    configure(log_format, log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        asyncio.run(run(Database(database), key_file, listen))
    except (LedgerError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem


@command.command()
@KEY_FILE
@click.option("--namespace", default="", help="Of its routers, which may send. Default: of a reader.")
def token(key_file: Path, namespace: str) -> None:
    """Print a token: that of a namespace's routers, or that of a reader."""
    from genset.contracts.ledger import READER
    from genset.contracts.ledger import token as made

    try:
        key = key_file.read_bytes().strip()
    except OSError as problem:
        raise click.ClickException(
            f"{key_file}: {problem.strerror}; name the ledger's key with --key-file"
        ) from problem
    click.echo(made(key, namespace or READER))


def _opened(database: str) -> Any:
    """Returns an open database. Raises ClickException."""
    from genset.ledger.database import Database, LedgerError

    try:
        found = Database(database)
        if found.file is not None and not found.file.exists():
            raise LedgerError(f"{found.file} is not there; name the ledger's database with --database")
        found.open()
    except LedgerError as problem:
        raise click.ClickException(str(problem)) from problem
    return found
