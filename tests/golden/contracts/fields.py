"""The fields of a JSON schema as a flat list, and which changes to it a reader of another release cannot live with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = dict[str, dict[str, Any]]

_RULES = (
    "type",
    "enum",
    "const",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minLength",
    "maxLength",
    "minItems",
)


def fields(schema: Mapping[str, Any]) -> Fields:
    """Path -> what a value must be there, and whether it must be there, e.g. `backends[].url.keyFile`."""
    found: Fields = {}

    def plain(node: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" in node:
            return plain(schema["$defs"][node["$ref"].rpartition("/")[2]])
        if "anyOf" in node:  # a value or null, which is never written
            (other,) = (part for part in node["anyOf"] if part.get("type") != "null")
            return plain(other)
        return node

    def rules(node: Mapping[str, Any]) -> dict[str, Any]:
        node = plain(node)
        shown = {rule: node[rule] for rule in _RULES if rule in node}
        return {**shown, "items": rules(node["items"])} if "items" in node else shown

    def walk(node: Mapping[str, Any], path: str) -> None:
        node = plain(node)
        if "items" in node:
            walk(node["items"], f"{path}[]")
        for name, inner in node.get("properties", {}).items():
            here = f"{path}.{name}" if path else name
            found[here] = {"required": name in node.get("required", ()), **rules(inner)}
            walk(inner, here)

    walk(schema, "")
    return found


def breaks(kept: Fields, now: Fields) -> list[str]:
    """What is no addition: these changes need a new version."""
    told = [f"{path} is gone" for path in kept if path not in now]
    told += [f"{path} is another" for path in kept if path in now and not _is_widened(kept[path], now[path])]
    for path, field in now.items():
        above = path.rpartition(".")[0].replace("[]", "") if "." in path else ""
        is_part_of_old = not above or above in {known.replace("[]", "") for known in kept}
        if path not in kept and field["required"] and is_part_of_old:
            told.append(f"{path} is new, and must be there")
    return told


def _is_widened(kept: Any, now: Any) -> bool:
    """Whether nothing has changed but that more words are known."""
    if "items" in kept and "items" in now:
        return _is_widened(kept["items"], now["items"]) and {**kept, "items": 0} == {**now, "items": 0}
    return set(kept.get("enum", ())) <= set(now.get("enum", ())) and {**kept, "enum": 0} == {**now, "enum": 0}
