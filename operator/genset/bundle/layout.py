"""The layout is what OCI sees in a bundle: manifests, the artifact that holds the table of contents, and the index. Pure.

The index follows from the table: whoever changes it has to change the table, and with it the digest of the bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from genset.bundle.errors import BundleError
from genset.contracts.bundle import ARTIFACT_TYPE, FORMAT, TABLE_TYPE, Blob, Contents, Image
from genset.weights.registry import DIGEST, INDEXES

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
TITLE = "org.opencontainers.image.title"
REFERENCE = "org.opencontainers.image.ref.name"
CONTAINERD = "io.containerd.image.name"
Document = dict[str, Any]


def written(document: Mapping[str, Any]) -> bytes:
    """Writes a document in its one form."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def blob_of(media_type: str, data: bytes) -> Blob:
    return Blob(media_type=media_type, digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))


def descriptor(blob: Blob, **annotations: str) -> Document:
    made: Document = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    return {**made, "annotations": annotations} if annotations else made


def titled(blob: Blob, title: str) -> Document:
    """Returns the descriptor of a layer that is a file with a name."""
    return descriptor(blob, **{TITLE: title})


def manifest(artifact_type: str, config: Blob, layers: list[Document]) -> bytes:
    """Returns the manifest of an artifact."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(config),
        "layers": layers,
    }
    return written(document)


def contents(table: Contents, files: Mapping[str, Blob]) -> tuple[bytes, bytes]:
    """Returns the written table, and the manifest of the artifact that holds it with further files."""
    data = table.written()
    layers = [titled(blob, name) for name, blob in sorted(files.items())]
    return data, manifest(ARTIFACT_TYPE, blob_of(TABLE_TYPE, data), layers)


def index(table: Contents, own: Blob) -> bytes:
    """Returns the index: first the bundle's own artifact, then whatever has a name. An image has each of its names."""
    entries = [descriptor(own, **{REFERENCE: ARTIFACT_TYPE})]
    for one in table.artifacts:
        names = image_names(one) if isinstance(one, Image) else [one.name]
        for name in names:
            known = {CONTAINERD: name} if isinstance(one, Image) else {}
            entries.append(descriptor(one.root, **known, **{REFERENCE: name}))
    return written({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})


def image_names(image: Image) -> list[str]:
    """Returns the names by which a kubelet asks its runtime for an image: with tag, with digest, and with both if pods say so."""
    repository, _, _ = image.name.partition("@")
    tagged = ":" in repository.rpartition("/")[2]
    bare = repository.rpartition(":")[0] if tagged else repository
    digest = f"{bare}@{image.root.digest}"
    return list(dict.fromkeys([repository, digest] if tagged else [digest]))


def table_of(index_bytes: bytes, read: Callable[[str], bytes]) -> tuple[Contents, Blob, Mapping[str, Blob]]:
    """Returns the table of contents, the bundle's own artifact, and its files by name. `read` gives a blob by its digest.

    Raises BundleError if the index is not the one that follows from the table.
    """
    try:
        found = json.loads(index_bytes)["manifests"][0]
        own = Blob(media_type=found["mediaType"], digest=found["digest"], size=found["size"])
        inner = json.loads(read(own.digest))
        if inner["config"]["mediaType"] != TABLE_TYPE:
            raise BundleError("it is an image layout that genset has not made")
        table = Contents.model_validate_json(read(inner["config"]["digest"]))
        files = {layer["annotations"][TITLE]: Blob.model_validate(layer) for layer in inner["layers"]}
    except (ValueError, KeyError, TypeError, IndexError, ValidationError, RecursionError) as error:
        raise BundleError(f"its table of contents can't be read ({type(error).__name__})") from error
    if table.format > FORMAT:
        raise BundleError(
            f"a later genset, {table.genset}, made it (format {table.format}): read it with one of that release"
        )
    if index(table, own) != index_bytes:
        raise BundleError("index.json was changed: it is not what follows from the table of contents")
    return table, own, files


def references(data: bytes, media_type: str) -> Iterator[tuple[Blob, bool]]:
    """Yields the blobs that a manifest or an index names, each with whether it may be missing: one of another platform may.

    Raises BundleError for a manifest that can't be read.
    """
    try:
        document = json.loads(data)
        is_index = media_type in INDEXES or isinstance(document.get("manifests"), list)
        inner = document["manifests"] if is_index else [document["config"], *document["layers"]]
        for one in inner:
            if not DIGEST.match(one["digest"]):
                raise BundleError(f"{one['digest'][:100]!r} is no SHA-256 digest")
            yield Blob(media_type=one["mediaType"], digest=one["digest"], size=one["size"]), is_index
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"a manifest can't be read ({type(error).__name__})") from error
