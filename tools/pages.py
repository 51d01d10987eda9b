"""What the Markdown of this repository holds: its pages, their links, anchors and blocks of code.

It reads the part of Markdown that these pages use, and no more; what it takes for an anchor is what forges and `make site`
make of a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^( *)(```+)([A-Za-z0-9]*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|^\[[^\]]+\]: +(\S+)", re.MULTILINE)
_IMAGE = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
_NAMED = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
_FOREIGN = re.compile(r"[a-z][a-z0-9+.-]*:")


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `line` is that of its first line, `language` is empty if none is named."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Link:
    """A link inside the repository: `target` is a path beside the page, empty if the link stays on the page."""

    line: int
    target: str
    anchor: str


@dataclass(frozen=True)
class Page:
    """A Markdown file, by its path in the repository."""

    path: str
    text: str

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self._blocks())

    @cached_property
    def prose(self) -> str:
        """The text without any code; every line stays where it was."""
        return _CODE.sub(lambda found: _blank(found[0]), self._unfenced)

    @cached_property
    def codes(self) -> tuple[tuple[int, str], ...]:
        """Code in the midst of prose, each with its line."""
        found = _CODE.finditer(self._unfenced)
        return tuple((self._unfenced.count("\n", 0, code.start()) + 1, " ".join(code[2].split())) for code in found)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return tuple(self._links())

    @cached_property
    def anchors(self) -> Mapping[str, int]:
        """What a link may name behind `#`, and how often a heading makes it: the second one is called otherwise."""
        found: dict[str, int] = {}
        for heading in _HEADING.finditer(self._unfenced):
            anchor = slug(heading[2])
            found[anchor] = found.get(anchor, 0) + 1
        return found | dict.fromkeys(_NAMED.findall(self._unfenced), 1)

    @cached_property
    def title(self) -> str:
        heading = _HEADING.search(self._unfenced)
        return heading[2] if heading else self.path

    @cached_property
    def _unfenced(self) -> str:
        return _FENCE.sub(lambda found: _blank(found[0]), self.text)

    def _blocks(self) -> Iterator[Block]:
        for found in _FENCE.finditer(self.text):
            indent, line = len(found[1]), self.text.count("\n", 0, found.start()) + 2
            lines = (text[indent:] if text[:indent].isspace() else text for text in found[4].splitlines())
            yield Block(self.path, line, found[3], "\n".join(lines) + "\n")

    def _links(self) -> Iterator[Link]:
        for pattern in (_LINK, _IMAGE):
            for found in pattern.finditer(self.prose):
                whole = next(group for group in found.groups() if group)
                if not _FOREIGN.match(whole):
                    target, _, anchor = whole.partition("#")
                    yield Link(self.prose.count("\n", 0, found.start()) + 1, target, anchor)


def _blank(text: str) -> str:
    return "".join(char if char == "\n" else " " for char in text)


def slug(heading: str) -> str:
    """Returns the anchor of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link counts by its words
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def pages() -> tuple[Page, ...]:
    """Every page of the repository that people read, README first."""
    top = [ROOT / "README.md", *sorted(ROOT.glob("*.md"))]
    below = [path for folder in ("docs", "manifests", "charts") for path in sorted((ROOT / folder).rglob("*.md"))]
    return tuple(Page(path.relative_to(ROOT).as_posix(), path.read_text()) for path in dict.fromkeys([*top, *below]))
