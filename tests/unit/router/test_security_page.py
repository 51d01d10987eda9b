"""docs/security.md names the test of each promise, and these tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genset.router.errors import VOCABULARY

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|e2e|bench)/[^`]+\.py)(?:::(\w+))?`", PAGE)))
SECTIONS = {found[1]: found[2] for found in re.finditer(r"^### (P\d+)\.(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{Path(path).stem}-{name}" for path, name in NAMED])
def test_the_named_test_exists(path: str, name: str) -> None:
    text = (ROOT / path).read_text()
    assert name and re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{path} has no test {name}"


def test_every_promise_has_a_proof_or_says_that_it_is_none_yet() -> None:
    assert list(SECTIONS) == [f"P{number}" for number in range(1, 11)]
    for promise, text in SECTIONS.items():
        assert re.search(r"^\| `tests/", text, re.MULTILINE), promise
    for promise in ("P6", "P8"):
        assert "**Not promised yet" in SECTIONS[promise], promise


def test_clients_find_every_word_of_the_vocabulary_with_its_status() -> None:
    told: dict[str, str] = {}
    for row in re.finditer(
        r"^\| (`[a-z_`, ]+) \| ([0-9, ]+) \|", (ROOT / "docs" / "clients.md").read_text(), re.MULTILINE
    ):
        words, statuses = re.findall(r"`(\w+)`", row[1]), row[2].split(", ")
        told.update(zip(words, statuses if len(statuses) > 1 else statuses * len(words), strict=True))
    assert {word: told.get(word) for word in VOCABULARY} == {
        word: str(kind.status) for word, kind in VOCABULARY.items()
    }


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md"])
def test_it_can_be_found(page: str) -> None:
    assert "docs/security.md" in (ROOT / page).read_text()
