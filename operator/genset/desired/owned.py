"""What one field manager owns of a live object is read here from its managedFields: what it applied last, and no default.

The format is FieldsV1 (structured-merge-diff, fieldpath/serialize-pe.go): `f:NAME` is a field, `k:{...}` the element of a list
with these keys, `v:...` an element by its value, `i:N` by its place, `.` the map or element itself; an empty map is a leaf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
_PATH = ("f:spec", "f:template")
_MISSING = object()


def template_of(live: Json, manager: str) -> dict[str, Any] | None:
    """Returns what a manager has applied of a Deployment's pod template; None if it has applied nothing of it."""
    own = _fields(live, manager, mine=True)
    template = live["spec"].get("template")
    if not own or not isinstance(template, Mapping):
        return None
    picked: dict[str, Any] = _pick(template, own)
    return picked


def replicas_owner(live: Json) -> str:
    """Returns who has written spec.replicas, several of them by commas; "" if nobody has."""
    found = {
        str(entry.get("manager") or "")
        for entry in live["metadata"].get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return ", ".join(sorted(found - {""}))


def overridden(live: Json, manager: str, wanted: Json) -> bool:
    """Returns whether somebody else has set a field of the template that is wanted otherwise, and taken it from the manager."""
    own, others = _fields(live, manager, mine=True), _fields(live, manager, mine=False)
    for path in _leaves(others, ()):
        if _has(own, path):
            continue
        value = _at(wanted, path)
        if value is not _MISSING and value != _at(live["spec"]["template"], path):
            return True
    return False


def _fields(live: Json, manager: str, *, mine: bool) -> Json:
    """Returns the fields of the template that the manager, or everybody else, owns: of all entries together."""
    found: dict[str, Any] = {}
    for entry in live["metadata"].get("managedFields") or ():
        if (entry.get("manager") == manager) is mine and not entry.get("subresource"):
            fields = entry.get("fieldsV1") or {}
            for step in _PATH:
                fields = fields.get(step) or {}
            found = _union(found, fields)
    return found


def _union(one: Json, other: Json) -> dict[str, Any]:
    out = dict(one)
    for key, value in other.items():
        out[key] = _union(out[key], value) if key in out else value
    return out


def _pick(value: Any, fields: Json) -> Any:
    """Returns the owned part of a value. Elements of lists come in the order in which they are there."""
    inner = {step: below for step, below in fields.items() if step != "."}
    if not fields:
        return value
    if isinstance(value, Mapping):
        return {
            step[2:]: _pick(value[step[2:]], below)
            for step, below in inner.items()
            if step.startswith("f:") and step[2:] in value
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        places = {index: below for step, below in inner.items() if (index := _place(value, step)) is not None}
        return [_pick(value[index], places[index]) for index in sorted(places)]
    return value


def _place(items: Sequence[Any], step: str) -> int | None:
    """Returns where the element of a list is that a step names; None if it is not there."""
    kind, _, text = step.partition(":")
    wanted = json.loads(text)
    for index, item in enumerate(items):
        if kind == "i" and index == wanted:
            return index
        if kind == "v" and item == wanted:
            return index
        if kind == "k" and isinstance(item, Mapping) and _has_keys(item, wanted):
            return index
    return None


def _has_keys(item: Json, keys: Json) -> bool:
    """Returns whether an element has these keys; a protocol that is not said is TCP."""
    return all(item.get(key, "TCP" if key == "protocol" else None) == value for key, value in keys.items())


def _leaves(fields: Json, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for step, below in fields.items():
        if step != ".":
            yield from _leaves(below, (*path, step)) if below else iter([(*path, step)])


def _has(fields: Json, path: tuple[str, ...]) -> bool:
    """Returns whether a path is owned, by itself or with all that stands above it."""
    for step in path:
        if step not in fields:
            return False
        fields = fields[step]
        if not fields:
            return True
    return True


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """Returns the value at a path; `_MISSING` if there is none."""
    for step in path:
        if step.startswith("f:"):
            value = value.get(step[2:], _MISSING) if isinstance(value, Mapping) else _MISSING
        elif isinstance(value, Sequence) and not isinstance(value, str):
            index = _place(value, step)
            value = _MISSING if index is None else value[index]
        else:
            value = _MISSING
        if value is _MISSING:
            return _MISSING
    return value
