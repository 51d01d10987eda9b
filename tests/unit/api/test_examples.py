"""Every resource that README and docs/ show is one that the types take: nobody copies an example that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy

ROOT = Path(__file__).parents[3]
TYPES = {names.MODEL_DEPLOYMENT: ModelDeployment, names.ROUTE_POLICY: RoutePolicy}


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, resource) of the YAML blocks that hold whole resources."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL), 1):
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and document.get("kind") in TYPES:
                    yield f"{page.name} {number} {document['kind']}", document


EXAMPLES = list(examples())


@pytest.mark.parametrize("document", [example[1] for example in EXAMPLES], ids=[example[0] for example in EXAMPLES])
def test_example(document: dict[str, Any]) -> None:
    resource = TYPES[document["kind"]].model_validate(document)
    assert resource.metadata.name


def test_there_are_examples_of_both_kinds() -> None:
    assert {document["kind"] for _, document in EXAMPLES} == set(TYPES)
