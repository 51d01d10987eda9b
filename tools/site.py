"""Builds the documentation site: `python tools/site.py FOLDER` writes it into FOLDER/site, without any network.

Pages keep their places in the repository, so that a link leads to the same file on a forge and on the site: files that pages
link to (samples, the chart's values) come along, and a folder that is linked gets a list of its files.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tools.pages import ROOT, Page, pages

NAVIGATION = ROOT / "docs" / "navigation.yaml"
_COMMENT = re.compile(r"^<!--.*-->$", re.MULTILINE)  # of generators; behind a table the site would make a row of it
# Fonts would come from Google's servers. Anchors are those of forges, which `tools.pages.slug` makes, too.
CONFIGURATION = """\
[project]
site_name = "genset"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}
[project.theme]
font = false
features = ["navigation.indexes", "navigation.top", "content.code.copy", "search.highlight"]
[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
[project.markdown_extensions.toc]
permalink = true
slugify = {{object = "pymdownx.slugs.slugify", kwds = {{case = "lower"}}}}
[project.markdown_extensions.tables]
[project.markdown_extensions.md_in_html]
[project.markdown_extensions.pymdownx.highlight]
[project.markdown_extensions.pymdownx.superfences]
"""


def navigation(paths: list[str], wanted: dict[str, Any]) -> dict[str, Any]:
    """Returns the sections with every page in one of them. A page that is named goes before any pattern that fits it."""
    named = {entry for entry in _entries(wanted) if "*" not in entry}
    if missing := sorted(named - set(paths)):
        raise SystemExit(f"{NAVIGATION.name} names pages that do not exist: {', '.join(missing)}")
    left = [path for path in paths if path not in named]
    sections = _filled(wanted, left)
    if left:
        raise SystemExit(f"{NAVIGATION.name} has no place for {', '.join(left)}")
    return sections


def _wanted() -> dict[str, Any]:
    wanted: dict[str, Any] = yaml.safe_load(NAVIGATION.read_text())
    return wanted


def _entries(section: Any) -> Iterator[str]:
    for item in section.values() if isinstance(section, dict) else section:
        if isinstance(item, str):
            yield item
        else:
            yield from _entries(item)


def _filled(section: Any, left: list[str]) -> Any:
    if isinstance(section, dict):
        filled = {title: _filled(inner, left) for title, inner in section.items()}
        return {title: inner for title, inner in filled.items() if inner}
    found = []
    for entry in section:
        fitting = [path for path in left if PurePosixPath(path).match(entry)] if "*" in entry else [entry]
        if "**" in entry:
            fitting = [path for path in left if fnmatch(path, entry)]
        found += fitting
        left[:] = [path for path in left if path not in fitting]
    return found


def _toml(section: Any) -> str:
    """Writes sections as TOML's inline tables; strings of JSON are strings of TOML."""
    if isinstance(section, dict):
        return "[" + ", ".join(f"{{{json.dumps(title)} = {_toml(inner)}}}" for title, inner in section.items()) + "]"
    return json.dumps(section, ensure_ascii=False)


def gather(folder: Path) -> None:
    """Writes what the generator builds from: configuration, pages, and what they link to."""
    shutil.rmtree(folder, ignore_errors=True)
    every = pages()
    for page in every:
        _write(folder / "pages" / page.path, _COMMENT.sub("", page.text))
    for path in sorted({path for page in every for path in _beside(page)}):
        if path.is_file():
            _copy(path, folder)
        elif not (path / "README.md").exists():
            _write(folder / "pages" / path.relative_to(ROOT) / "README.md", _listing(path))
            for file in _files(path):
                _copy(file, folder)
    nav = _toml(navigation([page.path for page in every], _wanted()))
    (folder / "zensical.toml").write_text(CONFIGURATION.format(nav=nav))


def _beside(page: Page) -> Iterator[Path]:
    """Yields files and folders of the repository that a page links to, apart from pages."""
    for link in page.links:
        path = ((ROOT / page.path).parent / link.target).resolve()
        if link.target and path.exists() and path.suffix != ".md":
            yield path


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".md"]


def _listing(folder: Path) -> str:
    lines = [f"- [{path.name}]({path.name})" for path in _files(folder)]
    return f"# {folder.relative_to(ROOT)}\n\n" + "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _copy(path: Path, folder: Path) -> None:
    to = folder / "pages" / path.relative_to(ROOT)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)  # as it is: it may be a picture


def build(folder: Path) -> Path:
    """Builds the site and returns its folder; a dead link or a missing anchor ends the program."""
    gather(folder)
    command = [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr).partition("Traceback")[0] + "The site was not built")
    return folder / "site"


if __name__ == "__main__":
    print(f"The site is in {build(Path(sys.argv[1]).resolve())}/index.html: open it in a browser")
