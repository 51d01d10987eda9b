"""Processes of a benchmark: pinned to a core, logging into a file, and gone when the benchmark is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """Which cores are used: one for the peer, one for load generator and upstream together; and with what priority."""

    peer: int
    load: int
    nice: int = 0

    @classmethod
    def choose(cls, peer: int | None, load: int | None, nice: int = 0) -> Cores:
        """The last two cores that this process may use; a single one serves both, and results say so."""
        free = sorted(os.sched_getaffinity(0))
        chosen_peer = free[-1] if peer is None else peer
        others = [core for core in free if core != chosen_peer] or free
        return cls(chosen_peer, others[-1] if load is None else load, nice)


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on one core, killed when its parent ends however it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *command]


@contextlib.contextmanager
def running(
    command: Sequence[str], core: int, log: Path, env: Mapping[str, str] | None = None, nice: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process (and its children) for the length of a block; its output goes to `log`."""
    # What this program imports is no business of a peer's interpreter.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(command, core),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**inherited, **(env or {})},
            start_new_session=True,
        )
    prioritise(process.pid, nice)
    try:
        yield process
    finally:
        stop(process)


def prioritise(session: int, nice: int) -> None:
    """Priority of a process that leads a session. Where the kernel groups by session, only the group's own counts."""
    if nice == 0:
        return
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.setpriority(os.PRIO_PROCESS, session, nice)
        Path(f"/proc/{session}/autogroup").write_text(str(nice))


def stop(process: subprocess.Popen[bytes], patience: float = 2.0) -> None:
    """SIGTERM to the process and its children, SIGKILL after `patience` seconds."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        with contextlib.suppress(ProcessLookupError):  # children that outlived it
            os.killpg(process.pid, signal.SIGKILL)
        return


def wait_for_calm(cores: Cores, patience: float, idle: float = 0.85, sample: float = 0.3) -> bool:
    """Waits, `patience` seconds at most, until nothing else runs on the cores; False when that never came."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = _times()
        time.sleep(sample)
        after = _times()
        passed = {core: tuple(b - a for a, b in zip(before[core], after[core], strict=True)) for core in before}
        if all(passed[core][1] >= idle * passed[core][0] for core in (cores.peer, cores.load)):
            return True
    return False


def _times() -> dict[int, tuple[int, int]]:
    """All time and idle time of each core, in clock ticks since boot."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(field) for field in fields[:8]]
            found[int(name[3:])] = (sum(ticks), ticks[3] + ticks[4])
    return found
