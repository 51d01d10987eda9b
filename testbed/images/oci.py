"""OCI image archives from folders: one layer, the same bytes for the same files.

Format: OCI image-spec 1.1 (image layout, manifest, config) in one tar file, as `ctr image import`, `docker load` and
buildah read it.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SKIPPED_CONTENT = frozenset({"dev", "proc", "sys", "run", "tmp"})  # a container gets its own
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs, and as whom."""

    entrypoint: Sequence[str]
    user: str = "65532:65532"
    env: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    labels: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "Entrypoint": list(self.entrypoint),
            "User": self.user,
            "Env": list(self.env),
            "WorkingDir": "/",
            "Labels": self.labels,
        }


def write_archive(out: Path, reference: str, rootfs: Path, config: ImageConfig, machine: str) -> None:
    """Write the image `reference` (with its tag) holding the folder's files. `machine` is the kernel's name, e.g.
    `x86_64`.
    """
    layer_file = out.with_suffix(".layer")
    try:
        with (
            layer_file.open("wb") as handle,
            tarfile.open(fileobj=handle, mode="w", format=tarfile.PAX_FORMAT) as layer,
        ):
            for path in _sorted_files(rootfs):
                _add_file(layer, rootfs, path)
        layer_digest = _file_digest(layer_file)
        image = {
            "created": EPOCH,
            "architecture": ARCHITECTURES[machine],
            "os": "linux",
            "config": config.as_json(),
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            # One entry per layer, or buildah refuses to build on it.
            "history": [{"created": EPOCH, "created_by": "testbed.images"}],
        }
        config_bytes = _json(image)
        layer_descriptor = {"mediaType": LAYER, "digest": layer_digest, "size": layer_file.stat().st_size}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": _digest(config_bytes), "size": len(config_bytes)},
            "layers": [layer_descriptor],
        }
        manifest_bytes = _json(manifest)
        descriptor = {
            "mediaType": MANIFEST,
            "digest": _digest(manifest_bytes),
            "size": len(manifest_bytes),
            # containerd reads the first; docker and buildah the second.
            "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference},
        }
        index_bytes = _json({"schemaVersion": 2, "manifests": [descriptor]})
        with tarfile.open(out, "w") as archive:
            _add_bytes(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add_bytes(archive, "index.json", index_bytes)
            for content in (manifest_bytes, config_bytes):
                _add_bytes(archive, _blob(_digest(content)), content)
            member = tarfile.TarInfo(_blob(layer_digest))
            member.size = layer_file.stat().st_size
            with layer_file.open("rb") as source:
                archive.addfile(member, source)
    finally:
        layer_file.unlink(missing_ok=True)


def _sorted_files(rootfs: Path) -> Iterable[Path]:
    pending = sorted(rootfs.iterdir(), reverse=True)
    while pending:
        path = pending.pop()
        yield path
        skipped = path.parent == rootfs and path.name in SKIPPED_CONTENT
        if path.is_dir() and not path.is_symlink() and not skipped:
            pending.extend(sorted(path.iterdir(), reverse=True))


def _add_file(layer: tarfile.TarFile, rootfs: Path, path: Path) -> None:
    member = layer.gettarinfo(path, arcname=path.relative_to(rootfs).as_posix())
    if member is None:  # a socket
        return
    member.mtime = 0
    member.uname = member.gname = ""
    if member.isreg():
        with path.open("rb") as source:
            layer.addfile(member, source)
    else:
        layer.addfile(member)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
