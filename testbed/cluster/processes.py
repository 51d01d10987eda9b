"""The daemons of one cluster folder run in sessions of their own, and are found and ended exactly.

Every daemon carries the folder's path in its environment. A pid file alone could name a process that got the number
later; no process has the mark by accident, and it also finds what a killed `up` had not written down yet (containerd's
shims inherit it).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from testbed.cluster.steps import last_lines

MARK = "GENSET_CLUSTER_FOLDER"
POLL_SECONDS = 0.02
# The shell writes its own number and becomes the daemon, so that no daemon ever runs without its file.
_LAUNCH = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'


class DaemonDied(RuntimeError):
    """A daemon ended by itself; the message holds the end of its log."""


class Daemons:
    """The daemons of one folder have pid files in `run/` and their output in `log/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = folder / "run"
        self._log = folder / "log"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Starts a daemon that outlives this process. Its previous log stays, and is appended to."""
        self._run.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        with self.log_file(name).open("ab") as output:
            self._children[name] = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, str(self._pid_file(name)), *(str(a) for a in argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **(env or {}), MARK: str(self.folder)},
            )

    def log_file(self, name: str) -> Path:
        return self._log / f"{name}.log"

    def names(self) -> list[str]:
        return sorted(p.stem for p in self._run.glob("*.pid"))

    def pid(self, name: str) -> int | None:
        """Returns the daemon's process id, if it runs."""
        child = self._children.get(name)
        if child is not None and child.poll() is not None:
            return None
        try:
            pid = int(self._pid_file(name).read_text())
        except (OSError, ValueError):
            return None
        return pid if _carries_mark(pid, str(self.folder)) else None

    def check(self, name: str) -> None:
        """Raises DaemonDied if the daemon no longer runs."""
        child = self._children.get(name)
        starting = child is not None and child.poll() is None  # the shell may not have written its number yet
        if not starting and self.pid(name) is None:
            raise DaemonDied(
                f"{name} ended by itself; the end of {self.log_file(name)}:\n{last_lines(self.log_file(name))}"
            )

    def stop(self, name: str, grace_seconds: float = 0.0) -> None:
        """Ends the daemon: by SIGTERM first if it gets grace, by SIGKILL otherwise or afterwards."""
        pid = self.pid(name)
        if pid is not None:
            end_processes([pid], grace_seconds)
        child = self._children.pop(name, None)
        if child is not None:
            if child.poll() is None:
                child.kill()
            child.wait()
        self._pid_file(name).unlink(missing_ok=True)

    def stop_all(self, grace_seconds: float = 0.0) -> int:
        """Ends everything that carries the folder's mark. Returns how many processes that were."""
        pids = marked_processes(self.folder)
        end_processes(pids, grace_seconds)
        for name in {*self.names(), *self._children}:
            self.stop(name)
        return len(pids)

    def _pid_file(self, name: str) -> Path:
        return self._run / f"{name}.pid"


def marked_processes(folder: Path) -> list[int]:
    """Lists every process that carries the mark of the folder, except for the caller."""
    pids = (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _carries_mark(pid, str(folder))]


def end_processes(pids: Iterable[int], grace_seconds: float = 0.0, deadline_seconds: float = 10.0) -> None:
    """Ends the processes and waits until they are gone."""
    left = [pid for pid in pids if is_running(pid)]
    if grace_seconds > 0:
        _signal(left, signal.SIGTERM)
        left = _wait_gone(left, grace_seconds)
    _signal(left, signal.SIGKILL)
    left = _wait_gone(left, deadline_seconds)
    if left:
        raise RuntimeError(
            f"processes {left} did not end {deadline_seconds:.0f} s after SIGKILL; see their state in /proc/PID/status"
        )


def is_running(pid: int) -> bool:
    """Returns whether the process exists and is more than an entry waiting for its parent (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _carries_mark(pid: int, folder: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return False
    return f"{MARK}={folder}".encode() in environment.split(b"\0") and is_running(pid)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_gone(pids: list[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    left = pids
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [pid for pid in left if is_running(pid)]
    return left
