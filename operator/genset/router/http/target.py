"""Finds the path that a request line asks for: without scheme, host and query, its percent-escapes decoded. Pure.

Source: RFC 9112, 3.2 (the forms of a target) and RFC 3986, 2.1 (escapes). Dot segments stay as they are: paths are only
looked up, so `/v1/x/../models` and its escaped spellings are no other path's name.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
#: uri-host [":" port] (RFC 9110, 7.2), loosely: what is not in it is in no host's name.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?")


def path_of(target: bytes) -> bytes | None:
    """Returns the decoded path; None if the target has none, or one that is malformed."""
    if not target.startswith(b"/"):
        found = _ABSOLUTE.match(target)
        if found is None:
            return target if target == b"*" else None
        target = target[found.end() :]
        if not target.startswith(b"/"):
            target = b"/" + target
    path = target.partition(b"#")[0].partition(b"?")[0]
    if b"%" not in path:  # almost always
        return path
    if _NO_ESCAPE.search(path):
        return None
    path = unquote_to_bytes(path)
    return None if _CONTROL.search(path) else path


def is_host(value: bytes) -> bool:
    """Returns whether this can be the value of a Host header."""
    return _HOST.fullmatch(value) is not None
