"""A bundle is verified as a whole, and then unpacked: into a registry, or into one node's containerd and a folder of its disk.

What comes of it are two files: values for the chart, and the resources, both with images by digest and sources that lie
inside the site.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import yaml

from genset.bundle import archive, containerd, layout, site
from genset.bundle.create import digest_of
from genset.bundle.errors import BundleError
from genset.bundle.gather import Means
from genset.bundle.push import Pusher
from genset.bundle.verify import Opened
from genset.contracts.bundle import RESOURCES, BundledModel
from genset.weights.failure import size_text
from genset.weights.progress import ProgressLog

_SHARE = 0o644


@dataclass(frozen=True)
class Unpacked:
    """This is what a site needs now: values of the chart, resources, and the chart's own name if it lies in a registry."""

    values: dict[str, Any]
    resources: list[dict[str, Any]]
    chart: str = ""


def to_registry(opened: Opened, target: str, means: Means, client: httpx.Client, progress: ProgressLog) -> Unpacked:
    """Pushes everything. Raises BundleError."""
    progress.update(state="downloading", received=0, total_bytes=sum(one.size for one in opened.members.values()))
    plain = target.partition("/")[0] in means.plain
    pusher = Pusher(opened, target, means, client, progress)
    try:
        images = {one.asked: pusher.push(one).name for one in opened.table.images}
        sources = {_key(one): site.pulled(one, pusher.push(one).name, plain=plain) for one in opened.table.models}
        chart = pusher.push(opened.table.chart) if opened.table.chart else None
    finally:
        pusher.close()
    name = f"oci://{chart.name.partition('@')[0]}:{chart.tag}" if chart else ""
    return _loaded(opened, images, sources, name)


def to_node(opened: Opened, address: str, namespace: str, weights: Path | None, progress: ProgressLog) -> Unpacked:
    """Imports images into containerd, and lays models into a folder of this node. Raises BundleError."""
    if opened.table.models and weights is None:
        raise BundleError("there are models in it: give a folder of this node for them (--weights DIR)")
    containerd.load(opened, address, namespace, progress)
    sources = {}
    if weights is not None:
        for one in opened.table.models:
            sources[_key(one)] = {"hostPath": {"path": str(_lay(opened, one, weights))}}
    images = {one.asked: layout.image_names(one)[-1] for one in opened.table.images}
    loaded = _loaded(opened, images, sources, "")
    return Unpacked({**loaded.values, **({"allowHostPath": True} if sources else {})}, loaded.resources)


def _loaded(opened: Opened, images: dict[str, str], sources: dict[Any, Any], chart: str) -> Unpacked:
    resources = list(yaml.safe_load_all(opened.read(opened.files[RESOURCES].digest)))
    return Unpacked(
        site.values_of(opened.table, images, opened.own.digest),
        site.resources_of(resources, images, sources),
        chart,
    )


def _key(model: BundledModel) -> tuple[str, str, str]:
    return model.namespace, model.deployment, model.field


def _lay(opened: Opened, model: BundledModel, folder: Path) -> Path:
    """Writes a model's files, each whole or not at all. Returns the path for source.hostPath."""
    document = json.loads(opened.read(model.root.digest))
    named = [
        ((one.get("annotations") or {}).get(layout.TITLE, ""), one["digest"]) for one in document.get("layers", ())
    ]
    titles = {title: digest for title, digest in named if title}
    if not titles:
        raise BundleError(f"{model.name} has no files that hostPath could name: load it into a registry (--registry)")
    place = folder / model.root.digest.removeprefix("sha256:")[:16]
    for title, digest in titles.items():
        target = place / title
        if not target.resolve().is_relative_to(place.resolve()):
            raise BundleError(f"{model.name} has a file {title!r}, which leads out of its folder")
        if not target.is_file() or digest_of(target) != digest:
            _copy(opened, digest, target)
    models = sorted(one for one in titles if one.endswith(".gguf") and fnmatch(one, model.path or "*"))
    return place / models[0] if models else (place / model.path if model.path else place)


def _copy(opened: Opened, digest: str, target: Path) -> None:
    fresh = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.path.open("rb") as stream, fresh.open("wb") as out:
            for piece in archive.content(stream, opened.members[digest]):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        fresh.chmod(_SHARE)
        fresh.replace(target)
    except OSError as error:
        raise BundleError(
            f"{target} could not be written ({size_text(opened.members[digest].size)}): {error.strerror or error}"
        ) from error


def write(opened: Opened, loaded: Unpacked, folder: Path) -> tuple[Path, Path, Path | None]:
    """Writes values, resources and the chart's package into a folder, beside the bundle's own files. Returns the first three.

    The resources as they were before stay in the bundle: nobody should apply them here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values, resources = folder / "values.yaml", folder / RESOURCES
    values.write_text(yaml.safe_dump(loaded.values, sort_keys=False))
    resources.write_text(yaml.safe_dump_all(loaded.resources, sort_keys=False))
    for name, blob in opened.files.items():
        if name != RESOURCES:
            (folder / name).write_bytes(opened.read(blob.digest))
    chart = opened.table.chart
    if chart is None:
        return values, resources, None
    package = folder / f"{chart.name.rpartition('/')[2].replace(':', '-')}.tgz"
    package.write_bytes(opened.read(json.loads(opened.read(chart.root.digest))["layers"][0]["digest"]))
    return values, resources, package
