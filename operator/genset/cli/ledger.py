"""`genset ledger` keeps what routers have written down: serve, and what is done to its database by hand."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

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
    "--raw-days", type=click.IntRange(0), default=30, show_default=True, help="Keep raw records so long; 0: for ever."
)
@click.option(
    "--hourly-days", type=click.IntRange(0), default=366, show_default=True, help="Keep sums of hours so long."
)
@click.option(
    "--egress-days", type=click.IntRange(0), default=366, show_default=True, help="Keep what left the house so long."
)
@click.option("--metrics", type=HostAndPort(), default=None, help="Address of /metrics, e.g. [::]:9090. Default: none.")
@click.option(
    "--otlp-endpoint", default="", metavar="URL", help="Send sums of usage to this collector, by OTLP over HTTP."
)
@click.option("--otari", default="", metavar="URL", help="Pass each attempt on to Otari, the any-llm gateway, there.")
@click.option(
    "--otari-key-file", type=click.Path(path_type=Path, dir_okay=False),
    help="File with a key of Otari's that is exempt from budgets.",
)  # fmt: skip
@click.option(
    "--otari-user", default="", help="User of Otari's whom a master key books for; a user's own key needs none."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of log lines, on standard error."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Least severe lines."
)
def serve(
    database: str,
    key_file: Path,
    listen: tuple[str, int],
    raw_days: int,
    hourly_days: int,
    egress_days: int,
    metrics: tuple[str, int] | None,
    otlp_endpoint: str,
    otari: str,
    otari_key_file: Path | None,
    otari_user: str,
    log_format: str,
    log_level: str,
) -> None:
    """Take records from routers, and answer what is asked of them, until SIGTERM.

    \b
    genset ledger serve --database ./ledger.db --key-file ./key --listen 127.0.0.1:8090
    """
    from genset.cli.log_format import configure
    from genset.ledger.database import Database, LedgerError
    from genset.ledger.otari import OtariTarget
    from genset.ledger.retention import RetentionDays
    from genset.ledger.run import Outward
    from genset.ledger.run import serve as run

    if bool(otari) != (otari_key_file is not None):
        raise click.UsageError("--otari and --otari-key-file belong together")
    configure(log_format, log_level)
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    kept = RetentionDays(raw_days, hourly_days, egress_days)
    target = OtariTarget(otari, otari_key_file, otari_user) if otari_key_file is not None else None
    outward = Outward(metrics, otlp_endpoint, target)
    try:
        asyncio.run(run(Database(database), key_file, listen, kept, outward))
    except (LedgerError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem


@command.command()
@KEY_FILE
@click.option("--namespace", default="", help="Of its routers, which may send. Default: of a reader.")
@click.option(
    "--to", "file", type=click.Path(path_type=Path, dir_okay=False), help="File to write it to. Default: stdout."
)
def token(key_file: Path, namespace: str, file: Path | None) -> None:
    """Print a token: that of a namespace's routers, or that of a reader."""
    from genset.contracts.ledger import READER
    from genset.contracts.ledger import token as made

    try:
        key = key_file.read_bytes().strip()
    except OSError as problem:
        raise click.ClickException(
            f"{key_file}: {problem.strerror}; name the ledger's key with --key-file"
        ) from problem
    shown = made(key, namespace or READER)
    if file is None:
        click.echo(shown)
    else:
        file.write_text(shown)


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


@command.command()
@DATABASE
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(database: str, file: Path) -> None:
    """Write a copy of the database to FILE while the ledger goes on; FILE appears once it is whole.

    \b
    kubectl -n genset-system exec deploy/genset-ledger -- genset ledger backup /var/lib/genset/backup.db
    """
    from genset.ledger.backup import backup as write
    from genset.ledger.database import LedgerError

    try:
        size = write(_opened(database), file)
    except LedgerError as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"Wrote {size} bytes to {file}")


@command.command()
@DATABASE
@click.option("--head", metavar="NUMBER:HASH", help="Head of the chain as it was noted earlier, elsewhere.")
def verify(database: str, head: str | None) -> None:
    """Look whether the books are what they were: the file, the chain, the sums. Exits with 1 if they are not.

    Note the head that this prints, where nobody can change it: the next time --head proves that nothing before it was touched.
    """
    from genset.ledger.chain import Head
    from genset.ledger.database import LedgerError
    from genset.ledger.verify import verify as look

    try:
        verdict = look(_opened(database), Head.read(head) if head else None)
    except ValueError as problem:
        raise click.BadParameter(f"{head!r} is no NUMBER:HASH as verify prints it", param_hint="--head") from problem
    except LedgerError as problem:
        raise click.ClickException(str(problem)) from problem
    for one in verdict.looked:
        click.echo(f"Looked at {one}")
    for one in verdict.missing:
        click.echo(f"Not here yet, or lost by routers: {one}")
    click.echo(f"Head of the chain: {verdict.head}")
    for one in verdict.problems:
        click.echo(f"Wrong: {one}", err=True)
    if verdict.problems:
        sys.exit(1)


@command.command()
@DATABASE
@click.option(
    "--to", "file", type=click.Path(path_type=Path, dir_okay=False), help="File; .gz compresses it. Default: stdout."
)
def export(database: str, file: Path | None) -> None:
    """Write everything as lines of JSON, for another ledger.

    \b
    genset ledger export --to all.jsonl.gz
    genset ledger import --database postgresql://ledger@db/genset all.jsonl.gz
    """
    from genset.ledger.database import LedgerError
    from genset.ledger.transfer import export as lines

    try:
        with _writing(file) as out:
            for line in lines(_opened(database)):
                out.write(line + "\n")
    except (LedgerError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem


@command.command("import")
@DATABASE
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def import_(database: str, paths: tuple[Path, ...]) -> None:
    """Take in an export, into an empty database; or spools of routers, folders or segments, each line once."""
    from genset.ledger.books import Books
    from genset.ledger.database import Database, LedgerError
    from genset.ledger.decoding import BadPiece
    from genset.ledger.transfer import import_lines, import_spools

    try:
        held = Database(database)
        held.open()
        if len(paths) == 1 and paths[0].is_file() and paths[0].suffix in (".jsonl", ".gz"):
            with _reading(paths[0]) as lines:
                click.echo(f"Imported {import_lines(held, lines)} rows")
            return
        new, count = import_spools(Books(held), paths)
        click.echo(f"Booked {new} new bytes of {count} segments")
    except (LedgerError, BadPiece, OSError, EOFError, UnicodeDecodeError) as problem:
        raise click.ClickException(str(problem)) from problem


@contextlib.contextmanager
def _writing(file: Path | None) -> Iterator[TextIO]:
    """Gives a file that appears once it is whole, or standard output."""
    if file is None:
        yield sys.stdout
        return
    draft = file.with_name(f"{file.name}.part")
    try:
        with (
            gzip.open(draft, "wt", encoding="utf-8")
            if file.suffix == ".gz"
            else draft.open("w", encoding="utf-8") as out
        ):
            yield cast(TextIO, out)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _reading(file: Path) -> TextIO:
    return cast(
        TextIO, gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")
    )
