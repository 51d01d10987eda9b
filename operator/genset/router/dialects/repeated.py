"""Tells whether a key stands twice in an object of a body: readers differ in which of the two they take. Pure.

What was looked at is then not all that a server may read. The outermost object is looked at in each request (`http.bodies`); here
are those inside, for whoever has to know all that bytes say.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.native import tree_of

#: Stands for what cannot be read, as tokens in place of text do.
UNREADABLE: Final[dict[str, Any]] = {"input": [0]}
_BEFORE_COLON: Final = (b'":', b" :", b"\n:", b"\t:", b"\r:")  # what a key may end with


def said_in(raw: bytes, tree: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns what a body says, whoever reads it; UNREADABLE if readers differ. `tree` was read from it, if it was."""
    found = tree_of(raw) if tree is None else tree
    keys = _keys_in(found)
    at_most = sum([raw.count(end) for end in _BEFORE_COLON])  # text may hold some, too
    return found if at_most == keys or _keys_of(raw) == keys else UNREADABLE


def _keys_of(raw: bytes) -> int:
    """Counts the keys in JSON: strings behind which a colon stands."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    return sum(outside.lstrip()[:1] == b":" for outside in plain.split(b'"')[2::2])


def _keys_in(tree: dict[str, Any]) -> int:
    count = 0
    left: list[Any] = [tree]
    while left:
        value = left.pop()
        if type(value) is dict:
            count += len(value)
            left += value.values()
        elif type(value) is list:
            left += value
    return count
