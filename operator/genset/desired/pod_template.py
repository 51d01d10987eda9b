"""The podTemplate is an escape hatch: what a user takes away from a pod goes first, and what he adds is merged last.

Works as `kubectl patch --type strategic` on the pod that genset made: maps are merged, lists of named things by their
Kubernetes merge keys (k8s.io/api core/v1 types.go, patchMergeKey), other lists replaced; null removes a field, and an
element with `$patch: delete` removes its namesake. One exception, because the tolerations are of use only together:
tolerations are added. Selector labels stay genset's, or the Deployment would lose its pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genset.api.pod_template import PodTemplate
from genset.desired import pod_path
from genset.desired.canonical import quantity
from genset.desired.merge_keys import MERGE_KEYS
from genset.engines.base import Object

_PATCH = "$patch"
_GONE = object()  # an element that a patch has deleted
_UNIONS = frozenset({"tolerations"})
_QUANTITY_MAPS = frozenset({"requests", "limits", "overhead"})


def merge(template: Object, patch: PodTemplate | None) -> Object:
    """Returns the pod template {metadata, spec} with the user's parts. Neither argument is changed."""
    if patch is None:
        return template
    own = template["metadata"]
    metadata = {**own}
    for field, added in (("labels", patch.metadata.labels), ("annotations", patch.metadata.annotations)):
        merged = {**added, **own.get(field, {})}
        if merged:
            metadata[field] = merged
    spec = template["spec"]
    for path in patch.remove:
        spec = pod_path.without(spec, path) or spec  # what names nothing is told in a condition
    return {"metadata": metadata, "spec": _canonical(_merge_map(spec, patch.spec))}


def _merge_map(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in patch.items():
        if key == _PATCH:
            continue
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merge_value(key, out.get(key), value)
    return out


def _merge_value(key: str, base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        replace = patch.get(_PATCH) == "replace" or not isinstance(base, Mapping)
        return _merge_map({} if replace else base, patch)
    if isinstance(patch, Sequence) and not isinstance(patch, str | bytes):
        current = base if isinstance(base, list) else []
        if key in _UNIONS:
            return [*current, *(item for item in patch if item not in current)]
        if key in MERGE_KEYS:
            return _merge_list(current, patch, MERGE_KEYS[key])
        return [_merge_value("", None, item) for item in patch]
    return patch


def _merge_list(base: Sequence[Any], patch: Sequence[Any], key: str) -> list[Any]:
    """Returns the elements of `base` in their order, patched, then new ones in the order of `patch`.

    Two of the patch with one key stay two: pods may be spread twice over one topology, and of names the API server says that
    they stand there twice.
    """
    out, added = list[Any](base), list[Any]()
    unpatched = list(range(len(out)))
    for item in patch:
        if not isinstance(item, Mapping):  # not this list's kind: the API server will say so
            added.append(item)
            continue
        position = next((i for i in unpatched if _same(out[i], item, key)), None)
        deleted = item.get(_PATCH) == "delete"
        if position is not None:
            unpatched.remove(position)
            out[position] = _GONE if deleted else _merge_value("", out[position], item)
        elif not deleted:
            added.append(_merge_value("", None, item))
    return [item for item in out if item is not _GONE] + added


def _same(own: Any, item: Mapping[str, Any], key: str) -> bool:
    return isinstance(own, Mapping) and key in item and own.get(key) == item[key]


def _canonical(value: Any, in_quantities: bool = False) -> Any:
    """Returns quantities as the API server gives them back."""
    if isinstance(value, Mapping):
        return {
            key: _canonical(child, in_quantities=key in _QUANTITY_MAPS and isinstance(child, Mapping))
            if not in_quantities
            else _quantity(child)
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def _quantity(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        return quantity(str(value))
    except ValueError:
        return value  # no quantity: the API server refuses it with the field's name
