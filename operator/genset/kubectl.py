"""A command line asks a cluster by kubectl, which knows every way to log in that a kubeconfig may name."""

from __future__ import annotations

import shutil
import subprocess


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
    program = shutil.which("kubectl")
    if program is None:
        raise KubectlError(missing)
    where = ("--context", context) if context else ()
    command = [program, *where, *arguments, f"--request-timeout={seconds // 2}s"]
    sent = given.encode() if given is not None else None
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise KubectlError(f"{cluster} did not answer in {seconds} s") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise KubectlError(f"{what}: {words[-1] if words else 'no reason given'}")
    return done.stdout
