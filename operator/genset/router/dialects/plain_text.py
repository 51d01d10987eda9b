"""Reads what a server says to people instead of JSON: the error page of a proxy or a firewall. Pure.

It takes time in proportion to what it reads, and reads no more than `READ_BYTES`: an attacker may have written the page.
"""

from __future__ import annotations

import html
import re
from typing import Final

READ_BYTES: Final = 8 * 1024  # of a page; what went wrong stands at its beginning

_TAG: Final = re.compile(r"<([a-zA-Z/!?][^<>]*)>")
_NAME: Final = re.compile(r"/?\s*([a-zA-Z0-9]+)")
_UNSEEN: Final = ("script", "style")
_PAGES: Final = (b"<!doctype", b"<html", b"<?xml")


def is_page(text: bytes) -> bool:
    """Returns whether a text begins as an HTML or XML page does, and as no answer would."""
    return text[:9].lower().startswith(_PAGES)


def plain_text(page: bytes) -> str:
    """Returns the words of a page on one line, without markup, scripts and control characters."""
    text = page[:READ_BYTES].decode("utf-8", "replace")
    if "<" in text:
        text = text.replace("<![CDATA[", " ").replace("]]>", " ")  # XML: text, although it looks like a tag
        text = html.unescape(" ".join(_seen(_TAG.split(text))))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _seen(parts: list[str]) -> list[str]:
    """Returns the texts that a browser would show. `parts`: text and tag in turns."""
    seen: list[str] = []
    unseen = ""  # the element that hides what is inside it
    for number, part in enumerate(parts):
        if number & 1 == 0:
            if not unseen:
                seen.append(part)
            continue
        found = _NAME.match(part)
        name = found[1].lower() if found is not None else ""
        if unseen:
            if part.startswith("/") and name == unseen:
                unseen = ""
        elif name in _UNSEEN and not part.startswith("/"):
            unseen = name
    return seen
