"""What the API server notes of an object that was applied: managedFields in the form FieldsV1, for tests of pure code."""

from __future__ import annotations

import json
from typing import Any

from genset.kube.diff import _keys

Object = dict[str, Any]


def applied(live: Object, manager: str = "genset") -> Object:
    """Returns the object as if the manager had applied all of it, and nobody else anything."""
    content = {key: value for key, value in live.items() if key not in ("apiVersion", "kind", "metadata")}
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields(content)}
    return {**live, "metadata": {**live["metadata"], "managedFields": [entry]}}


def fields(value: Any, name: str = "") -> Object:
    """Returns FieldsV1 of a value."""
    if isinstance(value, dict):
        return {f"f:{key}": fields(child, key) for key, child in value.items()}
    if isinstance(value, list) and (keys := _keys(name, value)) is not None:
        return {
            "k:" + json.dumps({key: item[key] for key in keys}): {".": {}, **fields(item)}
            for item in value
            if all(key in item for key in keys)
        }
    return {}
