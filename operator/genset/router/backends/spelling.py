"""A spelling is one of the ways in which servers write bytes that they quote; this module finds bytes in all of them.

Quoted bytes are escaped for URLs, JSON and HTML, once or several times, in parts, and with gaps if a page breaks lines.
`plain_views` tells quickly, and for any number of keys at once, whether something may be there; only then `walked`
follows one key byte by byte from one place on. Pure.
"""

from __future__ import annotations

import re
from functools import cache
from html.entities import html5
from typing import Final

MOST_LAYERS: Final = 4  # levels of escapes within escapes that are looked through
_STRIDE: Final = 64  # bytes of a key that are compared at once if they are not escaped

_NAMES: Final = {name[:-1].encode(): ord(sign) for name, sign in html5.items() if name[-1] == ";" and len(sign) == 1}
_PERCENT: Final = rb"(?:%%|\\+u0025)(?:25)*%b"
_AMPERSAND: Final = rb"(?:&|\\+u0026|%(?:25)*26)(?:amp;)*"
_ESCAPE: Final = re.compile(
    rb"%(?:25)*([0-9a-fA-F]{2})|\\+(?:u00|x)([0-9a-fA-F]{2})"
    rb"|&(?:amp;)*(?:#0*([0-9]{1,5});?|#[xX]0*([0-9a-fA-F]{1,4});?|(\w{2,16});)"
)
#: What may stand inside a key that a page has broken: blanks, also escaped, tags, and characters without width.
_GAP_ONE: Final = (
    rb"\s|\\+[nrt]|<[^<>]{0,64}>|\\+u003[cC][^<>\\]{0,64}\\+u003[eE]|&(?:shy|nbsp|ZeroWidthSpace|#173|#8203|#160);"
    rb"|\xe2\x80\x8b|\xc2\xad|\xc2\xa0"
)
_GAP: Final = re.compile(rb"(?:%b){1,16}" % _GAP_ONE)
_TAG: Final = re.compile(rb"<[^<>]{0,64}>")
_ESCAPED_BLANK: Final = re.compile(rb"\\+[nrt]")
_WIDE_GAP: Final = re.compile(rb"\xe2\x80\x8b|\xc2[\xad\xa0]")
_DROPPED: Final = b" \t\r\n\f\v\\"
_SPECIAL: Final = re.compile(rb"[%\\&<>\s\x80-\xff]")
_STUB: Final = re.compile(rb"(?:%[0-9a-fA-F]?|\\+(?:u?[0-9a-fA-F]{0,3}|x.?)|&[#\w]{0,16})?\Z")


def is_plain(key: bytes) -> bool:
    """Returns whether no byte of the key can be mistaken for a part of an escape or of a gap."""
    return _SPECIAL.search(key) is None


def plain_views(data: bytes) -> list[bytes]:
    """Returns the data as it is, and without escapes and gaps.

    Whatever `walked` finds of a plain key stands in one of these views.
    """
    views = [data]
    if _SPECIAL.search(data) is None:
        return views
    text = data
    for _ in range(MOST_LAYERS):
        before = text
        text = _ESCAPE.sub(_unescaped, text)
        if text == before:
            break
    for bare in (text, _ESCAPED_BLANK.sub(b"", data)) if b"\\" in data else (text,):
        bare = _WIDE_GAP.sub(b"", bare).translate(None, _DROPPED)
        views.append(bare)
        if b"<" in bare:
            views.append(_TAG.sub(b"", bare))
    return views


def start_of(byte: int, data: bytes, at: int) -> int:
    """Returns where this byte may begin next, in any spelling; -1 if nowhere."""
    found = _any_spelling(byte).search(data, at)
    return found.start() if found is not None else -1


def walked(key: bytes, data: bytes, at: int) -> tuple[int, int]:
    """Returns how many bytes of the key stand at `at`, in any spelling, and where they end."""
    places = [at]
    count = 0
    while count < len(key):
        if len(places) == 1:
            place = places[0]
            stride = key[count : count + _STRIDE]
            if len(stride) == _STRIDE and data[place : place + _STRIDE] == stride:
                places = [place + _STRIDE]
                count += _STRIDE
                continue
        byte = key[count]
        following = _ends(byte, data, places)
        if not following and count:
            gaps = [_GAP.match(data, place) for place in places]
            following = _ends(byte, data, [gap.end() for gap in gaps if gap is not None])
        if not following:
            break
        places = following
        count += 1
    return count, max(places)


def is_stub(data: bytes, at: int) -> bool:
    """Returns whether the data ends at `at`, except perhaps for a part of an escape."""
    return _STUB.match(data, at) is not None


def _ends(byte: int, data: bytes, places: list[int]) -> list[int]:
    """Returns where the byte ends if it begins at one of these places, as it is or escaped."""
    ends: set[int] = set()
    for place in places:
        if data[place : place + 1] == b"%c" % byte:
            ends.add(place + 1)
        if data[place : place + 1] in (b"%", b"\\", b"&"):
            # All are tried, because an escaped & may be the byte itself, or begin its escape.
            for escape in _escaped(byte):
                found = escape.match(data, place)
                if found is not None:
                    ends.add(found.end())
    return sorted(ends)


@cache
def _escaped(byte: int) -> list[re.Pattern[bytes]]:
    return [re.compile(escape) for escape in _escapes(byte)]


@cache
def _any_spelling(byte: int) -> re.Pattern[bytes]:
    return re.compile(b"|".join((re.escape(b"%c" % byte), *_escapes(byte))))


def _escapes(byte: int) -> list[bytes]:
    """Returns regular expressions for all escapes of a byte, in either case of their letters."""
    digits = "".join(f"[{digit}{digit.upper()}]" for digit in f"{byte:02x}").encode()
    names = [name for name, code in _NAMES.items() if code == byte]
    numbers = [b"#0*%d;?" % byte, b"#[xX]0*%b;?" % digits.removeprefix(b"[00]"), *(b"%b;" % name for name in names)]
    found = [_PERCENT % digits, rb"\\+(?:u00|x)%b" % digits, b"%b(?:%b)" % (_AMPERSAND, b"|".join(numbers))]
    sign = b"%c" % byte
    if not sign.isalnum():
        found += [rb"\\+(?:%b)" % other for other in (re.escape(sign), found[0], found[2])]
    return found


def _unescaped(found: re.Match[bytes]) -> bytes:
    percent, json, decimal, hexadecimal, name = found.groups()
    if percent or json:
        return bytes.fromhex((percent or json).decode())
    code = _NAMES.get(name, 0) if name else int(decimal) if decimal else int(hexadecimal, 16)
    if name and not code:
        return found[0]
    return b"%c" % code if code < 0x80 else chr(code).encode("utf-8", "replace") if code < 0xD800 else b""
