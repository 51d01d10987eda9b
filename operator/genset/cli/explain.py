"""`genset explain` says which backends a router would ask for a request, and why not others."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

_ONCE_SPENT = {
    "HouseOnly": "models of the house alone are asked",
    "NextTier": "its backends are passed over",
    "Refuse": "the request is refused when the turn comes to one of its backends",
}


@click.command()
@click.option(
    "-f", "--file", "files", multiple=True, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML with a RoutePolicy and, as far as they are at hand, its ModelDeployments and Secrets. Repeatable.",
)  # fmt: skip
@click.option("--policy", help="Name of the RoutePolicy, if the files hold several.")
@click.option(
    "--request", "request_file", required=True, type=click.Path(path_type=Path, allow_dash=True),
    help="JSON of the request, as a client would send it; - reads stdin.",
)  # fmt: skip
@click.option("--path", default="/v1/chat/completions", show_default=True, help="Path that it is sent to.")
@click.option("--header", "headers", multiple=True, metavar="NAME: VALUE", help="Header that it has. Repeatable.")
@click.option("--key-of", default="", metavar="CONSUMER", help="Consumer whose key it shows. Default: none.")
@click.option("--spent", multiple=True, metavar="BUDGET", help="Budget that is taken for spent. Repeatable.")
@click.option(
    "--at", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]), metavar="TIME",
    help="When it comes, as 2026-11-30T22:15 in UTC, or with +01:00 behind the seconds. Default: now.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    files: tuple[Path, ...],
    policy: str | None,
    request_file: Path,
    path: str,
    headers: tuple[str, ...],
    key_of: str,
    spent: tuple[str, ...],
    at: datetime | None,
    output: str,
) -> None:
    """Say what a router would decide about a request: who asks, which route, which backends in which order, and why not others.

    Nobody is asked, and no cluster is needed. The exit status is 2 if the request would be refused.

    \b
    Examples:
      genset explain -f policy.yaml --request request.json --key-of invoices
      echo '{"model": "assistant", "messages": []}' | genset explain -f policy.yaml --request -
    """
    from genset import explain
    from genset.router.errors import ConfigRejected

    try:
        body = json.loads(sys.stdin.read() if str(request_file) == "-" else request_file.read_text())
    except (OSError, ValueError) as problem:
        raise click.ClickException(f"--request {request_file}: {problem}") from problem
    if not isinstance(body, dict):
        raise click.ClickException(f"--request {request_file}: it must be a JSON object with a model name in `model`")
    given = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {header!r}: write NAME: VALUE")
        given[name.strip().lower().encode()] = value.strip().encode()
    moment = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() if at is not None else None
    try:
        found = explain.explain(list(files), policy, explain.Question(body, path, given, key_of, spent, moment))
    except ConfigRejected as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(json.dumps(found.to_document(), indent=2, ensure_ascii=False) if output == "json" else _text(found))
    if found.status != 200:
        sys.exit(2)


def _text(found: Any) -> str:
    limits = ", ".join(f"{name} {value}" for name, value in found.limits.items())
    team = f" of team {found.team}" if found.team else ""
    needs = found.needs
    lines = [
        f"who         {found.consumer + team if found.consumer else 'anybody'}{f' ({limits})' if limits else ''}",
        f"needs       {needs['task']}, about {needs['promptTokens']} tokens of prompt"
        + (f" and {needs['answerTokens']} of answer" if needs["answerTokens"] else ""),
        f"shape       {_shape(found.shape)}",
        f"route       {found.route or 'none'}",
    ]
    for step in found.candidates:
        place = "house" if step.kind == "local" else "cloud"
        lines.append(f"candidate   {step.backend} (tier {step.tier + 1}, {place})")
    for one in found.left_out:
        lines.append(f"left out    {one.backend or f'route {one.route}'}: {one.why}")
    for name, way in found.budgets.items():
        lines.append(f"budget      {name}: once it is spent, {_ONCE_SPENT[way]}")
    lines += [f"note        {note}" for note in found.notes]
    if found.error:
        lines.append(f"answer      {found.status} {found.error}: {found.message}")
    return "\n".join(lines)


def _shape(shape: Any) -> str:
    """Returns what stands in a request; what is not there is not named."""
    why = shape.get("taskWhy", "")
    shape = {name: value for name, value in shape.items() if name != "taskWhy"}
    told = {name: "no limit" if value is None else value for name, value in shape.items() if value or value is None}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value != "no limit") + f" ({why})"
