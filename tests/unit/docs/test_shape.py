"""Pages read alike on a forge and on the site, whose Markdown begins a table, list or heading only behind an empty line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tools.pages import Page, pages

_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
_COMMENT = re.compile(r"<!--.*-->$")  # of generators: the site leaves them out


def joined(page: Page) -> Iterator[str]:
    """Yields lines that the site would take for a part of what stands above them."""
    lines = [("" if _COMMENT.match(line) else line) for line in page.prose.split("\n")]
    for number, (above, line) in enumerate(pairwise(lines), 2):
        in_list = _ITEM.match(above) or above.startswith(" ")
        heading, above_heading = re.match("#{1,6} ", line), above.startswith("#")
        if above.startswith("|") and line.strip() and not line.startswith("|"):
            yield f"{page.path}:{number} is a row of the table above it"
        elif _ITEM.match(line) and above.strip() and not in_list and not above_heading:
            yield f"{page.path}:{number} is no list, but text of the paragraph above it"
        elif line.startswith("|") and above.strip() and not above.startswith("|"):
            yield f"{page.path}:{number} is no table, but text of the paragraph above it"
        elif heading and above.strip():
            yield f"{page.path}:{number} is a heading only on some forges"
        elif re.match(r" {1,3}(?:[-*]|\d+\.) ", line):
            yield f"{page.path}:{number} is a list of its own: four blanks put it into the item above"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.path)
def test_everything_begins_behind_an_empty_line(page: Page) -> None:
    assert list(joined(page)) == []


@pytest.mark.parametrize(
    "text",
    ["| a |\n|---|\n| b |\n## Next", "Two things:\n- one", "Text\n| a |\n|---|", "Text\n# Heading", "- a\n  - b"],
)
def test_what_runs_into_another_is_found(text: str) -> None:
    assert len(list(joined(Page("page.md", text)))) == 1
