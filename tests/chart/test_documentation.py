"""What README and docs/ have people type at Helm works, by Helm itself, and the values that they show are taken."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.cluster import tools
from tests.support.docs.shell import Command, commands
from tools.pages import ROOT, pages

PAST = ("docs/status.md", "docs/adr/", "CHANGELOG.md")
HELM = [
    command
    for page in pages()
    if not page.path.startswith(PAST)
    for command in commands(page, {"helm"})
    if command.words[0] == "helm"
]
WITHOUT_VALUE = ("--create-namespace", "--reuse-values", "--reset-then-reuse-values", "--wait", "--atomic", "--install")
CHART = ROOT / "charts" / "genset"
# What is a field of resources, too, stands in blocks of these
TOP = set(yaml.safe_load((CHART / "values.yaml").read_text())) - {"podTemplate", "resources"}
VALUES = [
    (str(block), piece)
    for page in pages()
    for block in page.blocks
    if block.language == "yaml"
    for piece in yaml.safe_load_all(block.text)
    if isinstance(piece, dict) and set(piece) <= TOP and "kind" not in piece
]


def helm(*arguments: str) -> str:
    """Returns what Helm complains of, if it does."""
    done = subprocess.run([tools.path("helm"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def wrong(command: Command) -> str:
    """Returns what Helm says of the chart with the command's values; of other verbs, whether it knows them and their options."""
    verb, *words = command.words[1:]
    words = [word for word in words if word != "…"]
    if verb not in ("install", "upgrade", "template"):
        return helm(verb, *words, "--help")
    if not any(word.startswith("charts/") for word in words):
        return helm(verb, "--help")  # from a registry of the reader's own
    set_ = [word for before, word in pairwise(words) if before in ("--set", "--set-string")]
    release = words[0] if not words[0].startswith("-") else "genset"
    chart = next(word for word in words if word.startswith("charts/"))
    known = helm(verb, *(word for word in words if word in WITHOUT_VALUE), "--help")
    return known or helm("template", release, chart, "--namespace", "x", *(f"--set={value}" for value in set_))


@pytest.mark.parametrize("command", HELM, ids=str)
def test_command(command: Command) -> None:
    assert wrong(command) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("helm instal genset charts/genset", "unknown command"),
        ("helm install genset charts/gensett", "not found"),
        ("helm install genset charts/genset --set watchNamespace=a", "watchNamespace"),
        ("helm rollback genset --namespaces x", "unknown flag"),
    ],
)
def test_a_command_that_fails_is_found(text: str, said: str) -> None:
    assert said in wrong(Command("here", tuple(text.split()), whole=True))


@pytest.mark.parametrize(("where", "values"), VALUES, ids=[where for where, _ in VALUES])
def test_values_are_taken(where: str, values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    assert helm("template", "genset", str(CHART), "--values", str(tmp_path / "values.yaml")) == ""
