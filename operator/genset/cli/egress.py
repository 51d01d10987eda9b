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
    kube_context: str | None,
    since: float,
    consumer: str | None,
    zone: str | None,
    output: str,
) -> None:
    """Say what left the house, as the routers of a policy wrote it down (egress.record).

    \b
    Examples:
      genset egress -n law assistant --since 24h
      genset egress --admin http://127.0.0.1:9090 -o csv
      genset egress -f /var/spool/genset --consumer invoices --since 7d
    """
    from genset.usage import show, sources

    if sum((bool(files), admin is not None, namespace is not None)) != 1:
        raise click.UsageError("say where from: -n NAMESPACE [POLICY], --admin URL, or -f SPOOL")
    if namespace is None and (policy is not None or kube_context is not None):
        raise click.UsageError("POLICY and --context belong to -n NAMESPACE")
    try:
        if namespace is not None:
            reading = sources.from_cluster(kube_context, namespace, policy)
        else:
            reading = sources.from_admin(admin) if admin is not None else sources.from_files(files)
    except sources.UsageError as problem:
        raise click.ClickException(str(problem)) from problem
    oldest = time.time() - since
    entries = [
        entry
        for entry in reading.found()
        if entry.time >= oldest
        and (consumer is None or entry.consumer == consumer)
        and (zone is None or entry.zone == zone)
    ]
    made = {"table": show.table, "json": show.lines, "csv": show.as_csv}[output](entries)
    if made:
        click.echo(made)
    if reading.torn:
        click.echo(
            f"{reading.torn} pieces cannot be read: a router was killed while it wrote, or a disk is faulty", err=True
        )
