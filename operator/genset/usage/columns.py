"""Tables for people have columns as wide as their widest cell. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Returns a line of text for each line of cells: the first `left` columns to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def shown(line: Sequence[str]) -> str:
        cells = enumerate(zip(line, widths, strict=True))
        return "  ".join(c.ljust(w) if place < left else c.rjust(w) for place, (c, w) in cells).rstrip()

    return [shown(line) for line in lines]
