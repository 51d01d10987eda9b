"""Mounts below a folder belong to containers, volumes and network namespaces, and outlive what made them."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

ROUNDS = 20
ROUND_SECONDS = 0.1


def mounted_below(folder: Path, table: str) -> list[Path]:
    """Lists mount points in or below the folder, innermost first; `table` is the text of /proc/self/mountinfo."""
    found: list[Path] = []
    for line in table.splitlines():
        place = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), line.split()[4]))
        if place == folder or folder in place.parents:
            found.append(place)
    return found[::-1]  # the kernel lists in the order of mounting


def current(folder: Path) -> list[Path]:
    return mounted_below(folder, Path("/proc/self/mountinfo").read_text())


def unmount_below(folder: Path) -> None:
    """Unmounts everything below a folder. Raises rather than leave a mount, because a deletion might reach behind it."""
    for _ in range(ROUNDS):
        left = current(folder)
        if not left:
            return
        for place in left:
            subprocess.run(["umount", str(place)], capture_output=True, check=False)
        if current(folder):
            time.sleep(ROUND_SECONDS)
    for place in current(folder):  # still in use: detached as soon as the use ends
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
    if left := current(folder):
        raise RuntimeError(f"{left[0]} cannot be unmounted; see what uses it with fuser -vm {left[0]}")
