"""Tables on a terminal are lines of cells, each column as wide as its widest cell. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Control characters, other ends of lines, what turns the direction of writing around, and halves of characters.
_ORDERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """Returns the text without what a terminal would obey: names, messages and answers may be a stranger's.

    `lines`: ends of lines and tabs stay.
    """
    return _ORDERS.sub(lambda found: found[0] if lines and found[0] in "\n\t" else "\ufffd", text)


def aligned(lines: Sequence[Sequence[str]], *, words: int | None = None) -> list[str]:
    """Returns the lines with their columns aligned, two blanks between them. All lines have as many cells.
    What a terminal would obey is shown as U+FFFD.

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
