"""Layers of a registry that are archives are unpacked after they have been verified: only what is wanted, and plain files only.

Layers lie over one another as in an image: a later one replaces and removes what earlier ones hold (OCI image-spec,
layer.md, whiteouts). What would leave the folder makes the whole source unsafe; links and devices are never made, and a
wanted file that is one is told.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Oci
from genset.weights import local
from genset.weights.choice import MOST_FILES, Listed, Wish, one_model, stays_inside
from genset.weights.failure import WeightsFailure
from genset.weights.origin import Checksum, RemoteFile, Resolved
from genset.weights.own_file import open_own
from genset.weights.own_names import is_own
from genset.weights.progress import ProgressLog
from genset.weights.tar import BadArchive, Member, members, opened
from genset.weights.volume import Volume, disk_errors

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class _Entry(Listed):
    """This is one file of the layers as they lie over one another."""

    kind: str = "file"
    layer: int = 0


def unpacked(spec: FetchSpec, resolved: Resolved, folder: Path, volume: Volume, progress: ProgressLog) -> Resolved:
    """Unpacks what the spec wants of the archives in a folder of downloads.

    Returns the files that lie there now, under the content of what was resolved. The archives stay until the model is
    published: what turns out to be no model is not downloaded again at each restart.
    """
    source = spec.source
    pattern = source.path if isinstance(source, Oci) else ""
    where = resolved.files[0].shown
    layers = [(remote, folder / remote.path) for remote in resolved.files if remote.archive]
    progress.update(state="verifying", message="Unpacks what was downloaded")
    there = _listed(layers, where)
    chosen = _folder(there, pattern, where) if spec.whole_folder else _model(there, pattern, where)
    names = list(spec.names) if spec.names else list(chosen)
    kept = [remote for remote in resolved.files if not remote.archive]
    size = sum(entry.size or 0 for entry in chosen.values())
    volume.bound(size, what=where)
    volume.require(size, what=where)
    places = dict(zip((entry.name for entry in chosen.values()), names, strict=True))
    found: dict[str, RemoteFile] = {}
    for number, (remote, target) in enumerate(layers):
        mine = {name: entry for name, entry in there.items() if entry.layer == number and name in places}
        with disk_errors(target):
            for name, checksum, size in _extracted(target, remote, mine, places, folder):
                found[name] = RemoteFile(remote.url, name, checksum, size, path=places[name])
    files = [found[name] for name in places]
    for number, remote in enumerate(files, 1) if not spec.whole_folder else ():
        path = folder / remote.path
        local.check_shard(local.check_file(path, remote.name), remote.name, number, spec.source.shards)
        local.check_role(path, remote.name, spec.role)
    progress.update(state="downloading", message="")
    return replace(resolved, files=(*kept, *files), known_as=resolved.content)


def _listed(layers: Iterable[tuple[RemoteFile, Path]], where: str) -> dict[str, _Entry]:
    """Returns the files of all layers by their names, the last one of a name."""
    there: dict[str, _Entry] = {}
    for number, (remote, target) in enumerate(layers):
        mine: dict[str, _Entry] = {}
        try:
            with opened(target, remote.archive) as stream:
                for member, _ in members(stream):
                    name = _inside(member, where)
                    base = posixpath.basename(name)
                    if base == _OPAQUE:
                        _drop(there, posixpath.dirname(name))
                    elif base.startswith(_WHITEOUT):
                        _drop(there, posixpath.join(posixpath.dirname(name), base.removeprefix(_WHITEOUT)))
                    elif member.kind != "folder":
                        mine[name] = _Entry(name, member.size, member.kind, number)
        except BadArchive as error:
            raise _unsafe(where, f"an archive of it is no good: {error}") from error
        there |= mine
    return there


def _drop(there: dict[str, _Entry], path: str) -> None:
    for name in [name for name in there if name == path or name.startswith(f"{path}/") or not path]:
        del there[name]


def _inside(member: Member, where: str) -> str:
    """Returns a member's name in its plain form."""
    name = member.name.rstrip("/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    if name in ("", "."):
        return "."
    if not stays_inside(name):
        raise _unsafe(where, f"its entry {member.name[:200]!r} leads out of its folder, or is no usable name")
    return name


def _model(there: dict[str, _Entry], pattern: str, where: str) -> dict[str, _Entry]:
    wish = Wish(where, "source.oci.path", pattern or "*.gguf")
    return {entry.name: _plain(entry, where) for entry in one_model(wish, there.values())}


def _folder(there: dict[str, _Entry], path: str, where: str) -> dict[str, _Entry]:
    """Returns the files of the folder, by their names in it."""
    root = path.strip("/")
    before = f"{root}/" if root else ""
    found = {name.removeprefix(before): entry for name, entry in there.items() if name.startswith(before)}
    if not found:
        tops = sorted({name.partition("/")[0] for name in there})[:10]
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"{where} has no folder {path!r} (source.oci.path); it has: {', '.join(tops) or 'no file at all'}",
        )
    if len(found) > MOST_FILES:
        raise WeightsFailure(
            Reason.NOT_A_MODEL,
            f"{where} holds {len(found)} files, and a model at most {MOST_FILES}: name the model's folder in source.oci.path",
        )
    for name, entry in found.items():
        if is_own(name):
            raise _unsafe(where, f"its file {name} has a name that the download needs for itself")
        _plain(entry, where)
    return found


def _plain(entry: _Entry, where: str) -> _Entry:
    if entry.kind != "file":
        raise _unsafe(
            where, f"its entry {entry.name} is a {entry.kind if entry.kind == 'link' else 'device or the like'}"
        )
    return entry


def _extracted(
    archive: Path, remote: RemoteFile, mine: dict[str, _Entry], places: dict[str, str], folder: Path
) -> Iterable[tuple[str, Checksum, int]]:
    """Writes the wanted files of one layer; yields name, checksum and size of each."""
    if not mine:
        return
    done: dict[str, tuple[Checksum, int]] = {}
    try:
        with opened(archive, remote.archive) as stream:
            for member, content in members(stream):
                name = _inside(member, remote.shown)
                if member.kind != "file" or name not in mine:
                    continue
                target = folder / places[name]
                target.parent.mkdir(parents=True, exist_ok=True)
                hasher = hashlib.sha256()
                with os.fdopen(open_own(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb", buffering=0) as out:
                    for chunk in content:
                        hasher.update(chunk)
                        view = memoryview(chunk)
                        while view:
                            view = view[out.write(view) :]
                    os.fsync(out.fileno())
                done[name] = Checksum("sha256", hasher.hexdigest()), member.size
    except BadArchive as error:
        raise _unsafe(remote.shown, f"an archive of it is no good: {error}") from error
    yield from ((name, *one) for name, one in done.items())


def _unsafe(where: str, what: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.UNSAFE_ARCHIVE,
        f"{where} is not unpacked: {what}; nothing of it is served: pack it anew, with plain files only",
    )
