"""Reads and writes the JSON that orjson refuses, and that other readers and writers let through. Pure.

Model servers cut their text anywhere: an emoji in two halves gives `"\\ud83d"`, and a token of raw bytes gives bytes that are no
UTF-8. Both arrive in events that a client can read, so neither makes an event garbage. Event streams are decoded with
replacement anyway (WHATWG HTML, 9.2.5), and so are whole answers in most clients.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import orjson

_LONG_DIGITS: Final = b"0" * 19  # every number of fewer digits fits into 64 bits
_DIGITS: Final = bytes(ord("0") if chr(byte) in "123456789" else byte for byte in range(256))
_loads: Final = orjson.loads
_dumps: Final = orjson.dumps


def loads(data: bytes) -> Any:
    """Reads JSON as orjson does, or more tolerantly if orjson refuses it. Raises ValueError if no reader would find JSON."""
    try:
        return _loads(data)
    except orjson.JSONDecodeError:
        return loads_slowly(data)


def loads_exactly(data: bytes) -> Any:
    """Reads JSON that will be written again: as `loads` does, but integers beyond 64 bits stay what they are."""
    return loads_slowly(data) if has_long_number(data) else loads(data)


def has_long_number(data: bytes) -> bool:
    """Returns whether these bytes may hold an integer beyond 64 bits. A text of digits looks like one."""
    return (
        data.translate(_DIGITS).find(_LONG_DIGITS) >= 0
    )  # `in` tries a number first, which takes as long as the search


def loads_as_sent(data: bytes) -> Any:
    """Reads JSON that has to be valid, with what orjson cannot hold: integers beyond 64 bits, and lone surrogates.

    Raises ValueError.
    """
    try:
        return json.loads(data.decode(), parse_constant=_refuse, parse_float=_finite)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem


def loads_slowly(data: bytes) -> Any:
    """Reads JSON with Python's own reader, as tolerantly as it can be read. Raises ValueError.

    Lone surrogates stay; bytes that are no UTF-8 become U+FFFD; control characters inside strings are taken as text.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"), strict=False, parse_float=_number, parse_int=_integer)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem


def dumps(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Writes JSON as orjson does; what orjson cannot write is escaped as it was read. Raises TypeError, ValueError."""
    try:
        return _dumps(value, default=default)
    except TypeError:
        try:
            return json.dumps(value, default=default, separators=(",", ":")).encode()
        except RecursionError as problem:
            raise TypeError("nested too deeply") from problem


def mended(text: str) -> str:
    """Returns the text with the halves of its characters joined, and U+FFFD for each whose other half never came."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) <= sys.float_info.max else _refuse(text)


def _number(text: str) -> float:
    """Returns the nearest finite number, because an infinite one could not be written as JSON again."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _integer(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:  # Python reads at most 4300 digits
        return _number(text)
