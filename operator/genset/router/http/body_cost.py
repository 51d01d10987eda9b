"""Returns what it costs to parse the JSON of a request, before it is parsed. Pure.

A tree of Python objects can be sixty times as large as its text (`[[],[],…]`), so a body out of proportion is refused. The
cost is counted roughly first, and exactly only if it looks like too much.
"""

from __future__ import annotations

import re
from typing import Final

#: What the tree of a body may cost beside the text of its strings: this, and so much per byte, and never more than that.
TREE_FREE_BYTES: Final = 1024 * 1024
TREE_BYTES_PER_BYTE: Final = 16
TREE_MOST_BYTES: Final = 64 * 1024 * 1024
_WINDOW: Final = 64 * 1024  # looked at exactly at once
_ESCAPE: Final = 12  # bytes of an escaped pair of surrogates, which a window must not cut

#: CPython 3.11 to 3.13 on 64 bits, measured: an object of one entry, an entry, a list, a number and its place.
_OBJECT: Final = 128
_ENTRY: Final = 64
_LIST: Final = 64
_ITEM: Final = 40

_WIDE: Final = b"\xf0\xf1\xf2\xf3\xf4"  # beyond the basic plane: such a string has 4 bytes per character
_NOT_LATIN: Final = bytes(range(0xC4, 0xF0))  # 2 bytes per character
_NOT_LATIN_ESCAPE: Final = re.compile(rb"\\u(?!00)")


class RefusedBody(Exception):
    """The body is JSON, or may be, and is not taken. The text says why, and which limit it is."""


def most_tree_bytes(size: int) -> int:
    """Returns how many bytes the tree of a body of `size` bytes may cost beside the text of its strings."""
    return min(TREE_MOST_BYTES, TREE_FREE_BYTES + TREE_BYTES_PER_BYTE * size)


def tree_bytes(body: bytes) -> int:
    """Bounds what the tree costs beside the text of its strings, in bytes; exactly only if it looks like too much."""
    most = most_tree_bytes(len(body))
    commas, objects, lists = body.count(b","), body.count(b"{"), body.count(b"[")
    # An entry is the first of its object, or comes behind a comma.
    rough = (_ITEM + _ENTRY) * commas + (_OBJECT + _ENTRY) * objects + _LIST * lists
    return rough if rough <= most else _exact_tree_bytes(body, most)


def parsing_bytes(body: bytes) -> int:
    """Returns how many bytes parsing needs beside the body: for the parser's copy, and for the tree with its strings.

    Raises RefusedBody if the tree would be out of proportion.
    """
    size = len(body)
    tree = tree_bytes(body)
    if tree > most_tree_bytes(size):
        raise RefusedBody(
            "the body holds too many values: lists, objects and numbers may take "
            f"{TREE_FREE_BYTES >> 20} MiB and {TREE_BYTES_PER_BYTE} bytes per byte of the body, "
            f"at most {TREE_MOST_BYTES >> 20} MiB"
        )
    # Beside the tree there is first the parser's copy with 16 bytes per value, later the body that goes to a backend.
    return size + _text_bytes(body) + tree + tree // 2


def _text_bytes(body: bytes) -> int:
    """Bounds what the strings of a body take, in bytes. One wide character makes all of its string wide (PEP 393)."""
    size = len(body)
    if body.isascii() and b"\\u" not in body:
        return size
    widths: list[int] = []
    ends: list[bool] = []  # whether a string ends in the window
    for at in range(0, size, _WINDOW):
        window = body[at : at + _WINDOW + _ESCAPE]
        width = 1
        if not window.isascii() or b"\\u" in window:
            width = _width(window)
        widths.append(width)
        ends.append(b'"' in window.replace(b"\\\\", b"").replace(b'\\"', b""))
    reached = list(widths)
    for order in (range(len(widths)), range(len(widths) - 1, -1, -1)):
        carried = 1  # by a string that comes from the window before
        for number in order:
            reached[number] = max(reached[number], carried)
            carried = widths[number] if ends[number] else reached[number]
    # What is not ASCII is kept once more, as UTF-8, when it has been written.
    return sum((width + 1) * _WINDOW for width in reached)


def _width(window: bytes) -> int:
    """Returns how many bytes a character takes in a string that holds this. Deleted bytes are found faster than searched ones."""
    escapes = b"\\u" in window
    if len(window.translate(None, _WIDE)) < len(window) or (escapes and (b"\\ud" in window or b"\\uD" in window)):
        return 4
    if len(window.translate(None, _NOT_LATIN)) < len(window) or (escapes and _NOT_LATIN_ESCAPE.search(window)):
        return 2
    return 1


def _exact_tree_bytes(body: bytes, most: int) -> int:
    """Counts the cost without what stands in strings, window by window, until it is more than `most`."""
    cost, at, size, inside = 0, 0, len(body), False
    while at < size and cost <= most:
        window = body[at : at + _WINDOW]
        if (len(window) - len(window.rstrip(b"\\"))) & 1:  # cut within an escape
            window = body[at : at + _WINDOW + 1]
        at += len(window)
        parts = window.replace(b"\\\\", b"__").replace(b'\\"', b"__").split(b'"')
        bare = b"".join(parts[1 if inside else 0 :: 2])
        inside ^= not len(parts) & 1
        cost += _OBJECT * bare.count(b"{") + _ENTRY * bare.count(b":")
        cost += _LIST * bare.count(b"[") + _ITEM * bare.count(b",")
    return cost
