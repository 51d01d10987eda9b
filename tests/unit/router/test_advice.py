"""What is told of a mistake: every field that has a form shows it, and every place is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from genset.api.modeldeployment import ModelDeploymentSpec
from genset.api.routepolicy import RoutePolicy, RoutePolicySpec
from genset.contracts.router_config import RouterConfig
from genset.router.process.advice import describe


def patterned(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, list[Any]]]:
    """(path, pattern, examples) of everything in a JSON schema that has a form."""
    for name, found in {**schema.get("$defs", {}), **schema.get("properties", {})}.items():
        yield from _within(found, f"{path}.{name}")


def _within(node: Any, path: str, shown: Any = ()) -> Iterator[tuple[str, str, list[Any]]]:
    if isinstance(node, list):
        for item in node:
            yield from _within(item, path, shown)
    elif isinstance(node, dict):
        if "pattern" in node:
            yield path, node["pattern"], node.get("examples", shown)
        for key in ("anyOf", "items", "prefixItems"):
            yield from _within(node.get(key), path, node.get("examples", ()))
        yield from patterned(node, path)


@pytest.mark.parametrize("model", [RoutePolicySpec, ModelDeploymentSpec, RouterConfig])
def test_every_form_has_an_example_that_fits(model: type[BaseModel]) -> None:
    found = list(patterned(model.model_json_schema()))
    assert len(found) > 5
    for path, pattern, examples in found:
        assert examples and all(re.fullmatch(pattern, str(example)) for example in examples), f"{path}: {pattern}"


def test_many_mistakes_are_counted() -> None:
    document = {"metadata": {"name": "a"}, "spec": dict.fromkeys("abcdefgh", 1)}
    with pytest.raises(ValidationError) as refused:
        RoutePolicy.model_validate(document)
    told = describe(refused.value, RoutePolicy, document, most=3)
    assert told.count("; ") == 3 and told.endswith("; and 7 more")


def test_without_the_document_items_are_numbered() -> None:
    with pytest.raises(ValidationError) as refused:
        RouterConfig.model_validate({"policy": {"namespace": "a", "name": "b"}, "backends": [1], "routes": []})
    assert "backends[0]: Input should be a valid dictionary" in describe(refused.value, RouterConfig)
