"""One run of the puller looks what is there already, asks what the source has, downloads and publishes.

Order of preference, so that a pod that restarts in an air-gapped moment comes up:
1. The content can't change (http with sha256, a hub's commit), or may not (`settled`: a model that wakes while somebody
   waits), and is complete: done, without network, in milliseconds.
2. A branch or tag of a hub is asked for its commit. New content is downloaded, known content is put in place.
3. Whatever fails in 2: a complete model of an earlier run is served, and the log and the termination message say so.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from genset.contracts.puller import FetchSpec
from genset.weights import http, hugging_face, local, oci, s3
from genset.weights.client import make_client
from genset.weights.failure import WeightsFailure, size_text
from genset.weights.guard import guard_of
from genset.weights.lock import exclusive
from genset.weights.model_folder import check_folder, check_index, is_index
from genset.weights.origin import Lookup, RemoteFile, Resolved
from genset.weights.own_file import is_file
from genset.weights.own_names import PARTIAL
from genset.weights.progress import ProgressLog
from genset.weights.reader import Reader
from genset.weights.retry import Attempts, Retry, Transient
from genset.weights.unpack import unpacked
from genset.weights.volume import Model, Volume, disk_errors

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOOKUPS: dict[type[Any], Lookup[Any]] = {
    one.source: one for one in (hugging_face.LOOKUP, http.LOOKUP, s3.LOOKUP, oci.LOOKUP)
}
_PATIENCE_WITH_MODEL = 10.0  # seconds to try a hub for when there is a model to serve anyway


@dataclass(frozen=True)
class Fetched:
    """This is a complete model; `warning` if it is an earlier one because the source failed."""

    model: Model
    warning: str = ""


def fetch(spec: FetchSpec, progress: ProgressLog, *, retry: Retry | None = None) -> Fetched:
    """Makes `spec.model_path` a complete, verified model, or raises WeightsFailure."""
    volume = Volume(spec)
    retry = retry or Retry()
    there = volume.complete()
    if there and (spec.settled or _is_fixed(spec)):
        _log.info("Found %s complete at %s", there.files[0].origin, spec.model_path)
        return _done(there, progress)
    try:
        volume.prepare()
        volume.sweep()
        with exclusive(volume.folder, name=socket.gethostname(), progress=progress):
            return _done(_fetch_locked(spec, volume, progress, retry), progress)
    except WeightsFailure as failure:
        there = volume.complete()
        if there is None:
            raise
        warning = f"Serves the model of an earlier download ({_version(there)}), because {failure.message}"
        _log.warning("%s", warning)
        return _done(there, progress, warning)


def _fetch_locked(spec: FetchSpec, volume: Volume, progress: ProgressLog, retry: Retry) -> Model:
    there = volume.restored() or volume.reverify()  # another pod may have finished while we waited
    if there and (spec.settled or _is_fixed(spec)):
        return there
    patience = min(retry.patience, _PATIENCE_WITH_MODEL) if there else retry.patience
    progress.update(message="Asks the source")
    resolved = _persistently(
        lambda: lookup(spec).resolve(spec.source, spec), replace(retry, patience=patience), progress
    )
    progress.update(revision=resolved.revision, message="")
    if there and there.content == resolved.content:
        _log.info("Found %s up to date", _version(there))
        return there
    earlier = volume.earlier(resolved)
    if earlier:
        _log.info("Put the earlier download of %s in place", _version(earlier))
        return earlier
    return _download(spec, resolved, volume, progress, retry)


def _download(spec: FetchSpec, resolved: Resolved, volume: Volume, progress: ProgressLog, retry: Retry) -> Model:
    folder = volume.incoming(resolved)
    targets = [folder / name for name in placed_names(spec, resolved)]
    sizes = [remote.size for remote in resolved.files]
    if None not in sizes:
        total = sum(size or 0 for size in sizes)
        volume.bound(total, what=resolved.files[0].name)
        progress.update(total_bytes=total)
        volume.require(total - sum(_bytes_there(target) for target in targets), what=resolved.files[0].name)
    before = 0
    with make_client(spec.ca_file, guard_of(spec)) as client:
        reader = Reader(client, volume, progress, retry, login=lookup(spec).login)
        for number, (remote, target) in enumerate(zip(resolved.files, targets, strict=True), 1):
            if not is_file(target):  # a file of an earlier run was verified before it got its name
                _log.info("Started the download of %s", remote.shown)
                with disk_errors(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                reader.fetch(remote, target, before=before, check=_checker(spec, resolved, remote, number))
            before += remote.size if remote.size is not None else target.lstat().st_size
            progress.update(received=before)
    if any(remote.archive for remote in resolved.files):
        resolved = unpacked(spec, resolved, folder, volume, progress)
    if spec.whole_folder:
        check_folder(folder, resolved.files[0].shown, spec.role)
    model = volume.publish(folder, resolved)
    _log.info("Placed %s, %s, at %s", _version(model), size_text(model.size), spec.model_path)
    return model


def placed_names(spec: FetchSpec, resolved: Resolved) -> list[str]:
    """Returns where each file of a download lies: a GGUF model under its known names, everything else under its own."""
    if spec.names and not any(remote.path for remote in resolved.files):
        return spec.names
    return [remote.path for remote in resolved.files]


def _checker(spec: FetchSpec, resolved: Resolved, remote: RemoteFile, number: int) -> Callable[[Path], None]:
    """Returns the last look at a file before it gets its name."""

    def check(path: Path) -> None:
        if not remote.path:
            local.check_shard(local.check_file(path, remote.name), remote.name, number, spec.source.shards)
            local.check_role(path, remote.name, spec.role)
        elif is_index(remote.path) and not remote.archive:
            check_index(path, remote.name, (file.path for file in resolved.files))

    return check


def _persistently(work: Callable[[], _T], retry: Retry, progress: ProgressLog) -> _T:
    attempts = Attempts(retry, progress)
    while True:
        try:
            return work()
        except Transient as trouble:
            attempts.wait(trouble)


def lookup(spec: FetchSpec) -> Lookup[Any]:
    """Returns how a download's source is asked."""
    return _LOOKUPS[type(spec.source)]


def _is_fixed(spec: FetchSpec) -> bool:
    return lookup(spec).is_fixed(spec.source)


def _bytes_there(target: Path) -> int:
    for path in (target, target.with_name(target.name + PARTIAL)):
        if is_file(path):
            return path.lstat().st_size
    return 0


def _version(model: Model) -> str:
    name = model.files[0].origin
    return f"{name} of commit {model.revision[:12]}" if model.revision else name


def _done(model: Model, progress: ProgressLog, warning: str = "") -> Fetched:
    progress.update(
        state="done",
        received=model.size,
        total_bytes=model.size,
        revision=model.revision,
        reason="",
        message=warning,
        file=model.files[-1].origin,
    )
    return Fetched(model, warning)
