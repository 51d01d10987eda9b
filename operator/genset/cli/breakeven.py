"""`genset breakeven` says at which use the house is cheaper than the cloud, for the traffic that there was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from genset.cli.ledger_source import DEFAULT_NAMESPACE, PER_HOUR, source_options, span_options, words_or_fail


@click.command()
@source_options
@span_options
@PER_HOUR
@click.option(
    "-o", "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True, help="Form."
)
def command(
    begin: str,
    end: str,
    time_zone: str,
    only: dict[str, str],
    per_hour: tuple[tuple[str, Decimal, str], ...],
    output: str,
    **source: Any,
) -> None:
    """Say at which use the house is cheaper than the cloud, for the answers that it gave.

    What its answers would have cost at the first cloud of their route is compared with what the house costs by the hour, asked or
    not. What nobody knows is said, and not guessed.

    \b
    Examples:
      genset breakeven --from 2026-11
      genset breakeven --database ./ledger.db --per-hour small=0.40EUR
    """
    from dataclasses import replace

    from genset.usage import breakeven, breakeven_tables
    from genset.usage.asked import LedgerSource, measured, question
    from genset.usage.sources import UsageError

    try:
        where = LedgerSource(**source)
        days, torn = where.report(question(begin, end, time_zone, ("day",), only), DEFAULT_NAMESPACE)
        if not days.rows:
            raise UsageError("there is no record in this span: give another one with --from and --to")
        asked = replace(measured(days), by=("model",), only={**only, "zone": "house"})
        report, _ = where.report(asked, DEFAULT_NAMESPACE)
        found = breakeven.lines(report, where.house_prices(per_hour))
    except (UsageError, ValueError) as problem:
        raise words_or_fail(problem) from problem
    shown = {"table": breakeven_tables.table, "csv": breakeven_tables.as_csv, "json": breakeven_tables.as_json}
    click.echo(shown[output](found, asked))
    if torn:
        click.echo(f"{torn} lines cannot be read: a router was killed while it wrote, or a disk is faulty", err=True)
