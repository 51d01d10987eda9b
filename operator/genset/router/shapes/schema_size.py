"""A JSON schema that an answer has to follow has a size: fields, depth, and whether it leaves choices alone. Pure.

A caller writes it, so only so much of it is looked at; one with more counts as larger than anything.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

MOST_NODES: Final = 2000  # of a schema, that a reference names again counted again: 0.5 ms
MANY: Final = 1_000_000_000  # stands for more than is counted
_INSIDE: Final = ("items", "additionalProperties", "contains", "not")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")


class SchemaSize(NamedTuple):
    """The size of a schema. `fields` are the names of properties, inner ones too; `depth` counts objects and lists inside one
    another; `enums_only`: every value is one of a list, or true or false.
    """

    fields: int
    depth: int
    enums_only: bool


NO_SCHEMA: Final = SchemaSize(0, 0, False)
_TOO_LARGE: Final = SchemaSize(MANY, MANY, False)


def schema_of(request: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the schema that the answer to a request has to follow; None if there is none."""
    form = request.get("response_format")
    if type(form) is not dict or form.get("type") != "json_schema":
        return None
    held = form.get("json_schema")
    schema = held.get("schema") if type(held) is dict else form.get("schema")
    return schema if type(schema) is dict else {}


def size_of(schema: dict[str, Any]) -> SchemaSize:
    """Returns the size of a schema. References within it are followed; those to elsewhere are values of any kind."""
    fields = depth = nodes = 0
    enums = others = False
    left: list[tuple[Any, int]] = [(schema, 1)]
    while left:
        node, level = left.pop()
        nodes += 1
        if nodes > MOST_NODES or len(left) > MOST_NODES:
            return _TOO_LARGE
        if type(node) is not dict:
            others = others or node is True
            continue
        inner = _inside(node, schema, level)
        properties = node.get("properties")
        if type(properties) is dict:
            fields += len(properties)
            inner += [(value, level + 1) for value in properties.values()]
            depth = max(depth, level)
        elif "items" in node or "prefixItems" in node:
            depth = max(depth, level)
        elif _is_choice(node):
            enums = True
            continue
        elif not inner and node.get("type") != "null":
            others = True
        left += inner
    return SchemaSize(fields, depth, enums and not others)


def _is_choice(node: dict[str, Any]) -> bool:
    return "enum" in node or "const" in node or node.get("type") == "boolean"


def _inside(node: dict[str, Any], schema: dict[str, Any], level: int) -> list[tuple[Any, int]]:
    found: list[tuple[Any, int]] = []
    for name in _INSIDE:
        value = node.get(name)
        if type(value) is dict:
            found.append((value, level + 1))
    for name in _LISTS:
        value = node.get(name)
        if type(value) is list:
            found += [(one, level) for one in value[: MOST_NODES + 1]]
    reference = node.get("$ref")
    if type(reference) is str:
        found.append((_named(reference, schema), level))
    return found


def _named(reference: str, schema: dict[str, Any]) -> Any:
    """Returns what a reference names; True, which takes anything, if that is not in the schema."""
    if reference == "#":
        return schema
    if not reference.startswith("#/") or reference.count("/") > 8:
        return True
    found: Any = schema
    for step in reference[2:].split("/"):
        found = found.get(step) if type(found) is dict else None
    return found if type(found) is dict else True
