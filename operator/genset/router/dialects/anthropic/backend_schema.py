"""Makes of a JSON schema the one that Anthropic's structured outputs take, which know a part of JSON Schema.

What they do not know is not lost: it is added to the description, where the model reads it, as Anthropic's own client does
(`transform_schema` of the anthropic package 2.14.0). Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

from genset.router.dialects.base import Untranslatable

_MOST_DEPTH: Final = 64
_FORMATS: Final = frozenset((
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
))  # fmt: skip
_VARIANTS: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_PLAIN: Final = ("title", "description", "enum", "const")


def strict(schema: Any, where: str) -> dict[str, Any]:
    """Returns the schema as Anthropic takes it. Raises Untranslatable; `where` names the schema in the request."""
    return _schema(schema, where, 0)


def _schema(schema: Any, where: str, depth: int) -> dict[str, Any]:
    if schema is True or schema == {}:
        raise Untranslatable(f"{where}: Anthropic needs a type for each value of a schema")
    if not isinstance(schema, dict):
        raise Untranslatable(f"{where}: is no JSON schema")
    if depth > _MOST_DEPTH:
        raise Untranslatable(f"{where}: is nested more than {_MOST_DEPTH} deep")
    rest = dict(schema)
    made: dict[str, Any] = {}
    for key in ("$defs", "definitions"):
        found = rest.pop(key, None)
        if isinstance(found, dict):
            made[key] = {name: _schema(one, where, depth + 1) for name, one in found.items()}
    if isinstance(rest.get("$ref"), str):
        return {**made, "$ref": rest["$ref"]}
    for key in _PLAIN:
        if key in rest:
            made[key] = rest.pop(key)
    kind = rest.pop("type", None)
    for theirs, ours in _VARIANTS.items():
        found = rest.get(theirs)
        if isinstance(found, list) and ours not in made:
            del rest[theirs]
            made[ours] = [_schema(one, where, depth + 1) for one in found]
    if kind is None and not made.keys() & {"anyOf", "allOf", "enum", "const"}:
        kind = "object" if "properties" in rest else None
        if kind is None:
            raise Untranslatable(f"{where}: Anthropic needs a type for each value of a schema")
    if kind is not None:
        made["type"] = kind
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds:
        _object(rest, made, where, depth)
    if "array" in kinds:
        _array(rest, made, where, depth)
    if "string" in kinds and rest.get("format") in _FORMATS:
        made["format"] = rest.pop("format")
    rest.pop("$schema", None)
    if rest:
        told = "{" + ", ".join(f"{key}: {_shown(value)}" for key, value in rest.items()) + "}"
        before = made.get("description")
        made["description"] = f"{before}\n\n{told}" if isinstance(before, str) and before else told
    return made


def _object(rest: dict[str, Any], made: dict[str, Any], where: str, depth: int) -> None:
    properties = rest.pop("properties", None)
    more = rest.pop("additionalProperties", False)
    if isinstance(more, dict) or (more is True and not properties):
        raise Untranslatable(f"{where}: Anthropic takes no object whose members have no names (additionalProperties)")
    found = properties if isinstance(properties, dict) else {}
    made["properties"] = {name: _schema(one, where, depth + 1) for name, one in found.items()}
    made["additionalProperties"] = False
    if isinstance(rest.get("required"), list):
        made["required"] = rest.pop("required")


def _array(rest: dict[str, Any], made: dict[str, Any], where: str, depth: int) -> None:
    if "items" in rest:
        made["items"] = _schema(rest.pop("items"), where, depth + 1)
    if rest.get("minItems") in (0, 1):
        made["minItems"] = rest.pop("minItems")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
