"""The store holds things that are built once: entries of the user's cache, named by what they are made of.

An entry is a folder `<kind>/<name>-<key>`; the key is a digest of everything that goes into it, so an entry is never
out of date and never changed: it appears as a whole, by a rename, or not at all. A lock file per name keeps two callers
from building the same thing twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from testbed.cluster import mounts

log = logging.getLogger(__name__)

KEPT_ENTRIES = 3  # newest entries of one name, so that switching between branches does not rebuild


def cache_root(env: Mapping[str, str] | None = None) -> Path:
    """Returns the project's folder in the user's cache (`XDG_CACHE_HOME`, else `~/.cache`)."""
    chosen = (os.environ if env is None else env).get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "genset"


def digest(parts: Mapping[str, str | bytes]) -> str:
    """Returns twelve hexadecimal digits that change if any part, or its name, changes."""
    hasher = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        data = value.encode() if isinstance(value, str) else value
        hasher.update(f"{len(name)}:{name}:{len(data)}:".encode())
        hasher.update(data)
    return hasher.hexdigest()[:12]


def read_tree(root: Path, names: Iterable[str], suffixes: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Reads the named files, and the files below the named folders, into their contents by relative path.

    `suffixes`: of folders, only files with one of these; all, if none is given.
    """
    found: dict[str, bytes] = {}
    for name in names:
        top = root / name
        candidates = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in candidates:
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            if top.is_dir() and suffixes and path.suffix not in suffixes:
                continue
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds an exclusive lock on a file; says so if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("Waiting for another process that is busy with %s", what)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back, also if the process dies


def entry(kind: str, name: str, key: str, root: Path | None = None) -> Path:
    """Returns where the entry is, or will be."""
    return (root or cache_root()) / kind / f"{name}-{key}"


def build_once(kind: str, name: str, key: str, build: Callable[[Path], None], root: Path | None = None) -> Path:
    """Returns the folder of the entry; `build` fills a new folder if there is none yet.

    What a failed build leaves is removed; a failed build of one key never harms an entry of another.
    """
    place = entry(kind, name, key, root)
    if place.is_dir():
        _touch(place)
        return place
    with locked(place.parent / f".{name}.lock", f"building {name}"):
        if place.is_dir():  # another process built it while this one waited
            return place
        _remove_abandoned(place.parent, name)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}.draft-", dir=place.parent))
        try:
            build(draft)
            draft.chmod(0o755)  # mkdtemp gives 0700, and a root file system must be readable by its users
            draft.rename(place)
        except BaseException:
            _discard(draft)
            raise
        _drop_old(place.parent, name)
    return place


def _touch(place: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that may only be read is good enough
        os.utime(place)


def _remove_abandoned(folder: Path, name: str) -> None:
    """Removes drafts of builders that were killed. The caller has the lock, so no draft of this name is being filled."""
    for draft in folder.glob(f".{name}.draft-*"):
        _discard(draft)


def _discard(draft: Path) -> None:
    """Removes a draft, after unmounting what a killed builder mounted in it (debootstrap: /proc).

    Otherwise that would be emptied, too.
    """
    mounts.unmount_below(draft)
    shutil.rmtree(draft, ignore_errors=True)


def _drop_old(folder: Path, name: str) -> None:
    key_length = len(digest({}))
    entries = [p for p in folder.glob(f"{name}-*") if len(p.name) == len(name) + 1 + key_length]
    for old in sorted(entries, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT_ENTRIES:]:
        log.info("Removed %s, not used lately", old)
        shutil.rmtree(old, ignore_errors=True)
