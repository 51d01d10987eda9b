"""Text is brought into one form before it is looked at, so that the same number written otherwise is the same number.

Digits of all scripts become 0 to 9, wide letters narrow ones, every space and dash the plain one; what has no width goes. Escapes
of JSON and of programs are read, and characters by their numbers in HTML. What addresses have encoded, and Greek and Cyrillic
letters that look like Latin ones beside digits, are read in a second copy, because that may be wrong. Not undone: base64 in text.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from functools import lru_cache
from typing import Final

#: As JSON writes a character, or a line's end, inside a string; with more strokes where JSON stands in JSON. Python and
#: JavaScript also write `\x40` and `\u{40}`.
_ESCAPE: Final = re.compile(r"\\{1,8}(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|u\{0{0,6}([0-9a-fA-F]{1,5})\}|[nrt])")
_HALF: Final = re.compile("[\ud800-\udfff]")
_ENTITY: Final = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|nbsp|ensp|emsp|thinsp|shy|commat);")
_PERCENT: Final = re.compile("(?:%[0-9a-fA-F]{2})+")
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
#: Letters of no width or form that Unicode does not call so: fillers of Hangul.
_FILLERS: Final = "\u115f\u1160\u3164\uffa0"
_BRAILLE_BLANK: Final = "\u2800"
#: Greek and Cyrillic capitals, and what they look like.
_ALIKE: Final = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕЅІЈКМНОРСТХ", "ABEZHIKMNOPTYXABESIJKMHOPCTX", strict=True))
_LOOKS: Final = f"[{''.join(_ALIKE)}]"
_BESIDE_DIGITS: Final = re.compile(rf"{_LOOKS}[A-Z]{{0,3}} ?[0-9]|[0-9] ?[A-Z]{{0,3}}{_LOOKS}")
_AS_LATIN: Final = str.maketrans(_ALIKE)


def normal(text: str) -> bytes:
    """Returns the text as UTF-8 in one form. Its length is bounded by a constant factor of what is given."""
    if "\\" in text:
        text = _ESCAPE.sub(_read, text)
        if _HALF.search(text) is not None:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity.group()), text)
    if "%" in text and _PERCENT.search(text) is not None:
        text = f"{text}\n{_PERCENT.sub(_decoded, text.replace('+', ' '))}"
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_table())
        if _BESIDE_DIGITS.search(text) is not None:
            text = f"{text}\n{text.translate(_AS_LATIN)}"
    return text.encode("utf-8", "replace")


def _read(escape: re.Match[str]) -> str:
    """Returns what an escape means; for a line's end or a tab a line's end, which stands between groups as a blank does."""
    code = escape.group(1) or escape.group(2) or escape.group(3)
    return chr(int(code, 16)) if code else "\n"


def _decoded(encoded: re.Match[str]) -> str:
    """Returns the characters that stand encoded in an address (RFC 3986, 2.1)."""
    return bytes.fromhex(encoded.group().replace("%", "")).decode("utf-8", "replace")


@lru_cache(1)
def _table() -> dict[int, str | None]:
    """Returns what each character of note is written as; None: not at all."""
    table: dict[int, str | None] = {}
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        kind = unicodedata.category(character)
        if kind in ("Nd", "No") and (digit := unicodedata.digit(character, None)) is not None:
            table[code] = str(digit)  # those in circles, too
        elif kind in ("Cf", "Mn", "Me"):  # no width: joiners, marks of direction, accents and frames on their own
            table[code] = None
        elif kind in ("Zs", "Zl", "Zp"):
            table[code] = " "
    table.update((ord(filler), None) for filler in _FILLERS)
    table[ord(_BRAILLE_BLANK)] = " "
    table.update((ord(dash), "-") for dash in _DASHES)
    return table
