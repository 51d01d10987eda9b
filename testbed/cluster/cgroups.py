"""The kubelet keeps all pods under control groups of the cluster's own, so that every process in them is a container's."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

NAME = "genset-e2e"
ROOT = f"/{NAME}"
DEADLINE_SECONDS = 10.0
POLL_SECONDS = 0.02


def hierarchies(mounts: str) -> list[tuple[Path, bool]]:
    """Lists mount points of cgroup hierarchies in the text of /proc/self/mounts, and whether each is of version 2."""
    found: list[tuple[Path, bool]] = []
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(place), kind == "cgroup2"))
    return found


def _folders() -> list[tuple[Path, bool]]:
    return [(place / NAME, unified) for place, unified in hierarchies(Path("/proc/self/mounts").read_text())]


def make() -> None:
    """Makes the group in every hierarchy, because the kubelet wants its root to be there."""
    for folder, unified in _folders():
        parent = folder.parent
        if unified:
            # A group only has the controllers that its parent passes on; with version 1 beside it there are none to
            # pass.
            controllers = (parent / "cgroup.controllers").read_text().split()
            for controller in controllers:
                with contextlib.suppress(OSError):  # a controller that this kernel or container keeps to itself
                    (parent / "cgroup.subtree_control").write_text(f"+{controller}")
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group of version 1: nothing could run in it
            source = parent / name
            if not unified and source.exists() and not (folder / name).read_text().strip():
                (folder / name).write_text(source.read_text())


def kill_all() -> int:
    """Kills every process in the group and waits until all are gone. Returns how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while pids := _pids():
        if time.monotonic() > deadline:
            raise RuntimeError(f"containers' processes {sorted(pids)} do not end; see their state in /proc/PID/status")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= pids
        time.sleep(POLL_SECONDS)
    return len(killed)


def remove() -> None:
    """Removes the group and those in it, which must be empty."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    for folder, _ in _folders():
        while folder.exists():
            for place in sorted(_tree(folder), key=lambda p: len(p.parts), reverse=True):
                with contextlib.suppress(OSError):  # its last process has ended, but the kernel has not tidied up yet
                    place.rmdir()
            if time.monotonic() > deadline:
                raise RuntimeError(f"control group {folder} cannot be removed: something runs in it")
            if folder.exists():
                time.sleep(POLL_SECONDS)


def leftovers() -> list[str]:
    return [f"control group {folder}" for folder, _ in _folders() if folder.exists()]


def _pids() -> set[int]:
    pids: set[int] = set()
    for folder, _ in _folders():
        for place in _tree(folder):
            with contextlib.suppress(OSError):  # removed while we looked, or a threaded group
                pids |= {int(word) for word in (place / "cgroup.procs").read_text().split()}
    return pids - {0, os.getpid()}


def _tree(folder: Path) -> list[Path]:
    if not folder.exists():
        return []
    return [Path(place) for place, _, _ in os.walk(folder)]
