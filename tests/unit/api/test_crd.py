"""The CRDs as dicts: committed files in step, structural, described, with the types' own defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from genset.api.base import ApiModel
from genset.api.crd import definitions
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.cli.crds import render
from tests.crds import cases

ROOT = Path(__file__).resolve().parents[3]
TYPES: dict[str, type[ApiModel]] = {"ModelDeployment": ModelDeployment, "RoutePolicy": RoutePolicy}
DEFINITIONS = definitions()


def schema_of(kind: str) -> dict[str, Any]:
    (found,) = [d for d in DEFINITIONS.values() if d["spec"]["names"]["kind"] == kind]
    schema: dict[str, Any] = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field, with its path as `kubectl explain` writes it."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}".lstrip("."), child
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], path)


ALL_NODES = [(kind, path, node) for kind in TYPES for path, node in nodes(schema_of(kind))]


@pytest.mark.parametrize("folder", ["crds", "charts/genset/files/crds"])
def test_committed_files_are_what_the_types_say(folder: str) -> None:
    committed = {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
    generated = {name: render(definition) for name, definition in DEFINITIONS.items()}
    assert committed == generated, f"{folder} is behind the types: run make crds"


@pytest.mark.parametrize(("kind", "path", "node"), ALL_NODES, ids=[f"{k}.{p}" for k, p, _ in ALL_NODES])
def test_every_field_is_described_and_structural(kind: str, path: str, node: dict[str, Any]) -> None:
    if path == "metadata":
        return
    text = node.get("description", "")
    assert text and text.endswith((".", "/v1")), f"kubectl explain {kind}.{path} would show {text!r}"
    for foreign in ("$ref", "title", "allOf", "additionalProperties" if node.get("properties") else "$defs"):
        assert foreign not in node
    assert ("anyOf" in node) == ("x-kubernetes-int-or-string" in node)
    if node.get("type") == "array":
        assert "maxItems" in node or path.startswith("status"), "a list without bound makes CEL costs unbounded"
    if path.startswith("status"):
        assert "default" not in node


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """Structural defaulting, as apiextensions-apiserver does it (pkg/apiserver/schema/defaulting)."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        missing = {
            key: child["default"] for key, child in properties.items() if key not in value and "default" in child
        }
        return {key: defaulted(properties.get(key, {}), item) for key, item in {**value, **missing}.items()}
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), item) for item in value]
    return value


@pytest.mark.parametrize("case", [c for c in cases.CASES if c.accepted], ids=cases.identify)
def test_the_api_server_sets_the_defaults_that_the_types_have(case: cases.Case) -> None:
    document = case.document()
    document["spec"] = {key: value for key, value in document["spec"].items() if value is not None}
    stored = defaulted(schema_of(case.kind), document)
    assert TYPES[case.kind].model_validate(stored) == TYPES[case.kind].model_validate(document)


def scalar_defaults(cls: type[ApiModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a type that has a value when nobody gives one, by its path in the CRD."""
    for field in cls.model_fields.values():
        here = f"{path}{field.alias}"
        value = field.get_default(call_default_factory=True)
        for inner in models_in(field.annotation):
            yield from scalar_defaults(inner, f"{here}.")
        if isinstance(value, bool | int | float | str) and value != "":
            yield here, str(value)


def models_in(annotation: Any) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("kind", TYPES)
def test_every_default_is_set_by_the_api_server_or_told_in_the_description(kind: str) -> None:
    known = {path: node for path, node in nodes(schema_of(kind)) if path.startswith("spec.")}
    for path, value in scalar_defaults(TYPES[kind]):
        if path.startswith("spec."):
            node = known[path]
            assert str(node.get("default")) == value or f"Default: {value}." in node["description"], path


@pytest.mark.parametrize("kind", TYPES)
def test_items_of_lists_have_no_defaults(kind: str) -> None:
    """Argo CD compares lists as a whole: a default inside one would show the resource out of sync for ever."""
    for path, node in nodes(schema_of(kind)):
        if "items" in node:
            assert "default" not in str([child.keys() for _, child in nodes(node["items"])]), path


def test_names_for_people() -> None:
    found = {d["spec"]["names"]["kind"]: d["spec"]["names"] for d in DEFINITIONS.values()}
    assert found["ModelDeployment"]["shortNames"] == ["mdep"]
    assert found["RoutePolicy"]["shortNames"] == ["rp"]
    assert all(item["categories"] == ["genset"] for item in found.values())


def test_columns_and_scale_point_at_fields_that_exist() -> None:
    for definition in DEFINITIONS.values():
        (version,) = definition["spec"]["versions"]
        known = {f".{path}" for path, _ in nodes(version["schema"]["openAPIV3Schema"])}
        paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
        paths += version["subresources"].get("scale", {}).values()
        for path in paths:
            plain = path.split("[", 1)[0]
            assert plain in known or plain == ".metadata.creationTimestamp", f"nothing would ever show at {path}"
