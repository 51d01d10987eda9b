"""A command line asks a cluster by kubectl, which knows every way to log in that a kubeconfig may name."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class KubectlError(Exception):
    """kubectl is missing, or the cluster did not answer, or refused. The message says which, for whoever typed the command."""


def kubectl(
    *arguments: str,
    missing: str,
    what: str,
    cluster: str = "the cluster",
    context: str | None = None,
    given: str | None = None,
    seconds: int = 60,
) -> bytes:
    """Returns what kubectl prints. Raises KubectlError.

    `context` is that of the kubeconfig; None: the current one. `given` goes to its standard input. One request of it may take
    half of `seconds`, and it as a whole all of them. In messages, `missing` says what to do without kubectl, `what` names what
    was asked, and `cluster` whom.
    """
    command = [*_program(context, missing), *arguments, f"--request-timeout={seconds // 2}s"]
    sent = given.encode() if given is not None else None
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise KubectlError(f"{cluster} did not answer in {seconds} s") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise KubectlError(f"{what}: {words[-1] if words else 'no reason given'}")
    return done.stdout


def lines_of(*arguments: str, missing: str, what: str, context: str | None = None) -> Iterator[bytes]:
    """Yields what kubectl prints, a line at a time, for as long as it does. Raises KubectlError at its end if it failed."""
    with subprocess.Popen(
        [*_program(context, missing), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            if process.stdout is not None:
                yield from process.stdout
            words = (
                process.stderr.read().decode(errors="replace").strip().splitlines()
                if process.stderr is not None
                else []
            )
            if process.wait():
                raise KubectlError(f"{what}: {words[-1] if words else 'no reason given'}")
        finally:
            process.terminate()


@contextmanager
def forwarded(
    namespace: str, target: str, port: int, *, missing: str, context: str | None = None, seconds: float = 30.0
) -> Iterator[int]:
    """Gives a port of this machine that leads to that of a target, e.g. service/NAME. Raises KubectlError."""
    command = [*_program(context, missing), "-n", namespace, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        late = threading.Timer(seconds, process.kill)
        late.start()
        try:
            found = None
            while process.stdout is not None and found is None and (line := process.stdout.readline()):
                found = re.search(r"(?:127\.0\.0\.1|\[::1\]):(\d+) ->", line)
            late.cancel()
            if found is None:
                words = process.stderr.read().strip().splitlines() if process.stderr is not None else []
                raise KubectlError(f"kubectl port-forward {target}: {words[-1] if words else 'it forwarded nothing'}")
            yield int(found[1])
        finally:
            late.cancel()
            process.terminate()


def _program(context: str | None, missing: str) -> list[str]:
    program = shutil.which("kubectl")
    if program is None:
        raise KubectlError(missing)
    return [program, *(("--context", context) if context else ())]
