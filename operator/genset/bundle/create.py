"""A bundle is made in place: each file is downloaded beside it, verified, appended, and removed again.

So the disk holds the bundle and one file more. A run that is ended, by whatever, leaves `NAME.partial` and `NAME.work`; the same
command goes on from there, within the file that was cut, too. Only what has been read back from the disk and verified gets the
name that was asked for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

import genset
from genset.api.modeldeployment import Reason
from genset.bundle import archive, bill, layout, verify
from genset.bundle.archive import ArchiveWriter
from genset.bundle.errors import BundleError
from genset.bundle.gather import FILES_LOGIN, BundlePlan, File, Means, PartFiles, image_of, origin_of
from genset.bundle.verify import Opened
from genset.contracts.bundle import BILL, Artifact, Blob, BundledModel, Contents
from genset.contracts.shards import Shard
from genset.contracts.sources import Oci
from genset.weights.failure import WeightsFailure, size_text
from genset.weights.progress import ProgressLog
from genset.weights.reader import Reader
from genset.weights.volume import write_synced

_log = logging.getLogger(__name__)
_RESERVE = 64 << 20  # bytes that stay free on the disk
_NOTES = "known.json"
MODELS = "genset-models"  # repository below which models lie that no registry had before
RAW = "application/vnd.cncf.model.weight.v1.raw"
_MODEL_TYPE, _MODEL_CONFIG = "application/vnd.cncf.model.manifest.v1+json", "application/vnd.cncf.model.config.v1+json"
_CHART_TYPE, _CHART_LAYER = (
    "application/vnd.cncf.helm.config.v1+json",
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
)


@dataclass(frozen=True)
class Chart:
    """A chart is a package as Helm makes it, and what its Chart.yaml says."""

    package: bytes
    name: str
    version: str
    metadata: Mapping[str, object]


class Disk:
    """The disk that a bundle is written to has to have room."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def free(self) -> int:
        return shutil.disk_usage(self._folder).free

    def require(self, needed: int, *, what: str) -> None:
        if self.free < needed + _RESERVE:
            raise BundleError(
                f"{self._folder} has {size_text(self.free)} free, and {what} needs {size_text(needed)} more, and a little "
                "room beside it"
            )

    def bound(self, size: int, *, what: str, at_least: bool = False) -> None:
        """Lets files be as large as they are."""


def create(
    plan: BundlePlan,
    out: Path,
    files: Mapping[str, bytes],
    chart: Chart | None,
    means: Means,
    client: httpx.Client,
    progress: ProgressLog,
    now: datetime,
) -> Opened:
    """Makes the bundle `out`. `files` are the artifact's own, by name. Raises BundleError."""
    partial, work = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.work")
    with _disk_errors(out), ArchiveWriter(partial) as writer:
        work.mkdir(exist_ok=True)
        disk = Disk(out.parent)
        making = _Making(
            writer, work, plan, disk, Reader(client, disk, progress, means.retry, login=FILES_LOGIN), progress
        )
        making.fetch()
        own = making.finish(files, chart, now)
    reading = ProgressLog(time.monotonic)
    reading.update(state="verifying")
    try:
        opened = verify.verify(
            partial, lambda done, total: reading.update(received=done, total_bytes=total, file=out.name)
        )
        if opened.own.digest != own:
            raise BundleError(f"{partial}: it is not what was written")
    except BundleError:
        partial.unlink(missing_ok=True)  # nothing of it can be believed
        raise
    with _disk_errors(out):
        partial.replace(out)
        _sync(out.parent)
        shutil.rmtree(work, ignore_errors=True)
    return Opened(out, opened.table, opened.own, opened.files, opened.members, opened.sha256)


class _Making:
    """This is one run that makes a bundle."""

    def __init__(
        self, writer: ArchiveWriter, work: Path, plan: BundlePlan, disk: Disk, reader: Reader, progress: ProgressLog
    ) -> None:
        self._writer = writer
        self._disk = disk
        self._work = work
        self._plan = plan
        self._reader = reader
        self._progress = progress
        self._known = _read_notes(work / _NOTES)  # file's key -> digest, of files whose source says no SHA-256

    def fetch(self) -> None:
        """Brings every file that is not in the archive yet."""
        done = 0
        missing = [
            one.remote.size or 0
            for one in self._plan.files()
            if not self._writer.has(one.digest or self._known.get(one.key, ""))
        ]
        self._disk.require(sum(missing) + max(missing, default=0), what="what is missing of the bundle")
        self._progress.update(total_bytes=self._plan.size, state="downloading")
        for file in self._plan.files():
            digest = file.digest or self._known.get(file.key, "")
            if not digest or not self._writer.has(digest):
                self._bring(file, done)
            done += file.remote.size or self._size(file)
            self._progress.update(received=done)

    def finish(self, files: Mapping[str, bytes], chart: Chart | None, now: datetime) -> str:
        """Adds manifests, the table and the index. Returns the bundle's digest."""
        plan, add = self._plan, self._writer.add
        for copied in [one for _, one in plan.images] + [one.copied for one in plan.parts if one.copied]:
            for manifest in copied.manifests:
                add(manifest)
        table = Contents(
            created=now.astimezone().isoformat(timespec="seconds"),
            genset=genset.__version__,
            platforms=plan.platforms,
            images=tuple(image_of(asked, copied) for asked, copied in plan.images),
            models=tuple(self._model(one) for one in plan.parts),
            chart=self._chart(chart) if chart else None,
            roles=dict(plan.wanted.roles),
        )
        named = {**files, BILL: bill.written(table, [self._hashed(one) for one in plan.parts])}
        blobs = {name: layout.blob_of("application/octet-stream", data) for name, data in named.items()}
        for data in named.values():
            add(data)
        table_bytes, manifest = layout.contents(table, blobs)
        add(table_bytes)
        own = layout.blob_of(layout.MANIFEST, manifest)
        add(manifest)
        self._writer.drop_all_but(self._reached(table, own))
        self._writer.close_with(layout.index(table, own))
        return own.digest

    def _bring(self, file: File, done: int) -> None:
        target = self._work / hashlib.sha256(file.key.encode()).hexdigest()
        if not target.exists():
            try:
                self._reader.fetch(file.remote, target, before=done, check=lambda _: None)
            except WeightsFailure as failure:
                if failure.reason is Reason.DISK_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from failure
                raise BundleError(f"{file.remote.name}: {failure.message}") from failure
        digest = file.digest or digest_of(target)
        try:
            self._writer.add_file(target, digest)
        except BundleError:
            target.unlink()  # or every further run would meet the same file
            raise
        if not file.digest:
            self._known[file.key] = digest
            write_synced(self._work / _NOTES, json.dumps(self._known).encode())
        target.unlink()

    def _digest_of(self, file: File) -> str:
        return file.digest or self._known[file.key]

    def _size(self, file: File) -> int:
        return self._writer.there[archive.name_of(self._digest_of(file))].size

    def _model(self, one: PartFiles) -> BundledModel:
        """Returns the table's line for a part of a model; what is no artifact yet is made one."""
        part, source = one.part, one.part.spec.source
        root, name, path = self._packed(one) if one.copied is None else (one.copied.root, one.copied.name, "")
        if isinstance(source, Oci):
            path = source.path
        return BundledModel(
            name=name, root=root, namespace=part.namespace, deployment=part.deployment, field=part.field,
            origin=origin_of(source), path=path,
            in_place=one.copied is not None,
        )  # fmt: skip

    def _packed(self, one: PartFiles) -> tuple[Blob, str, str]:
        """Makes an artifact of files. Returns its root, its name and the path by which the engine's model is found in it."""
        layers = []
        for file in one.files:
            blob = Blob(media_type=RAW, digest=self._digest_of(file), size=self._size(file))
            layers.append(layout.titled(blob, file.title))
        config = b"{}"
        self._writer.add(config)
        manifest = layout.manifest(_MODEL_TYPE, layout.blob_of(_MODEL_CONFIG, config), layers)
        self._writer.add(manifest)
        root = layout.blob_of(layout.MANIFEST, manifest)
        part = one.part
        what = part.field.removeprefix("spec.").removesuffix(".source").strip("[]").replace("[", "-").lower()
        name = f"{MODELS}/{part.namespace}/{part.deployment}{'' if what == 'source' else f'/{what}'}"
        return root, f"genset.invalid/{name}:{root.digest[7:19]}", "" if part.spec.whole_folder else _one_of(one.files)

    def _chart(self, chart: Chart) -> Artifact:
        config = layout.written(dict(chart.metadata))
        self._writer.add(config)
        self._writer.add(chart.package)
        layer = layout.descriptor(layout.blob_of(_CHART_LAYER, chart.package))
        manifest = layout.written(
            {
                "schemaVersion": 2,
                "mediaType": layout.MANIFEST,
                "config": layout.descriptor(layout.blob_of(_CHART_TYPE, config)),
                "layers": [layer],
            }
        )
        self._writer.add(manifest)
        tag = chart.version.replace("+", "_")  # as Helm does: a tag holds no +
        return Artifact(
            name=f"genset.invalid/charts/{chart.name}:{tag}", root=layout.blob_of(layout.MANIFEST, manifest)
        )

    def _hashed(self, one: PartFiles) -> tuple[PartFiles, list[str]]:
        files = one.copied.files if one.copied else one.files
        return one, [self._digest_of(file) for file in files]

    def _reached(self, table: Contents, own: Blob) -> set[str]:
        there = {member.digest: member for member in self._writer.there.values() if member.digest}
        return verify.walk(there, [own, *(one.root for one in table.artifacts)], self._writer.read)


def _one_of(files: tuple[File, ...]) -> str:
    """Returns the glob that finds the one model: a split one is asked for by its number."""
    shard = Shard.of(files[0].title)
    return files[0].title if shard.count == 1 else f"{shard.stem}-*-of-{shard.count:05d}.gguf"


def digest_of(path: Path) -> str:
    """Returns the digest of a file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _read_notes(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return {str(key): str(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{out.name} could not be written: {error.strerror or error}. What is whole stays in "
            f"{out.name}.partial: make room, and give the same command again"
        ) from error
