"""The page of the chart's values has each of them, as YAML reads it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools import chart_values

TEXT = """\
# Far above, and of nothing.

# What it is,
# in two lines.
image:
  repository: ghcr.io/genset  # where
  # A list: [a, *]
  names: [a, "b # c"]
empty: {}
"""


def test_each_key_has_its_comment_and_default() -> None:
    found = [(one.path, one.text, one.default) for one in chart_values.values(TEXT)]
    assert found == [
        ("image", "What it is, in two lines.", None),
        ("image.repository", "", "ghcr.io/genset  # where"),
        ("image.names", "A list: [a, *]", '[a, "b # c"]'),
        ("empty", "", "{}"),
    ]


def test_what_it_cannot_read_ends_it() -> None:
    with pytest.raises(ValueError, match="neither a key nor a comment"):
        list(chart_values.values("list:\n  - a\n"))


def test_every_value_is_on_the_page() -> None:
    def leaves(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict) or not node:
            return [path]
        return [leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}".lstrip("."))]

    page = chart_values.PAGE.read_text()
    on_it = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    missing = [
        leaf
        for leaf in leaves(yaml.safe_load(chart_values.VALUES.read_text()), "")
        if not any(leaf == one or leaf.startswith(f"{one}.") for one in on_it)
    ]
    assert not missing
