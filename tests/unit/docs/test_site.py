"""The site is built without a network, has every page in its navigation, and fetches nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import site
from tools.pages import Page, pages

_FETCHES = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\bhref=\"?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(tmp_path_factory.mktemp("site"))


@pytest.mark.timeout(300)
def test_every_page_is_there_and_fetches_nothing(built: Path) -> None:
    there = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert {_html(page.path) for page in pages()} <= there
    assert [path.name for path in built.rglob("*.html") if _FETCHES.search(path.read_text())] == []


@pytest.mark.timeout(300)
def test_links_that_the_site_has_lead_to_files_of_it(built: Path) -> None:
    """A link to a sample or to the chart's values works for whoever has the site alone."""
    links = re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', (built / "index.html").read_text())
    assert [link for link in links if not (built / link).exists()] == []
    assert (built / "charts" / "genset" / "values.yaml").exists()
    assert (built / "manifests" / "samples" / "index.html").exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("link", ["gone.md", "docs/access.md#no-such-part"])
def test_a_dead_link_ends_the_build(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        site, "pages", lambda: (Page("README.md", f"# A\n\n[b]({link})\n"), Page("docs/access.md", "# B\n"))
    )
    monkeypatch.setattr(site, "_wanted", lambda: {"Home": ["README.md"], "More": ["docs/*.md"]})
    with pytest.raises(SystemExit, match="does not exist"):
        site.build(tmp_path)


def _html(path: str) -> str:
    folder, _, name = path.rpartition("/")
    name = "index.html" if name == "README.md" else name.removesuffix(".md") + ".html"
    return f"{folder}/{name}" if folder else name


def test_the_navigation_names_each_page_once() -> None:
    there = [page.path for page in pages()]
    assert sorted(_all(site.navigation(there, site._wanted()))) == sorted(there)


def _all(section: Any) -> Iterator[str]:
    for item in section.values() if isinstance(section, dict) else section:
        yield from [item] if isinstance(item, str) else _all(item)


def test_a_page_that_is_gone_or_has_no_place_is_said() -> None:
    with pytest.raises(SystemExit, match=r"names pages that do not exist: gone\.md"):
        site.navigation(["a.md"], {"A": ["a.md", "gone.md"]})
    with pytest.raises(SystemExit, match=r"has no place for b\.md"):
        site.navigation(["a.md", "b.md"], {"A": ["a.md"]})
