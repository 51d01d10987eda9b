"""`python -m bench shapes`: what each feature of a request's shape costs, in microseconds of a core.

It is a pure function of a request, called here as a table calls it: on a question, a long conversation of an agent, a file of
source code and a request with a JSON schema. The first row is a table with shapes that read nothing of a request; one without
shapes does not come so far.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import click

from bench import report
from bench.sensitive import texts
from genset.router.shapes.request_shape import READABLE, RequestShape

REPEATS = 7  # the median of which counts
LEAST_SECONDS = 0.03  # of one repeat
_TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}


def requests() -> dict[str, dict[str, Any]]:
    """Makes a request of each kind."""
    prose, code = texts(1024)["prose"], texts(16 * 1024)["source code"]
    turn = [
        {"role": "user", "content": prose[:400]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "read_file", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": prose},
        {"role": "assistant", "content": prose[:200]},
    ]
    fields = {f"field{n}": {"type": "string"} for n in range(20)}
    schema = {
        "type": "object",
        "properties": {"lines": {"type": "array", "items": {"type": "object", "properties": fields}}},
    }
    system = {"role": "system", "content": prose}
    return {
        "question of 1 KiB": {"messages": [{"role": "user", "content": prose}]},
        "agent, 200 messages": {"messages": [system, *turn * 50], "tools": [_TOOL] * 20},
        "code of 16 KiB": {"messages": [system, {"role": "user", "content": code}]},
        "schema of 21 fields": {
            "messages": [{"role": "user", "content": prose}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        },
    }


def microseconds(look: Callable[[], object]) -> float:
    """Returns what one call takes."""
    look()
    times: list[float] = []
    for _ in range(REPEATS):
        count, began = 0, time.process_time()
        while (used := time.process_time() - began) < LEAST_SECONDS:
            for _ in range(10):
                look()
            count += 10
        times.append(used / count * 1e6)
    return statistics.median(times)


@click.command("shapes")
def command() -> None:
    """What it costs to look at the shape of a request, by feature."""
    asked = requests()
    click.echo(f"{report.machine()['cpu']}; µs of one look; medians of {REPEATS}\n")
    click.echo("| feature | " + " | ".join(asked) + " |")
    click.echo("|---|" + "---:|" * len(asked))
    for about, reads in {"nothing": (), **{name: (name,) for name in READABLE}, "all": READABLE}.items():
        row = []
        for request in asked.values():
            wanted = frozenset(reads)
            row.append(f"{microseconds(lambda: RequestShape(wanted, request, 7, 0.0).look()):.1f}")  # noqa: B023 (called here)
        click.echo(f"| {about} | {' | '.join(row)} |")
