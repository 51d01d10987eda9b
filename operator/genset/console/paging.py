"""Long tables are searched and shown page by page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

ROWS: Final = 50  # of one page
_QUERY_CHARACTERS: Final = 200
Row = TypeVar("Row")


@dataclass(frozen=True)
class AskedPage:
    """This is what somebody wants to see: rows that hold all words of `search`, and which page of them, from 1."""

    search: str = ""
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> AskedPage:
        """Reads a URL's query. Whatever makes no sense there is left out."""
        page = query.get("page", "1")
        return cls(
            query.get("q", "")[:_QUERY_CHARACTERS].strip(), int(page) if page.isdecimal() and len(page) < 7 else 1
        )


@dataclass(frozen=True)
class PageOf(Generic[Row]):
    """A page has some of the rows that were found, `found` in all, of `every` that there are."""

    rows: Sequence[Row]
    asked: AskedPage
    page: int
    pages: int
    found: int
    every: int

    @property
    def first(self) -> int:
        """Returns the place of the page's first row, from 1; 0 without any."""
        return (self.page - 1) * ROWS + 1 if self.found else 0


def page_of(rows: Iterable[Row], asked: AskedPage, text: Callable[[Row], str]) -> PageOf[Row]:
    """Returns the page that was asked for, or the last one. `text`: what is searched of a row."""
    every = list(rows)
    words = asked.search.casefold().split()
    found = [row for row in every if _holds(text(row).casefold(), words)] if words else every
    pages = max(1, -(-len(found) // ROWS))
    page = min(max(1, asked.page), pages)
    return PageOf(found[(page - 1) * ROWS : page * ROWS], asked, page, pages, len(found), len(every))


def _holds(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)
