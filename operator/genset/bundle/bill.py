"""The bill of a bundle says what is in it, as CycloneDX 1.6: images, models with the hashes of their files, and the chart. Pure.

What is inside an image stands in that image's own list. The same contents give the same bytes: no time, and a serial number
that is made of the content.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from genset.bundle import reference
from genset.bundle.gather import PartFiles, origin_of
from genset.contracts.bundle import Artifact, Contents

_SERIALS = uuid.UUID("6f2b7f0e-6d6b-5c1e-9a60-0f5f3a1d7c11")  # as that of the image's own list
Component = dict[str, Any]


def written(table: Contents, parts: Sequence[tuple[PartFiles, list[str]]]) -> bytes:
    """Returns the document. `parts` have the digests of their files."""
    components = [_container(one) for one in table.images]
    components += [_model(model.name, one, digests) for model, (one, digests) in zip(table.models, parts, strict=True)]
    if table.chart:
        components.append({**_container(table.chart), "type": "application"})
    document: Component = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "bundle", "name": "genset bundle", "version": table.genset}
        },
        "components": components,
    }
    serial = uuid.uuid5(_SERIALS, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{serial}"}, indent=1, sort_keys=True).encode()


def _container(one: Artifact) -> Component:
    repository = reference.repository_of(one.name)
    registry = one.name.partition("/")[0]
    purl = (
        f"pkg:oci/{repository.rpartition('/')[2]}@{quote(one.root.digest, safe='')}"
        f"?repository_url={quote(f'{registry}/{repository}', safe='/')}"
    )
    return {
        "type": "container",
        "bom-ref": one.name,
        "name": one.name,
        "version": one.root.digest,
        "purl": purl,
        "hashes": [_hash(one.root.digest)],
    }


def _model(name: str, one: PartFiles, digests: Sequence[str]) -> Component:
    files = one.copied.files if one.copied else one.files
    inner = [
        {
            "type": "file",
            "bom-ref": f"{name}#{number}",
            "name": file.title or file.remote.name,
            "hashes": [_hash(digest)],
        }
        for number, (file, digest) in enumerate(zip(files, digests, strict=True))
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"{name}#{one.part.field}",
        "name": f"{one.part.namespace}/{one.part.deployment} {one.part.field}",
        "description": origin_of(one.part.spec.source),
        "components": inner,
    }


def _hash(digest: str) -> Component:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}
