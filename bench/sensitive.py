"""`python -m bench sensitive`: what it costs to look for sensitive content, in microseconds of a core for each KiB of text.

It is a pure function of a request's text, called here as a route calls it, on texts of several kinds in which nothing is found:
prose, letters with amounts and dates, tables of numbers, source code.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping

import click

from bench import report
from genset.sensitive.detector import Detector
from genset.sensitive.kinds import KINDS

SIZES = (1, 16, 128)  # KiB of text
REPEATS = 7  # the median of which counts
LEAST_SECONDS = 0.05  # of one repeat
_PROSE = (
    "the router keeps a request in the house if it holds something that should not leave it and tells the log by name what "
    "that was because a person who reads it has to know why the answer came from a smaller model than he has asked for"
)
_WORDS = _PROSE.split(" ")


def texts(size: int, seed: int = 1) -> Mapping[str, str]:
    """Makes texts of about `size` bytes in which nothing is found, so that all of each is looked at."""
    draw = random.Random(seed)
    prose = " ".join(draw.choice(_WORDS) for _ in range(size // 4))
    letter = " ".join(
        draw.choice((*_WORDS, "Invoice 2026-113,", "1,250.00 EUR", "on 12.03.2026", "Main Street 14"))
        for _ in range(size // 4)
    )
    table = "\n".join(", ".join(f"{draw.randrange(10**8):08d}" for _ in range(8)) for _ in range(size // 60))
    code = "\n".join(
        f"    self.{draw.choice(_WORDS)}[{draw.randrange(99)}] = {draw.choice(_WORDS)}()" for _ in range(size // 20)
    )
    found = {"prose": prose, "letters": letter, "numbers of 8 digits": table, "source code": code}
    return {kind: text[:size] for kind, text in found.items()}


def microseconds(detector: Detector, text: str) -> float:
    """Returns what one look at a request of this text takes."""
    request = {"messages": [{"role": "user", "content": text}]}
    times: list[float] = []
    for _ in range(REPEATS):
        count, began = 0, time.process_time()
        while (used := time.process_time() - began) < LEAST_SECONDS:
            detector.found(request)
            count += 1
        times.append(used / count * 1e6)
    return statistics.median(times)


@click.command("sensitive")
@click.option("--detect", default=",".join(KINDS), show_default=True, help="What is looked for, by commas.")
def command(detect: str) -> None:
    """What looking for sensitive content costs, by kind and length of the text."""
    kinds = [name.strip() for name in detect.split(",") if name.strip()]
    if unknown := [name for name in kinds if name not in KINDS]:
        raise click.BadParameter(f"unknown kind {', '.join(unknown)}; known: {', '.join(KINDS)}")
    detector = Detector(kinds, (), ())
    facts = report.machine()
    click.echo(
        f"{facts['cpu']}; µs per KiB of text, the whole look; medians of {REPEATS}; detect: {', '.join(kinds)}\n"
    )
    click.echo("| text | " + " | ".join(f"{size} KiB" for size in SIZES) + " | found |")
    click.echo("|---|" + "---:|" * len(SIZES) + "---|")
    for kind in texts(1024):
        row, found = [], ()
        for size in SIZES:
            text = texts(size * 1024)[kind]
            found = detector.found({"messages": [{"role": "user", "content": text}]})
            row.append(f"{microseconds(detector, text) / (len(text) / 1024):.1f}")
        click.echo(f"| {kind} | {' | '.join(row)} | {', '.join(found) or 'nothing'} |")
