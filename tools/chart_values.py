"""Writes docs/reference/values.md: every value of the chart, with its default and the comment that stands above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "values.md"
VALUES = ROOT / "charts" / "genset" / "values.yaml"
HEAD = """\
# Values of the chart

Written by `make docs` from `charts/genset/values.yaml`. What is not here, Helm refuses, by the chart's schema. To see what a
release has: `helm -n genset-system get values genset --all`.

| Value | Default | What it is |
|---|---|---|
"""
_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][\w.]*):(?: +(?P<value>.*))?$")


@dataclass(frozen=True)
class Value:
    """A value of the chart: its path, what is said of it, and its default as YAML; None if it has values of its own."""

    path: str
    text: str
    default: str | None


def values(text: str) -> Iterator[Value]:
    """Yields the values of a values.yaml in its order. A comment belongs to the key that follows it without an empty line."""
    above: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif found := _KEY.match(line):
            indent = len(found["indent"])
            path = [*(one for one in path if one[0] < indent), (indent, found["key"])]
            yield Value(".".join(key for _, key in path), " ".join(above), found["value"] or None)
            above = []
        elif not line.strip():
            above = []
        else:
            raise ValueError(f"values.yaml: {line!r} is neither a key nor a comment: write lists and texts in one line")


def page() -> str:
    text = VALUES.read_text()
    found = list(values(text))
    _check(found, yaml.safe_load(text))
    return HEAD + "".join(
        f"| `{one.path}` | {_default(one)} | {_cell(one.text)} |\n"
        for one in found
        if one.text or one.default is not None
    )


def _check(found: list[Value], tree: object) -> None:
    """Raises ValueError if what was read is not what YAML reads: every leaf, with its default."""
    for one in found:
        node = tree
        for key in _keys(one.path, tree):
            node = node[key] if isinstance(node, dict) else None
        if one.default is not None and yaml.safe_load(one.default) != node:
            raise ValueError(f"{one.path}: {one.default} is not what YAML reads: {node}")


def _keys(path: str, tree: object) -> list[str]:
    """Splits a path by the keys that there are: some have dots."""
    keys, rest = [], path
    while rest:
        assert isinstance(tree, dict), path
        key = max((key for key in tree if rest == key or rest.startswith(f"{key}.")), key=len)
        keys.append(key)
        tree, rest = tree[key], rest[len(key) + 1 :]
    return keys


def _default(one: Value) -> str:
    if one.default is None:
        return ""
    value = re.sub(r"\s+#.*$", "", one.default) if not one.default.startswith(('"', "'")) else one.default
    return f"`{value}`".replace("|", "\\|")


def _cell(text: str) -> str:
    """Makes text a cell: what is no code in it is shown as it stands."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else re.sub(r"([*_<\[])", r"\\\1", part) for number, part in enumerate(parts))
