"""`genset egress` says what left the house: when, whose, where to, how much; never what."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class HowLong(click.ParamType[float]):
    """A span of time is a number with s, m, h or d; in seconds."""

    name = "SPAN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no span of time; write e.g. 90s, 30m, 24h or 7d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.argument("policy", required=False)
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path, exists=True),
    help="Folder of a spool, or a segment of one. Repeatable.",
)  # fmt: skip
@click.option("--admin", metavar="URL", help="Admin port of one router, e.g. http://127.0.0.1:9090.")
@click.option(
    "-n", "--namespace", help="Namespace whose routers are asked, through the API server and with your rights."
)
@click.option(
    "--ledger",
    metavar="URL|NAMESPACE",
    help="A ledger, by its URL, or the cluster's by its namespace, e.g. genset-system.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --ledger URL: file with the token of a reader, which `genset ledger token` prints.",
)  # fmt: skip
@click.option("--database", metavar="FILE|URL", help="A ledger's database, or a backup of it.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option("--since", type=HowLong(), default="24h", show_default=True, help="How far back: e.g. 90s, 30m, 24h, 7d.")
@click.option("--consumer", help="Only this consumer's requests.")
@click.option("--zone", help="Only what went to this data zone.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True,
    help="table; json, an object a line; csv.",
)  # fmt: skip
def command(
    policy: str | None,
    files: tuple[Path, ...],
    admin: str | None,
    namespace: str | None,
    ledger: str | None,
    token_file: Path | None,
    database: str | None,
    kube_context: str | None,
    since: float,
    consumer: str | None,
    zone: str | None,
    output: str,
) -> None:
    """Say what left the house, as routers wrote it down (egress.record): those that run, or all that a ledger has kept.

    \b
    Examples:
      genset egress --ledger genset-system --since 30d law/assistant
      genset egress -n law assistant --since 24h
      genset egress --admin http://127.0.0.1:9090 -o csv
      genset egress -f /var/spool/genset --consumer invoices --since 7d
    """
    from genset.contracts.usage import EgressReading
    from genset.usage import egress_books, show, sources

    if sum((bool(files), *(one is not None for one in (admin, namespace, ledger, database)))) != 1:
        raise click.UsageError("say where from: -n NAMESPACE [POLICY], --ledger, --database, --admin URL, or -f SPOOL")
    in_books, is_url = ledger is not None or database is not None, ledger is not None and "://" in ledger
    if policy is not None and namespace is None and not (in_books and "/" in policy):
        raise click.UsageError("POLICY belongs to -n NAMESPACE; a ledger's is named NAMESPACE/POLICY")
    if kube_context is not None and namespace is None and (ledger is None or is_url):
        raise click.UsageError("--context belongs to -n NAMESPACE and to --ledger NAMESPACE")
    if is_url != (token_file is not None):
        raise click.UsageError("--ledger URL and --token-file belong together")
    oldest = time.time() - since
    try:
        if ledger is not None and token_file is not None:
            reading = egress_books.from_url(ledger, token_file.read_text().strip(), oldest, EgressReading())
        elif ledger is not None:
            reading = egress_books.from_cluster(kube_context, ledger, oldest, EgressReading())
        elif database is not None:
            reading = egress_books.from_database(database, oldest, EgressReading())
        elif namespace is not None:
            reading = sources.from_cluster(kube_context, namespace, policy)
        else:
            reading = sources.from_admin(admin) if admin is not None else sources.from_files(files)
    except sources.UsageError as problem:
        raise click.ClickException(str(problem)) from problem
    entries = [
        entry
        for entry in reading.found()
        if entry.time >= oldest
        and (consumer is None or entry.consumer == consumer)
        and (zone is None or entry.zone == zone)
        and (not in_books or policy is None or entry.policy == policy)
    ]
    made = {"table": show.table, "json": show.lines, "csv": show.as_csv}[output](entries)
    if made:
        click.echo(made)
    if reading.torn:
        click.echo(
            f"{reading.torn} pieces cannot be read: a router was killed while it wrote, or a disk is faulty", err=True
        )
