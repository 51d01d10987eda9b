"""At the site everything has another place: the chart's values and the resources are written anew for it. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from genset.bundle.wanted import OWN
from genset.contracts.bundle import BundledModel, Contents

_ADAPTER = re.compile(r"spec\.adapters\[(.+)\]\.source")


def values_of(table: Contents, images: Mapping[str, str], digest: str) -> dict[str, Any]:
    """Returns the chart's values for a site whose images lie elsewhere. `images`: as pods named them -> where they are now."""
    values: dict[str, Any] = {"bundle": {"digest": digest, "created": table.created}}
    for role, image in table.roles.items():
        now = images[image]
        if role == OWN:
            repository, _, pinned = now.partition("@")
            tag = repository.rpartition("/")[2].partition(":")[2]
            bare = repository.removesuffix(f":{tag}") if tag else repository
            values["image"] = {"repository": bare, "tag": tag, "digest": pinned}
            continue
        engine, _, vendor = role.rpartition("/")
        values.setdefault("engines", {}).setdefault(engine, {}).setdefault("images", {})[vendor] = now
    own = set(table.roles.values())
    others = sorted({now for asked, now in images.items() if asked not in own})
    if others:
        values["allowedImages"] = others
    return values


def resources_of(
    resources: Sequence[Mapping[str, Any]],
    images: Mapping[str, str],
    sources: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Returns the resources with each image and source where it lies now. `sources`: (namespace, deployment, field) -> source."""
    made = []
    for given in resources:
        one: dict[str, Any] = _renamed(copy.deepcopy(dict(given)), images)
        metadata = one.get("metadata") or {}
        for (namespace, name, field), source in sources.items():
            if one.get("kind") == "ModelDeployment" and (
                metadata.get("namespace") or "default",
                metadata.get("name"),
            ) == (namespace, name):
                _set_source(one["spec"], field, source)
        made.append(one)
    return made


def pulled(model: BundledModel, reference: str, *, plain: bool) -> dict[str, Any]:
    """Returns the source of a model that lies in a registry."""
    block: dict[str, Any] = {"reference": reference}
    if model.path:
        block["path"] = model.path
    if plain:
        block["plainHTTP"] = True
    return {"oci": block}


def _set_source(spec: dict[str, Any], field: str, source: Mapping[str, Any]) -> None:
    adapter = _ADAPTER.fullmatch(field)
    if adapter:
        holder = next(one for one in spec["adapters"] if one["name"] == adapter[1])
        key = "source"
    else:
        holder, key = spec, field.removeprefix("spec.")
    kept = {name: value for name, value in holder[key].items() if name == "maxSize" and "oci" in source}
    holder[key] = {**source, **kept}
    if "hostPath" in source:  # nothing is downloaded, and the API server refuses what would be for downloads
        for unused in ("cache", "prefetch"):
            spec.pop(unused, None)


def _renamed(value: Any, images: Mapping[str, str]) -> Any:
    """Returns a value in which every image has its new name: of containers, of engines, of volumes."""
    if isinstance(value, dict):
        return {key: _renamed(inner, images) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, images) for inner in value]
    return images.get(value, value) if isinstance(value, str) else value
