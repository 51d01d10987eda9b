"""An overlay's upper layer needs a file system that supports it: inside most containers, the root does not."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path


def supported(folder: Path) -> bool:
    """Returns whether it does, by mounting an overlay in a temporary folder and removing it again."""
    if os.geteuid() != 0:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".overlay-", dir=folder) as name:
        top = Path(name)
        lower, upper, work, merged = (top / part for part in ("lower", "upper", "work", "merged"))
        for part in (lower, upper, work, merged):
            part.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], capture_output=True)
        if mounted.returncode != 0:
            return False
        subprocess.run(["umount", merged], check=True, capture_output=True)
    return True
