"""Every link of a page leads to a file that exists, and to a heading of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import pytest

from tools.pages import ROOT, Page, pages, slug

PAGES = {page.path: page for page in pages()}


def dead(page: Page, others: Mapping[str, Page]) -> Iterator[str]:
    """Yields what is wrong with the links of a page, as whoever follows one would say it."""
    for link in page.links:
        path = resolved(page.path, link.target)
        where = f"{page.path}:{link.line}: {link.target}{'#' + link.anchor if link.anchor else ''}"
        if path is None or not (path in others or (ROOT / path).exists()):
            yield f"{where} leads nowhere"
        elif link.anchor and path not in others:
            yield f"{where} names a part of what is no page"
        elif link.anchor and (headings := others[path].anchors.get(link.anchor, 0)) != 1:
            yield f"{where}: {headings or 'no'} headings of {path} are called so"


def resolved(page: str, target: str) -> str | None:
    """Returns the path in the repository that a link means, or None if it leaves the repository."""
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / target).parts if target else PurePosixPath(page).parts:
        if part != "..":
            parts.append(part)
        elif not parts:
            return None
        else:
            parts.pop()
    return "/".join(parts)


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str) -> None:
    assert list(dead(PAGES[path], PAGES)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](gone.md)", "leads nowhere"),
        ("[a](../../outside.md)", "leads nowhere"),
        ("[a](other.md#no-such-part)", "no headings of docs/other.md"),
        ("[a](other.md#twice)", "2 headings of docs/other.md"),
        ("[a](#nothing)", "no headings of docs/here.md"),
        ("[a](../LICENSE#terms)", "names a part of what is no page"),
        ("[a][b]\n\n[b]: gone.md", "leads nowhere"),
        ("![a](picture.svg)", "leads nowhere"),
        ('<img src="picture.svg">', "leads nowhere"),
        ("| [`a`](gone.md) |", "leads nowhere"),
        ("`code` [of\ntwo lines](gone.md)", "leads nowhere"),
    ],
)
def test_a_dead_link_is_found(text: str, said: str) -> None:
    other = Page("docs/other.md", "# Other\n\n## Twice\n\n## Twice\n")
    here = Page("docs/here.md", f"# Here\n\n{text}\n")
    assert [said in told for told in dead(here, {here.path: here, other.path: other})] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "`[a](gone.md)`", "``a ` [b](gone.md)``", "```yaml\n[a](gone.md)\n```", "    \n  ```sh\n  [a](gone.md)\n  ```",
        "[a](https://example.com/#part)", "[a](mailto:me@corp.example)", "[a](#here)",
        "[a](other.md#one--two)", "[a](../LICENSE)",
    ],
)  # fmt: skip
def test_what_is_no_dead_link(text: str) -> None:
    other = Page("docs/other.md", "# Other\n\n## One & `two`\n")
    here = Page("docs/here.md", f"# Here\n\n{text}\n")
    assert list(dead(here, {here.path: here, other.path: other})) == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What it is", "what-it-is"),
        ("`genset plan`: sizes, and `status.size`", "genset-plan-sizes-and-statussize"),
        ("See [pods](pods.md)", "see-pods"),
        ("Größe & Maß_e", "größe--maß_e"),
    ],
)
def test_an_anchor_is_what_forges_make_of_a_heading(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor
