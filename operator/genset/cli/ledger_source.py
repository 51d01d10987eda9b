"""These options say which ledger, database or spool is asked, and for which span of time. `usage` and `breakeven` have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from genset.contracts.ledger import DIMENSIONS

DEFAULT_NAMESPACE = "genset-system"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def source_options(command: _Command) -> _Command:
    """Adds the options of a source, with the names that `genset.usage.asked.LedgerSource` has for them."""
    for option in reversed(
        (
            click.option(
                "-n",
                "--namespace",
                help=f"Namespace of the ledger, asked with your rights. Default: {DEFAULT_NAMESPACE}.",
            ),
            click.option("--context", help="Context of the kubeconfig. Default: its current one."),
            click.option("--ledger", metavar="URL", help="Ask the ledger there, e.g. http://127.0.0.1:8090."),
            click.option(
                "--token-file",
                type=click.Path(path_type=Path, dir_okay=False, exists=True),
                help="With --ledger: file with the token of a reader, which `genset ledger token` prints.",
            ),
            click.option("--database", metavar="FILE|URL", help="Read a ledger's database, or a backup of it."),
            click.option(
                "-f",
                "--file",
                "files",
                multiple=True,
                type=click.Path(path_type=Path, exists=True),
                help="Read a router's own spool: its folder, or a segment. Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


def span_options(command: _Command) -> _Command:
    """Adds the options of a span of time."""
    for option in reversed(
        (
            click.option(
                "--from",
                "begin",
                default="30d",
                show_default=True,
                help="A day, month or time, or how long ago: 7d, 2026-11.",
            ),
            click.option(
                "--to", "end", default="now", show_default=True, help="Likewise. Both are rounded up to whole hours."
            ),
            click.option(
                "--time-zone",
                default="UTC",
                show_default=True,
                help="In which days and months begin, e.g. Europe/Berlin.",
            ),
            click.option(
                "--only",
                multiple=True,
                metavar="WORD=VALUE",
                callback=_only,
                help="Only this, e.g. team=law. Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


PER_HOUR = click.option(
    "--per-hour",
    multiple=True,
    metavar="[MODEL=]AMOUNT",
    callback=lambda _, parameter, values: _per_hour(parameter, values),
    help="What the house costs for an hour, e.g. 0.40EUR, or small=0.40EUR of a model. Repeatable. Default: as the cluster's "
    "ModelDeployments say now.",
)


def words_or_fail(problem: Exception) -> click.ClickException:
    """Returns what a command line says of a problem: a mistake in it shows its usage, too."""
    return click.UsageError(str(problem)) if isinstance(problem, ValueError) else click.ClickException(str(problem))


def _only(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = dict(value.partition("=")[::2] for value in values)
    for word in found:
        if word not in DIMENSIONS or not all("=" in value for value in values):
            raise click.BadParameter(
                f"{word!r} is no WORD=VALUE of {', '.join(DIMENSIONS)}; write e.g. team=law", param=parameter
            )
    return found


def _per_hour(parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Decimal, str], ...]:
    found = []
    for value in values:
        model, _, amount = value.rpartition("=")
        read = re.fullmatch(r"(\d{1,9}(?:\.\d{1,12})?) ?([A-Z]{3})", amount)
        if read is None:
            raise click.BadParameter(f"{value!r} is no price; write e.g. 0.40EUR, or small=0.40EUR", param=parameter)
        found.append((model, Decimal(read[1]), read[2]))
    if len({model for model, _, _ in found}) < len(found) or (
        len(found) > 1 and "" in {model for model, _, _ in found}
    ):
        raise click.BadParameter("give one price for the house, or one for each model", param=parameter)
    return tuple(found)
