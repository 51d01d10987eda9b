"""Decides whether what is wanted is already there: desired is compared as a subset of live.

The API server adds defaults, other controllers own other fields: both are fine. What counts is that every field that
genset wants has the value that genset wants. Fields that are no longer wanted are found by the desired-hash
annotation, not here. Pure: lists are matched by the merge keys of Kubernetes, quantities by value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genset.api.quantity import parse_quantity

# Lists that server-side apply merges by key (`x-kubernetes-list-map-keys` of the built-in types): elements that others
# added are theirs. All other lists are compared whole, in order.
_MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",),
    "conditions": ("type",),
}
_PORTS = "ports"  # of a Service: port and protocol; of a container: containerPort and protocol
_QUANTITY_PARENTS = frozenset({"requests", "limits", "capacity", "hard"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "divisor"})


def desired_hash(desired: Mapping[str, Any]) -> str:
    """Returns the hash over the whole desired object, but for the annotation that carries it: 32 hexadecimal digits."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def differences(desired: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields whose live value is not the desired one, by path, e.g. `spec.replicas`, with that live value.

    If it is empty, nothing is to do.
    """
    merge = desired.get("kind") != "NetworkPolicy"  # all lists of a NetworkPolicy's spec are atomic
    return dict(_compare(desired, live, (), merge))


def _compare(desired: Any, live: Any, path: tuple[str, ...], merge: bool) -> Iterator[tuple[str, Any]]:
    if desired is None:
        return  # null means "not set": nothing is asked for
    if isinstance(desired, Mapping):
        if not desired and live is None:
            return  # the API server drops empty maps
        if not isinstance(live, Mapping):
            yield ".".join(path), live
            return
        for key, value in desired.items():
            yield from _compare(value, live.get(key), (*path, str(key)), merge)
    elif isinstance(desired, Sequence) and not isinstance(desired, str | bytes):
        yield from _compare_list(desired, live, path, merge)
    elif live is None and not desired:
        return  # the API server leaves out false, "" and 0 where they mean the same as nothing
    elif not _same_scalar(desired, live, path):
        yield ".".join(path), live


def _compare_list(desired: Sequence[Any], live: Any, path: tuple[str, ...], merge: bool) -> Iterator[tuple[str, Any]]:
    if not desired and live is None:
        return  # the API server drops empty lists
    if not isinstance(live, Sequence) or isinstance(live, str | bytes):
        yield ".".join(path), live
        return
    keys = _keys(path[-1] if path else "", desired) if merge or path[:1] == ("metadata",) else None
    if keys is None:
        if len(desired) != len(live):
            yield ".".join(path), live
            return
        for index, (want, have) in enumerate(zip(desired, live, strict=True)):
            yield from _compare(want, have, (*path[:-1], f"{path[-1]}[{index}]"), merge)
        return
    by_key = {_key(item, keys): item for item in live}
    for item in desired:
        key = _key(item, keys)
        label = "/".join(str(part) for part in key)
        yield from _compare(item, by_key.get(key, {}), (*path[:-1], f"{path[-1]}[{label}]"), merge)


def _keys(field: str, items: Sequence[Any]) -> tuple[str, ...] | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    if field == _PORTS:
        keys: tuple[str, ...] | None = ("containerPort" if "containerPort" in items[0] else "port", "protocol")
    else:
        keys = _MERGE_KEYS.get(field)
    # Keys that tell the items apart: what has the field's name only, as in a resource of another kind, is compared in order.
    return keys if keys is not None and len({_key(item, keys) for item in items}) == len(items) else None


def _key(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(item.get(key, "TCP" if key == "protocol" else "")) for key in keys)


def _same_scalar(desired: Any, live: Any, path: tuple[str, ...]) -> bool:
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if bool(desired == live):
        return True
    is_quantity = path[-1] in _QUANTITY_FIELDS or (len(path) > 1 and path[-2] in _QUANTITY_PARENTS)
    if is_quantity and live is not None:
        try:
            return parse_quantity(str(desired)) == parse_quantity(str(live))
        except ValueError:
            return False
    return False
