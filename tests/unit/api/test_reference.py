"""The reference pages are in step with the types, and every constant is explained."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

import genset
from genset.api import event_reasons, meanings, modeldeployment, routepolicy

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"


def pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("reference_generate", FOLDER / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    result: dict[str, str] = module.pages()
    return result


def test_committed_pages_are_what_the_types_say() -> None:
    others = ("README.md", "command-line.md", "values.md")  # by hand, and by the tools of these names
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.md") if path.name not in others}
    assert committed == pages(), "docs/reference is behind the types: run make docs"


@pytest.mark.parametrize(
    ("constants", "explained"),
    [
        (modeldeployment.ConditionType, meanings.MODEL_DEPLOYMENT_CONDITIONS),
        (modeldeployment.Reason, meanings.MODEL_DEPLOYMENT_REASONS),
        (routepolicy.ConditionType, meanings.ROUTE_POLICY_CONDITIONS),
        (routepolicy.Reason, meanings.ROUTE_POLICY_REASONS),
        (event_reasons.EventReason, event_reasons.EVENTS),
    ],
    ids=[
        "ModelDeployment conditions",
        "ModelDeployment reasons",
        "RoutePolicy conditions",
        "RoutePolicy reasons",
        "Events",
    ],
)
def test_every_constant_is_explained(constants: type[StrEnum], explained: Mapping[Any, Any]) -> None:
    assert list(constants) == list(explained), "a user would look this up in docs/reference and find nothing"


def test_no_event_has_a_reason_of_its_own() -> None:
    """A reason that is written where it is used stands on no page."""
    folders = [Path(genset.__file__).parent / name for name in ("status", "controllers", "desired", "kube")]
    literal = re.compile(r"""["'](?:Normal|Warning)["'],\s*["'](?!Normal|Warning)(\w+)["']""")
    found = {
        f"{path.name}: {reason}"
        for folder in folders
        for path in folder.rglob("*.py")
        for reason in literal.findall(path.read_text())
    }
    assert found == set()
    assert literal.findall('found.append(("Warning", "Surprise", told))') == ["Surprise"]


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (
            "modeldeployment.md",
            (
                "run pods",
                "be taken for others",
                "have a Secret of the namespace used",
                "have files fetched",
                "have devices",
            ),
        ),
        ("routepolicy.md", ("run router pods", "have keys used", "send prompts out", "open a door", "say who may ask")),
    ],
)
def test_what_a_right_to_create_one_gives_stands_before_the_fields(page: str, told: tuple[str, ...]) -> None:
    """Who grants a role reads this first, and need not find it out."""
    text = pages()[page]
    rights = text.partition("## What the right to create one gives")[2].partition("\n## ")[0]
    assert all(f"\n- **{words}**" in rights for words in told), rights
    assert (
        "It gives no right to read Secrets, to write anything but these resources, or to act in another namespace"
        in rights
    )
    assert text.index("## What the right") < text.index("## Fields of spec")
