"""Text is brought into one form before it is looked at, so that the same number written otherwise is the same number.

Digits of all scripts become 0 to 9, wide letters narrow ones, every space and dash the plain one; what has no width goes. Escapes
of JSON inside tool arguments are read, and blanks of HTML. Not undone: base64, percent-encoding, look-alike letters.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from typing import Final

#: As JSON writes a character, or a line's end, inside a string; with more strokes where JSON stands in JSON.
_ESCAPE: Final = re.compile(r"\\{1,8}(?:u([0-9a-fA-F]{4})|[nrt])")
_HALF: Final = re.compile("[\ud800-\udfff]")
_ENTITY: Final = re.compile("&(?:nbsp|#160|#x[aA]0);")
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"


def normal(text: str) -> bytes:
    """Returns the text as UTF-8 in one form. Its length is bounded by a constant factor of what is given."""
    if "\\" in text:
        text = _ESCAPE.sub(_read, text)
        if _HALF.search(text) is not None:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "&" in text:
        text = _ENTITY.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_table())
    return text.encode("utf-8", "replace")


def _read(escape: re.Match[str]) -> str:
    """Returns what an escape means; for a line's end or a tab a line's end, which stands between groups as a blank does."""
    code = escape.group(1)
    return chr(int(code, 16)) if code else "\n"


@lru_cache(1)
def _table() -> dict[int, str | None]:
    """Returns what each character of note is written as; None: not at all."""
    table: dict[int, str | None] = {}
    for code in range(0x80, sys.maxunicode + 1):
        kind = unicodedata.category(chr(code))
        if kind == "Nd":
            table[code] = str(unicodedata.decimal(chr(code)))
        elif kind in ("Cf", "Mn"):  # no width: joiners, marks of direction, accents on their own
            table[code] = None
        elif kind in ("Zs", "Zl", "Zp"):
            table[code] = " "
    table.update((ord(dash), "-") for dash in _DASHES)
    return table
