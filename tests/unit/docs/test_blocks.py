"""Blocks of YAML, JSON, TOML and Python are whole, and what they say of our resources and values exists."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from genset.api.crd import definitions
from tests.support.docs.fits import misfits, places
from tools.pages import ROOT, Block, pages

READERS: dict[str, Callable[[str], Any]] = {
    "yaml": lambda text: list(yaml.safe_load_all(text)), "json": json.loads, "toml": tomllib.loads, "python": ast.parse,
}  # fmt: skip
BLOCKS = [block for page in pages() for block in page.blocks]
OURS = {
    definition["spec"]["names"]["kind"]: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for definition in definitions().values()
}
VALUES = json.loads((ROOT / "charts" / "genset" / "values.schema.json").read_text())
# First fields of fragments that are not ours: of containers, of values of Argo CD's chart, of Prometheus' rules
FOREIGN = ("env", "configs", "alert")
METRIC = re.compile(r"\bgenset_(?:router|ledger|operator|model|policy|bundle|api|budget|consumer)\w+\b")


def fragments() -> list[tuple[str, Any]]:
    """(where, piece) of YAML blocks that are no whole resources."""
    return [
        (str(block), piece)
        for block in BLOCKS
        if block.language == "yaml"
        for piece in yaml.safe_load_all(block.text)
        if not (isinstance(piece, dict) and "kind" in piece) and _first(piece) not in FOREIGN
    ]


def _first(piece: Any) -> str:
    return str(next(iter(piece[0] if isinstance(piece, list) else piece)))


def wrong(piece: Any) -> list[str]:
    """Returns what is wrong with a fragment at the place that it fits best, in a resource or in the chart's values."""
    items = piece if isinstance(piece, list) else [piece]
    found = []
    for item in items:
        inner = [place for schema in (*OURS.values(), VALUES) for place in places(schema, set(item))]
        where = list(OURS.values()) if "spec" in item else inner
        best = min((list(misfits(item, place)) for place in where), key=len, default=None)
        found += [f"nothing has the fields {', '.join(map(str, item))}"] if best is None else best
    return found


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in READERS], ids=str)
def test_a_block_is_whole(block: Block) -> None:
    READERS[block.language](block.text)


@pytest.mark.parametrize(("where", "piece"), fragments(), ids=[where for where, _ in fragments()])
def test_a_fragment_fits_somewhere(where: str, piece: Any) -> None:
    assert wrong(piece) == []


def test_metrics_that_pages_name_exist() -> None:
    """Queries and prose alike; what counts is the name in the source, without what Prometheus appends."""
    source = " ".join(path.read_text() for path in sorted((ROOT / "operator").rglob("*.py")))
    told = {
        (name, page.path) for page in pages() if page.path != "docs/status.md" for name in METRIC.findall(page.text)
    }
    assert [where for where in sorted(told) if not _is_metric(where[0], source)] == []


def _is_metric(name: str, source: str) -> bool:
    plain = re.sub(r"_(total|bucket|count|sum|info)$", "", name)
    return plain in source or plain.removeprefix("genset_") in source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec: {routes: [{nmae: a}]}", "has no field"),
        ("routes: [{whenFull: Later}]", "is one of"),
        ("watchNamespace: [a]", "nothing has the fields watchNamespace"),
        ("ledger: {enabled: yes please}", "of type boolean"),
        ("- {name: a, cloud: {provider: openia}}", "is one of"),
    ],
)
def test_a_slip_of_the_pen_is_found(text: str, said: str) -> None:
    assert any(said in told for told in wrong(yaml.safe_load(text)))
