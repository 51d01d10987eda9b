"""`genset logs` says what became of a request, by its id, or of the latest ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

_IDS = re.compile(r"[\x21-\x7e]{1,256}")


@click.command()
@click.argument("request_id", required=False, metavar="[REQUEST-ID]")
@click.option("-n", "--namespace", help="Namespace of the routers; their logs are read with your rights.")
@click.option("--policy", help="Only routers of this RoutePolicy.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="An access log instead of a cluster; - reads stdin. Repeatable.",
)  # fmt: skip
@click.option("--since", default="24h", show_default=True, help="How far back, in a cluster: e.g. 90s, 30m, 24h.")
@click.option("--failed", is_flag=True, help="Only what ended in an error.")
@click.option("--consumer", default="", help="Only this consumer's requests.")
@click.option("--route", default="", help="Only what this route took.")
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Without an id: so many, the latest."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: the lines as routers wrote them, an object a line.",
)  # fmt: skip
def command(
    request_id: str | None,
    namespace: str | None,
    policy: str | None,
    kube_context: str | None,
    files: tuple[Path, ...],
    since: str,
    failed: bool,
    consumer: str,
    route: str,
    last: int,
    output: str,
) -> None:
    """Say what became of a request: who was tried, why not, who answered, how long it took, what it cost.

    The id is the answer's x-request-id. Without one, the latest requests are listed. Logs hold no word of a prompt or an answer,
    but what a failed backend has quoted. A pod's log goes with the pod: a collector of logs keeps what this reads.

    Ends with status 1 if nothing was found.

    \b
    Examples:
      genset logs -n law 2a10a63f-1
      genset logs -n law --policy assistant --failed --since 1h
      kubectl logs assistant-router-0 | genset logs -f - --failed
    """
    import heapq

    from genset import router_logs, trails

    if bool(files) is (namespace is not None):
        raise click.UsageError("say where from: -n NAMESPACE, or -f FILE")
    if not re.fullmatch(r"\d{1,6}[smh]", since):
        raise click.UsageError(f"--since {since}: write e.g. 90s, 30m or 24h")
    if request_id is not None and not _IDS.fullmatch(request_id):
        raise click.UsageError("an id has no blanks: give the x-request-id of the answer")
    wanted = trails.Filters(request_id or "", consumer, route, failed)
    lines = (
        _opened(files)
        if namespace is None
        else router_logs.from_cluster(kube_context, namespace, policy, since, lambda said: click.echo(said, err=True))
    )
    wanted_lines = ((router, line) for router, text in lines if (line := trails.read(text, wanted)) is not None)
    try:
        seen = heapq.nlargest(last, wanted_lines, key=lambda one: trails.ended_at(one[1]))[::-1]
    except router_logs.LogsError as problem:
        raise click.ClickException(str(problem)) from problem
    if not seen:
        what = f"request {request_id}" if request_id else "a request like this"
        click.echo(
            f"No log has {what}: it is older than --since, its router has gone, or it was another namespace's.",
            err=True,
        )
        raise click.exceptions.Exit(1)
    if output == "json":
        import json

        click.echo("\n".join(json.dumps(line, ensure_ascii=False) for _, line in seen))
    elif request_id:
        click.echo("\n\n".join(trails.trail(line, router) for router, line in seen))
    else:
        click.echo(trails.table([line for _, line in seen]))


def _opened(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        if str(file) == "-":
            yield from (("", line) for line in sys.stdin.buffer)
            continue
        with file.open("rb") as lines:
            yield from (("", line) for line in lines)
