"""Fields that migration tables name as ours exist in the reference."""

from __future__ import annotations

import re

import pytest

from tools.pages import ROOT, Page, pages

FIELDS = {
    field
    for name in ("modeldeployment", "routepolicy")
    for field in re.findall(r"^\| `([^`]+)`", (ROOT / f"docs/reference/{name}.md").read_text(), re.MULTILINE)
}
TABLES = [page for page in pages() if page.path.startswith("docs/migration/")]


def unknown(text: str) -> list[str]:
    rows = [row.split("|")[2] for row in text.splitlines() if row.startswith("| `")]
    return [field for row in rows for field in re.findall(r"`([^`]+)`", row) if field not in FIELDS]


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.path)
def test_our_fields_exist(page: Page) -> None:
    assert unknown(page.text) == []


def test_a_field_that_we_do_not_have_is_found() -> None:
    assert unknown("| `a` | `autoscaling.minReplicas` | |") == ["autoscaling.minReplicas"]
