"""A long step is a program that runs with its output in a file, while its progress is logged every few seconds."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

NOTE_SECONDS = 10.0
SHOWN_LINES = 15


class StepFailed(RuntimeError):
    """A program of a step failed; the message holds the end of its output and the path of the whole."""


def run_step(
    title: str,
    argv: Sequence[str | Path],
    log_file: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    quiet: bool = False,
) -> float:
    """Runs a program to its end. Returns the seconds it took. `env` adds to the environment."""
    started = time.monotonic()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        output.write(f"$ {' '.join(str(a) for a in argv)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                [str(a) for a in argv],
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise StepFailed(
                f"{title}: {argv[0]} is not installed; python -m testbed.cluster tools installs it"
            ) from error
        try:
            if process.stdin is not None:
                process.stdin.write(stdin or b"")
                process.stdin.close()
            _wait(process, title, started, quiet)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise StepFailed(
            f"{title} failed with status {process.returncode} after {seconds:.0f} s\n"
            f"{last_lines(log_file)}\nWhole output: {log_file}"
        )
    if not quiet:
        log.info("%s: done in %.1f s", title, seconds)
    return seconds


def _wait(process: subprocess.Popen[bytes], title: str, started: float, quiet: bool) -> None:
    if not quiet:
        log.info("%s", title)
    while True:
        try:
            process.wait(NOTE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            log.info("%s: %.0f s", title, time.monotonic() - started)


def last_lines(path: Path, count: int = SHOWN_LINES) -> str:
    """Returns the end of a log file, indented for a message."""
    try:
        with path.open("rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(0, handle.tell() - 16384))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return "  (no output)"
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (no output)"
