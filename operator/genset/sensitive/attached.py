"""Files that are attached as base64 are read if they are text: a table or a letter says what a message could say.

What kind of file it is says its beginning, because clients name kinds as they like. Pictures, sound, PDF and archives are
no text.
"""

from __future__ import annotations

import binascii
import codecs
from typing import Final

_LOOK: Final = 4096  # characters of base64 by whose bytes it is decided
_URL: Final = ";base64,"
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\f\x1b")
_PDF: Final = b"%PDF-"  # its first bytes read like text


def is_attached(text: str) -> bool:
    """Returns whether a string is a data URL of base64 (RFC 2397)."""
    return text.startswith("data:") and _URL in text[:128] and " " not in text


def attached_text(encoded: str) -> str:
    """Returns the text of a file, of which its base64 or a data URL with it is given; "" if it is no text."""
    begin = encoded.index(_URL) + len(_URL) if is_attached(encoded) else 0
    coding = _coding_of(_bytes_of(encoded[begin : begin + _LOOK]))
    return _bytes_of(encoded[begin:]).decode(coding, "replace") if coding else ""


def _bytes_of(encoded: str) -> bytes:
    """Returns the bytes, without the last ones if these are cut. Both alphabets are read (RFC 4648, 4 and 5)."""
    plain = encoded.replace("-", "+").replace("_", "/").rstrip("=\r\n")
    for end in (len(plain), len(plain) - 1):
        try:
            return binascii.a2b_base64(plain[:end] + "==")
        except ValueError:  # a single character is left, or characters of no alphabet
            continue
    return b""


def _coding_of(begin: bytes) -> str:
    """Returns in which coding a file is that begins so; "" if it is no text."""
    for mark, coding in _MARKS:
        if begin.startswith(mark):
            return coding
    if not begin or begin.startswith(_PDF) or any(byte < 32 and byte not in _TEXT_CONTROLS for byte in begin):
        return ""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)  # the last character may be cut
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
