"""`make soak`: the router at half of its capacity under random faults. MINUTES=15; exit status 1 on any violation."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
import uvloop

from testbed.soak.run import Plan, soak


@click.command(help=__doc__)
@click.option("--minutes", default=15.0, show_default=True, type=click.FloatRange(0.2, 24 * 60))
@click.option("--seed", default=Plan.seed, show_default=True, help="Of the faults and of the clients.")
@click.option("--logs", type=click.Path(path_type=Path, file_okay=False), help="Folder for logs; it must not exist.")
def main(minutes: float, seed: int, logs: Path | None) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = logs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=logs is None)
        summary = uvloop.run(soak(Plan.of_minutes(minutes, seed), folder, lambda line: click.echo(f"  {line}")))
    for line in summary.lines():
        click.echo(line)
    violations = summary.violations()
    for violation in violations:
        click.echo(f"VIOLATION: {violation}", err=True)
    click.echo(f"{'FAILED' if violations else 'passed'} after {time.monotonic() - started:.0f} s")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
