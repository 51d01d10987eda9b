"""`genset usage` says what was used: by whom, by which model, where, and what it cost."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import click

from genset.cli.ledger_source import DEFAULT_NAMESPACE, PER_HOUR, source_options, span_options, words_or_fail
from genset.contracts.ledger import DIMENSIONS, TIMES


def _words(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
    known = (*DIMENSIONS, *TIMES)
    for word in found:
        if word not in known:
            raise click.BadParameter(f"{word!r} is none of {', '.join(known)}", param=parameter)
    return found


@click.command()
@source_options
@span_options
@click.option(
    "--by", default="", metavar="WORD,…", callback=_words, help=f"Told apart by {', '.join((*DIMENSIONS, *TIMES))}."
)
@click.option("--avoided", is_flag=True, help="What answers of the house would have cost, beside what the house costs.")
@PER_HOUR
@click.option(
    "--shares",
    is_flag=True,
    help="How much small, medium and large models answer, in the house and elsewhere, by a time (default: month).",
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "csv", "json", "xlsx"]), default="table", show_default=True,
    help="xlsx wants a file: > usage.xlsx.",
)  # fmt: skip
def command(
    begin: str,
    end: str,
    time_zone: str,
    by: tuple[str, ...],
    only: dict[str, str],
    avoided: bool,
    per_hour: tuple[tuple[str, Decimal, str], ...],
    shares: bool,
    output: str,
    **source: Any,
) -> None:
    """Say what was used: by whom, by which model, where, and what it cost.

    \b
    Examples:
      genset usage --from 2026-11 --by team,zone
      genset usage --by day,sizeClass,zone --only route=assistant -o csv
      genset usage --avoided --from 2026-11 --by team
      genset usage --shares --from 2026-01
      genset usage -f /tmp/genset-spool --from 1d --by consumer
    """
    from genset.usage import shares as share_tables
    from genset.usage import tables
    from genset.usage.asked import LedgerSource, question
    from genset.usage.sources import UsageError

    if avoided and shares:
        raise click.UsageError("take one of --avoided and --shares")
    if per_hour and not avoided:
        raise click.UsageError("--per-hour belongs to --avoided")
    if output == "xlsx" and (shares or sys.stdout.isatty()):
        raise click.UsageError("a workbook is no text: send it to a file, > usage.xlsx. --shares has none: take csv")
    if shares:
        time = next((word for word in by if word in TIMES), "month")
        if set(by) - {time}:
            raise click.UsageError(f"--shares is by a time alone: --by {' or '.join(TIMES)}")
        by = (time, *share_tables.KINDS.values(), "zone")
    elif avoided:
        by, only = by or ("model",), {"zone": "house", **only}
    try:
        where = LedgerSource(**source)
        asked = question(begin, end, time_zone, by, only)
        prices = where.house_prices(per_hour) if avoided else None
        report, torn = where.report(asked, DEFAULT_NAMESPACE)
    except (UsageError, ValueError) as problem:
        raise words_or_fail(problem) from problem
    if output == "xlsx":
        sys.stdout.buffer.write(tables.as_xlsx(report))
    elif shares:
        click.echo(
            {"table": share_tables.table, "csv": share_tables.as_csv, "json": share_tables.as_json}[output](report)
        )
    elif output == "table" and prices is not None:
        click.echo(tables.avoided(report, prices))
    else:
        click.echo({"table": tables.table, "json": tables.as_json, "csv": tables.as_csv}[output](report))
    if torn:
        click.echo(f"{torn} lines cannot be read: a router was killed while it wrote, or a disk is faulty", err=True)
