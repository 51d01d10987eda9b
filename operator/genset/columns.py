"""Tables on a terminal are lines of cells, each column as wide as its widest cell. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """Returns the text without what a terminal would obey: names and messages may be a stranger's."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)


def aligned(lines: Sequence[Sequence[str]], *, words: int | None = None) -> list[str]:
    """Returns the lines with their columns aligned, two blanks between them. All lines have as many cells.
    What is not printable is shown as U+FFFD.

    `words`: so many of the first columns hold words, which begin at the left; the others hold numbers, which end at the right.
    None: all of them hold words.
    """
    lines = [[printable(cell) for cell in line] for line in lines]
    if not lines:
        return []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = len(widths) if words is None else words
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
