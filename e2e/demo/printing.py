"""How the demo talks: titles, results with the seconds since the start, progress that replaces itself on a terminal."""

from __future__ import annotations

import sys
import time

import click

from e2e.load import Load
from e2e.story import Failover

WIDTH = 118
REPEAT_SECONDS = 15.0  # between two progress lines where nothing can be replaced


class Printer:
    """Prints for a person; the clock starts with it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._waiting = ""
        self._waited = 0.0

    def title(self, text: str) -> None:
        self._clear()
        click.echo()
        click.secho(text, bold=True)

    def done(self, text: str) -> None:
        self._clear()
        click.echo(f"  {time.monotonic() - self._started:6.1f} s  {text}")

    def plain(self, text: str) -> None:
        self._clear()
        for line in text.splitlines():
            click.echo(f"  {line}")

    def output(self, command: str, text: str) -> None:
        """What a command printed."""
        self._clear()
        click.secho(f"            $ {command}", dim=True)
        for line in text.splitlines():
            click.secho(f"            {line}", dim=True)

    def waiting(self, text: str) -> None:
        """Progress: on a terminal one line that replaces itself, elsewhere a line when it changes or time passes."""
        line = f"           ... {text}"[:WIDTH]
        if self._terminal:
            click.echo(f"\r{line:<{WIDTH}}", nl=False)
        elif line != self._waiting or time.monotonic() - self._waited > REPEAT_SECONDS:
            click.echo(line)
            self._waited = time.monotonic()
        self._waiting = line

    def failover(self, what: str, other: str, failover: Failover) -> None:
        first = failover.first_failed_over
        if failover.lost:
            raise RuntimeError(f"{len(failover.lost)} requests were lost; a client saw: {failover.lost[0].problem}")
        self.done(f"Under load, {what}")
        self.done(
            f"First byte from {other} {failover.seconds_to_first_byte * 1000:.0f} ms after that; "
            f"that request took {(first.ended - first.started) * 1000:.0f} ms, its trail: {first.attempts}"
        )
        self.done(f"Slowest answer around the failure: {failover.slowest * 1000:.0f} ms")

    def answers(self, load: Load) -> None:
        if load.lost:
            raise RuntimeError(f"{len(load.lost)} requests were lost; a client saw: {load.lost[0].problem}")
        by = ", ".join(f"{count} by {backend}" for backend, count in sorted(load.by_backend().items()))
        self.done(f"{len(load.answers)} requests, every token checked: {by}, 0 lost")

    def _clear(self) -> None:
        if self._terminal and self._waiting:
            click.echo(f"\r{'':<{WIDTH}}\r", nl=False)
        self._waiting = ""
