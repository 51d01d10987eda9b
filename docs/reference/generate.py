"""Writes the reference pages from the types: `python docs/reference/generate.py [FOLDER]`.

It reads the CRDs rather than the types, so that a page never promises what the API server does not enforce.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from genset import names
from genset.api import meanings
from genset.api.base import DNS_LABEL, DNS_SUBDOMAIN
from genset.api.crd import definitions
from genset.api.event_reasons import EVENTS

HERE = Path(__file__).parent
Schema = dict[str, Any]
# Keys of the schema, and the unit
_BOUNDS = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))
_PATTERNS = {DNS_LABEL: "a DNS label", DNS_SUBDOMAIN: "a DNS name"}


@dataclass(frozen=True)
class Row:
    """One field, as the page shows it."""

    path: str
    type: str
    default: str
    required: bool
    text: str


def pages() -> dict[str, str]:
    """File name -> page."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined)
    template = environment.get_template("reference.md.j2")
    events = environment.get_template("events.md.j2")
    return {
        **{
            f"{d['spec']['names']['singular']}.md": template.render(_content(d)).rstrip() + "\n"
            for d in definitions().values()
        },
        "events.md": events.render(events=EVENTS, outages=meanings.ROUTE_POLICY_OUTAGES).rstrip() + "\n",
    }


def _content(definition: Schema) -> Mapping[str, Any]:
    (version,) = definition["spec"]["versions"]
    kind = definition["spec"]["names"]["kind"]
    schema = version["schema"]["openAPIV3Schema"]
    ours = kind == names.MODEL_DEPLOYMENT
    conditions = meanings.MODEL_DEPLOYMENT_CONDITIONS if ours else meanings.ROUTE_POLICY_CONDITIONS
    reasons = meanings.MODEL_DEPLOYMENT_REASONS if ours else meanings.ROUTE_POLICY_REASONS
    return {
        "kind": kind,
        "rights": f"{definition['spec']['names']['singular']}.rights.j2",
        "api_version": names.API_VERSION,
        "description": schema["description"],
        "short_name": definition["spec"]["names"]["shortNames"][0],
        "spec": list(_rows(schema["properties"]["spec"], "")),
        "status": list(_rows(schema["properties"]["status"], "")),
        "rules": list(dict.fromkeys(_rules(schema, ""))),  # one sentence may be several rules
        "conditions": list(conditions.items()),
        "reasons": list(reasons.items()),
        "outages": [] if ours else list(meanings.ROUTE_POLICY_OUTAGES.items()),
        "columns": version["additionalPrinterColumns"],
    }


def _rows(schema: Schema, path: str) -> Iterator[Row]:
    for name, node in schema.get("properties", {}).items():
        here = f"{path}{name}"
        required = name in schema.get("required", ())
        yield Row(here, _type(node), _default(node), required, _cell(node["description"] + _constraints(node)))
        yield from _rows(node, f"{here}.")
        if "items" in node:
            yield from _rows(node["items"], f"{here}[].")


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path.lstrip(".") or "metadata", _cell(rule["message"])
    for name, node in schema.get("properties", {}).items():
        yield from _rules(node, f"{path}.{name}")
    if "items" in schema:
        yield from _rules(schema["items"], f"{path}[]")


def _type(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "Quantity"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        keys = node.get("x-kubernetes-list-map-keys")
        return f"list of {_type(node['items'])}" + (f", each {keys[0]} once" if keys else "")
    if "additionalProperties" in node:
        return "map of text"
    return {"string": "time" if node.get("format") == "date-time" else "text"}.get(node["type"], str(node["type"]))


def _default(node: Schema) -> str:
    default = node.get("default")
    return "" if default is None or isinstance(default, dict) else f"`{default}`"


def _constraints(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return ""
    said = [_range(node.get(low), node.get(high), unit) for low, high, unit in _BOUNDS]
    if "pattern" in node:
        said.append(_PATTERNS.get(node["pattern"], f"pattern `` {node['pattern']} ``"))
    said = [text for text in said if text]
    return f" ({'; '.join(said)})" if said else ""


def _range(low: int | None, high: int | None, unit: str) -> str:
    """Bounds in words; that nothing is empty or below zero goes without saying."""
    if high is None:
        return "" if low in (None, 0, 1) else f"at least {low:,}{unit}"
    return f"at most {high:,}{unit}" if low is None or (unit and low == 1) else f"{low:,} to {high:,}{unit}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
