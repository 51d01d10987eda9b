"""Files that the puller writes are its own: on a volume that several pods share, a link may lie in their place."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def open_own(path: Path, flags: int, mode: int = 0o644) -> int:
    """Opens a file and follows no link: one that another pod has put there goes. Raises OSError."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, mode)
    except OSError as problem:
        if problem.errno != errno.ELOOP:
            raise
    path.unlink(missing_ok=True)
    return os.open(path, flags, mode)
