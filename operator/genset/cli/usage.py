"""`genset usage` says what was used: by whom, by which model, where, and what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from genset.contracts.ledger import DIMENSIONS, TIMES

_DEFAULT_NAMESPACE = "genset-system"


def _words(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
    known = (*DIMENSIONS, *TIMES)
    for word in found:
        if word not in known:
            raise click.BadParameter(f"{word!r} is none of {', '.join(known)}", param=parameter)
    return found


def _only(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = dict(value.partition("=")[::2] for value in values)
    for word in found:
        if word not in DIMENSIONS or not all("=" in value for value in values):
            raise click.BadParameter(
                f"{word!r} is no WORD=VALUE of {', '.join(DIMENSIONS)}; write e.g. team=law", param=parameter
            )
    return found


@click.command()
@click.option(
    "-n", "--namespace", help=f"Namespace of the ledger, asked with your rights. Default: {_DEFAULT_NAMESPACE}."
)
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option("--ledger", metavar="URL", help="Ask the ledger there, e.g. http://127.0.0.1:8090.")
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --ledger: file with the token of a reader, which `genset ledger token` prints.",
)  # fmt: skip
@click.option("--database", metavar="FILE|URL", help="Read a ledger's database, or a backup of it.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path, exists=True),
    help="Read a router's own spool: its folder, or a segment. Repeatable.",
)  # fmt: skip
@click.option(
    "--from", "begin", default="30d", show_default=True, help="A day, month or time, or how long ago: 7d, 2026-11."
)
@click.option("--to", "end", default="now", show_default=True, help="Likewise. Both are rounded up to whole hours.")
@click.option(
    "--time-zone", default="UTC", show_default=True, help="In which days and months begin, e.g. Europe/Berlin."
)
@click.option(
    "--by", default="", metavar="WORD,…", callback=_words, help=f"Told apart by {', '.join((*DIMENSIONS, *TIMES))}."
)
@click.option(
    "--only", multiple=True, metavar="WORD=VALUE", callback=_only, help="Only this, e.g. team=law. Repeatable."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "csv", "json", "xlsx"]), default="table", show_default=True,
    help="xlsx wants a file: > usage.xlsx.",
)  # fmt: skip
def command(
    namespace: str | None,
    kube_context: str | None,
    ledger: str | None,
    token_file: Path | None,
    database: str | None,
    files: tuple[Path, ...],
    begin: str,
    end: str,
    time_zone: str,
    by: tuple[str, ...],
    only: dict[str, str],
    output: str,
) -> None:
    """Say what was used: by whom, by which model, where, and what it cost.

    \b
    Examples:
      genset usage --from 2026-11 --by team,zone
      genset usage --by day,sizeClass,zone --only route=assistant -o csv
      genset usage -f /tmp/genset-spool --from 1d --by consumer
    """
    from genset.ledger.questions import BadQuestion, whole_hour
    from genset.ledger.questions import time_zone as zone_of
    from genset.ledger.report import UsageQuestion, UsageReport
    from genset.usage import reports, tables
    from genset.usage.moments import moment
    from genset.usage.sources import UsageError

    if sum((bool(files), ledger is not None, database is not None, namespace is not None)) > 1:
        raise click.UsageError("take one of -n NAMESPACE, --ledger URL, --database and -f SPOOL")
    if (ledger is None) != (token_file is None):
        raise click.UsageError("--ledger and --token-file belong together")
    try:
        zone, now = zone_of(time_zone), time.time()
        first, last = (whole_hour(moment(text, now, zone)) for text in (begin, end))
        question = UsageQuestion(first, last, by, only, zone)
        if problems := question.problems():
            raise click.UsageError("; ".join(problems))
        torn = 0
        if files:
            report, torn = reports.from_files(files, question)
        elif ledger is not None and token_file is not None:
            report = reports.from_url(ledger, token_file.read_text().strip(), question)
        elif database is not None:
            report = reports.from_database(database, question)
        else:
            report = reports.from_cluster(kube_context, namespace or _DEFAULT_NAMESPACE, question)
    except (BadQuestion, ValueError) as problem:
        raise click.UsageError(str(problem)) from problem
    except UsageError as problem:
        raise click.ClickException(str(problem)) from problem
    if output == "xlsx":
        if sys.stdout.isatty():
            raise click.UsageError("a workbook is no text: send it to a file, > usage.xlsx")
        sys.stdout.buffer.write(tables.as_xlsx(report))
    else:
        shown: dict[str, Callable[[UsageReport], str]] = {
            "table": tables.table,
            "json": tables.as_json,
            "csv": tables.as_csv,
        }
        click.echo(shown[output](report))
    if torn:
        click.echo(f"{torn} lines cannot be read: a router was killed while it wrote, or a disk is faulty", err=True)
