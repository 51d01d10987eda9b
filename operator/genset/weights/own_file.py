"""Files that the puller opens are its own: on a volume that several pods share, anything may lie in their place.

Whoever shares the volume may put links, pipes, devices or other folders there, at any moment. So the puller's own folders are
walked one by one without following a link, what is opened must be a regular file, and what is something else goes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SMALL_BYTES = 1 << 20  # of a file that is read as a whole: markers and notes have a few hundred
_OWN_FOLDER = re.compile(r"[0-9a-f]{16}")  # of a spec, and of a content in it, as `volume` names them
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAREFUL = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would have its opener wait for the other end
_IN_PLACE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR, errno.ENODEV)


def open_own(path: Path, flags: int, mode: int = 0o644) -> int:
    """Opens a regular file and follows no link: whatever else another pod has put there goes. Raises OSError."""
    with _folder(path.parent) as folder:
        try:
            return _regular(path.name, flags, mode, folder)
        except OSError as problem:
            if problem.errno not in _IN_PLACE:
                raise
        _remove(path.name, folder)
        return _regular(path.name, flags, mode, folder)


def read_own(path: Path) -> bytes:
    """Reads a small regular file. Raises OSError, also for what is something else, or larger."""
    with open_to_read(path) as stream:
        content = stream.read(SMALL_BYTES + 1)
    if len(content) > SMALL_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def open_to_read(path: Path) -> BinaryIO:
    """Opens a regular file to be read. Raises OSError, also for what is something else."""
    with _folder(path.parent) as folder:
        return os.fdopen(_regular(path.name, os.O_RDONLY, 0, folder), "rb")


def own_folder(folder: Path) -> None:
    """Makes a folder; a link in its place goes. Raises OSError."""
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)


def is_folder(path: Path) -> bool:
    """Returns whether a path is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Returns whether a path is a regular file itself, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Opens the folder of a file. Of the way there, what is the puller's own is no link."""
    above, own = _parted(path)
    descriptor = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in own:
            inner = os.open(name, _WALK, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _parted(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the volume, and the folders below it: from that of a spec on they are the puller's own."""
    named = [at for at, part in enumerate(path.parts) if _OWN_FOLDER.fullmatch(part)]
    if not named:
        return path, ()
    first = named[-1]
    while first - 1 in named:
        first -= 1
    return Path(*path.parts[:first]), path.parts[first:]


def _regular(name: str, flags: int, mode: int, folder: int) -> int:
    descriptor = os.open(name, flags | _CAREFUL, mode, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENODEV, "Not a regular file", name)


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # POSIX lets unlink say EPERM of a folder
        shutil.rmtree(name, dir_fd=folder)
