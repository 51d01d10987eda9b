"""Source `oci` is an artifact or image of a registry: its manifest names layers, and these are files or archives of files.

Taken are ModelPack (CNCF), what oras and KitOps push, models of Ollama's and Docker's own kinds, and plain images. A layer
that is a file is downloaded like any other file; one that is an archive is unpacked afterwards. Every byte is held against
the digest that the manifest says, and the manifest against the one in the reference, if there is one.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Oci
from genset.weights.choice import MOST_FILES, Listed, Wish, one_model, stays_inside
from genset.weights.client import make_client
from genset.weights.failure import WeightsFailure
from genset.weights.guard import guard_of
from genset.weights.origin import Checksum, Lookup, RemoteFile, Resolved
from genset.weights.own_names import ARCHIVE, is_own
from genset.weights.registry import DIGEST, INDEXES, LOGIN, Manifest, Registry

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_ARCHIVES = {
    "tar": "tar", "tar+gzip": "tar+gzip", "tar.gzip": "tar+gzip", "tar+zstd": "tar+zstd", "tar.zstd": "tar+zstd",
}  # fmt: skip
_TITLES = ("org.cncf.model.filepath", "org.opencontainers.image.title")  # annotations of a layer with its path
#: Media types of layers that are one GGUF file and have no title: Ollama's library, Docker Model Runner.
_GGUF_TYPES = ("application/vnd.ollama.image.model", "application/vnd.docker.ai.gguf.v3")
_PROJECTOR_TYPES = ("application/vnd.ollama.image.projector", "application/vnd.docker.ai.mmproj")
#: What a ModelPack has beside its weights and their configuration.
_BESIDE = tuple(f"application/vnd.cncf.model.{kind}." for kind in ("doc", "code", "dataset"))
_MOST_LAYERS = MOST_FILES
_SHOWN = 10


@dataclass(frozen=True)
class _Layer(Listed):
    """This is one layer that may be wanted; `archive` is its form if it is one."""

    digest: str = ""
    archive: str = ""


def resolve(source: Oci, spec: FetchSpec) -> Resolved:
    """Asks the registry. Raises WeightsFailure, or Transient for what may pass."""
    client = make_client(spec.ca_file, guard_of(spec))  # stays open: tokens are renewed while layers come
    registry = Registry(source, client, spec.credentials_file)
    manifest = registry.manifest(source.version)
    revision = manifest.digest
    if manifest.media_type in INDEXES or isinstance(manifest.document.get("manifests"), list):
        manifest = registry.manifest(_of_platform(manifest, source))
    layers = list(_layers(manifest.document, source.reference))
    files = _whole(layers, source) if spec.whole_folder else _one_model(layers, source)
    return Resolved(tuple(_remote(file, source, registry, spec) for file in files), revision)


def _one_model(layers: list[_Layer], source: Oci) -> list[_Layer]:
    """Returns the layers that are the one model's files; the archives, if no layer is a GGUF file."""
    if any(layer.name.endswith(".gguf") for layer in layers if not layer.archive):
        wish = Wish(source.reference, "source.oci.path", source.path or "*.gguf")
        return one_model(wish, [layer for layer in layers if not layer.archive])
    archives = [layer for layer in layers if layer.archive]
    if not archives:
        raise _nothing(layers, source)
    return archives


def _whole(layers: list[_Layer], source: Oci) -> list[_Layer]:
    root = source.path.strip("/")
    before = f"{root}/" if root else ""
    files = []
    for layer in layers:
        if layer.archive:
            files.append(layer)
        elif layer.name.startswith(before):
            files.append(_Layer(layer.name.removeprefix(before), layer.size, layer.digest))
    if not files:
        raise _nothing(layers, source)
    return files


def _nothing(layers: list[_Layer], source: Oci) -> WeightsFailure:
    names = ", ".join(layer.name for layer in layers[:_SHOWN])
    return WeightsFailure(
        Reason.SOURCE_NOT_FOUND,
        f"{source.reference} has no layer that is a file of a model{f' in {source.path}' if source.path else ''} or an archive; "
        f"it has: {names or 'none'}",
    )


def _layers(manifest: Mapping[str, Any], shown: str) -> Iterator[_Layer]:
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise WeightsFailure(
            Reason.SOURCE_UNREACHABLE,
            f"{shown} has no manifest with layers that genset can read; check source.oci.reference",
        )
    seen: set[str] = set()
    for number, layer in enumerate(layers):
        digest, size, media_type = _descriptor(layer, shown)
        annotations = layer.get("annotations")
        named = [annotations.get(title) for title in _TITLES] if isinstance(annotations, dict) else []
        if media_type.startswith(_BESIDE):
            continue
        archive = next((form for end, form in _ARCHIVES.items() if media_type.endswith(f".{end}")), "")
        if archive:
            yield _Layer(f"layer-{number}{ARCHIVE}", size, digest, archive)
            continue
        name = next((name for name in named if isinstance(name, str) and name), "") or _untitled(media_type, number)
        if not name:
            continue  # a licence, a template, parameters: what no engine reads as a file
        if not stays_inside(name) or is_own(name) or name in seen:
            raise WeightsFailure(
                Reason.UNSAFE_ARCHIVE,
                f"{shown} has a layer called {name[:200]!r}, which leads out of its folder or is there twice",
            )
        seen.add(name)
        yield _Layer(name, size, digest)


def _untitled(media_type: str, number: int) -> str:
    if media_type in _GGUF_TYPES:
        return f"layer-{number}.gguf"
    return f"mmproj-{number}.gguf" if media_type in _PROJECTOR_TYPES else ""


def _descriptor(layer: Any, shown: str) -> tuple[str, int, str]:
    """Returns digest, size and media type of a descriptor."""
    if isinstance(layer, dict):
        digest, size, media_type = layer.get("digest"), layer.get("size"), layer.get("mediaType")
        sized = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        if isinstance(digest, str) and DIGEST.match(digest) and sized and isinstance(media_type, str):
            return digest, int(str(size)), media_type
    raise WeightsFailure(
        Reason.SOURCE_UNREACHABLE,
        f"{shown} has a layer without a SHA-256 digest, a size or a media type, so it could not be verified; push it anew",
    )


def _of_platform(index: Manifest, source: Oci) -> str:
    """Returns the digest of the manifest for this machine, or of the only one there is."""
    found: list[tuple[str, str]] = []
    for entry in index.document.get("manifests") or ():
        if isinstance(entry, dict) and isinstance(entry.get("digest"), str) and DIGEST.match(entry["digest"]):
            named = entry.get("platform")
            one = named if isinstance(named, dict) else {}
            found.append((f"{one.get('os', 'linux')}/{one.get('architecture', 'any')}", entry["digest"]))
    wanted = f"linux/{ARCHITECTURES.get(platform.machine(), platform.machine())}"
    real = [(name, digest) for name, digest in found if not name.startswith("unknown/")]  # attestations
    chosen = [digest for name, digest in real if name == wanted] or ([real[0][1]] if len(real) == 1 else [])
    if not chosen:
        names = ", ".join(sorted({name for name, _ in real})) or "nothing"
        raise WeightsFailure(
            Reason.SOURCE_NOT_FOUND,
            f"{source.reference} has nothing for {wanted}; it has: {names} (source.oci.reference)",
        )
    return chosen[0]


def _remote(layer: _Layer, source: Oci, registry: Registry, spec: FetchSpec) -> RemoteFile:
    return RemoteFile(
        url=f"{source.server}/v2/{source.repository}/blobs/{layer.digest}",
        name=layer.name if not layer.archive else f"{source.reference} {layer.name.removesuffix(ARCHIVE)}",
        checksum=Checksum("sha256", layer.digest.partition(":")[2]),
        size=layer.size,
        pinned=True,
        path=layer.name if layer.archive or spec.whole_folder else "",
        archive=layer.archive,
        renewed=lambda: registry.blob(layer.digest),
    )


LOOKUP = Lookup(Oci, LOGIN, resolve, lambda source: bool(source.digest))
