"""Whether a piece of YAML fits a schema: names and kinds of values, as far as an example can be wrong by a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def misfits(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Yields what does not fit. A fragment may leave out what is required."""
    kind = schema.get("type")
    if (kind in _KINDS and not isinstance(value, _KINDS[kind])) or (
        isinstance(value, bool) and kind in ("integer", "number")
    ):
        yield f"{path or '.'} is to be of type {kind}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path} is one of {', '.join(map(str, schema['enum']))}"
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", not schema.get("properties"))
        for name, inner in value.items():
            if name in known:
                yield from misfits(inner, known[name], f"{path}.{name}")
            elif isinstance(others, dict):
                yield from misfits(inner, others, f"{path}.{name}")
            elif not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path or '.'} has no field {name}"
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from misfits(inner, schema.get("items", {}), f"{path}[{number}]")


def places(schema: Schema, names: set[str]) -> Iterator[Schema]:
    """Yields every object inside a schema that has all of these fields."""
    properties = schema.get("properties", {})
    if names and names <= set(properties):
        yield schema
    for inner in [*properties.values(), schema.get("items", {})]:
        if inner:
            yield from places(inner, names)
