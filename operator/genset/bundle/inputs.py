"""A bundle is made of files that people have: resources, the chart's values, and the chart, as a folder or a package."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genset.api.crd import definitions
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.bundle.create import Chart
from genset.bundle.errors import BundleError
from genset.router.errors import ConfigRejected
from genset.standalone import KINDS, Documents, add, read_documents

_CHART_BYTES = 16 << 20


@dataclass(frozen=True)
class Given:
    """These are resources as files give them: genset's own by namespace, and all documents but Secrets as they are."""

    namespaces: dict[str, Documents]
    documents: list[dict[str, Any]]
    secrets: int  # that were left out

    def resources(self) -> list[tuple[list[ModelDeployment], list[RoutePolicy]]]:
        """Returns the ModelDeployments and RoutePolicies of each namespace."""
        return [
            ([one for _, one in found.deployments.values()], [one for _, one in found.policies.values()])
            for found in self.namespaces.values()
        ]


def resources(paths: Sequence[Path]) -> Given:
    """Reads resource files, or the files of folders. Raises BundleError, which names file, object, field and remedy.

    Resources of other kinds, a Namespace or a ConfigMap, go along as they are.
    """
    found: dict[str, Documents] = {}
    raw: list[dict[str, Any]] = []
    secrets = 0
    for path in paths:
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        for file in files:
            try:
                for place, document in read_documents(file):
                    if document.get("kind") == "Secret":
                        secrets += 1
                        continue
                    if document.get("kind") in KINDS:
                        namespace = str((document.get("metadata") or {}).get("namespace") or "default")
                        add(found.setdefault(namespace, Documents()), file, place, document)
                    raw.append(document)
            except ConfigRejected as problem:
                raise BundleError(str(problem)) from problem
    if not found:
        raise BundleError("no file holds a RoutePolicy or a ModelDeployment: there is nothing to put into a bundle")
    return Given(found, raw, secrets)


def values(path: Path | None) -> dict[str, Any]:
    """Reads the chart's values."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} can't be read as YAML: {' '.join(str(error).split())[:300]}") from error
    if found is not None and not isinstance(found, dict):
        raise BundleError(f"{path} holds no values of a chart, which are a map")
    return found or {}


def chart(path: Path) -> Chart:
    """Reads a chart: a package as it is, and a folder as Helm would pack it. The same folder gives the same bytes."""
    try:
        package = _packed(path) if path.is_dir() else path.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as opened:
            inner = next((one for one in opened if re.fullmatch(r"[^/]+/Chart\.yaml", one.name)), None)
            stream = opened.extractfile(inner) if inner is not None else None
            if stream is None:
                raise BundleError(f"{path} is no chart: it has no Chart.yaml")
            metadata = yaml.safe_load(stream.read(_CHART_BYTES))
    except (OSError, tarfile.TarError, yaml.YAMLError, EOFError) as error:
        raise BundleError(f"{path} is no chart: {error}") from error
    if not isinstance(metadata, dict) or not {"name", "version"} <= metadata.keys():
        raise BundleError(f"{path} is no chart: Chart.yaml has no name or no version")
    return Chart(package, str(metadata["name"]), str(metadata["version"]), metadata)


def _packed(folder: Path) -> bytes:
    out = io.BytesIO()
    name = folder.resolve().name
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as made,
    ):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda one: (one.name != "Chart.yaml", one)):  # helm looks there first
            info = tarfile.TarInfo(f"{name}/{path.relative_to(folder).as_posix()}")
            data = path.read_bytes()
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def written(documents: Sequence[dict[str, Any]]) -> bytes:
    """Returns resources as YAML."""
    return yaml.safe_dump_all(documents, sort_keys=False).encode()


def crds() -> bytes:
    """Returns the CustomResourceDefinitions as YAML, for whoever installs them without the chart."""
    return yaml.safe_dump_all(list(definitions().values()), sort_keys=False).encode()
