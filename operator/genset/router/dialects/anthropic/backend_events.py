"""Cuts the bytes of an event stream into the JSON of its events, whatever pieces the bytes come in (WHATWG HTML, 9.2). Pure."""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.openai.events import BYTE_ORDER_MARK
from genset.router.dialects.tolerant import loads

EVENT_BYTES: Final = 16 * 1024 * 1024  # longest single event

_CR: Final = b"\r"


class NoEventError(ValueError):
    """What came is no event of this dialect; the message says why."""


class EventCutter:
    """An EventCutter is fed bytes, and returns the whole events in them: the data of each, without those that have none.

    `size`: bytes of an event that has begun.
    """

    __slots__ = ("_began", "_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""  # of the last line
        self._data: list[bytes] = []  # of the event that has begun
        self._began = False

    @property
    def size(self) -> int:
        return len(self._rest) + sum(map(len, self._data))

    def feed(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        held = self._rest + data
        if not self._began:
            if BYTE_ORDER_MARK.startswith(held):
                self._rest = held
                return found
            held = held.removeprefix(BYTE_ORDER_MARK)
            self._began = True
        ends_in_return = held.endswith(_CR)  # a line feed may follow, and belongs to it
        if ends_in_return:
            held = held[:-1]
        if _CR in held:
            held = held.replace(b"\r\n", b"\n").replace(_CR, b"\n")
        *lines, rest = held.split(b"\n")
        self._rest = rest + _CR if ends_in_return else rest
        for line in lines:
            self._line(line, found)
        if self.size > EVENT_BYTES:
            raise NoEventError("sent an event without end")
        return found

    def end(self) -> list[bytes]:
        """Returns the last event, if its blank line is missing, as some servers leave it out."""
        found: list[bytes] = []
        rest, self._rest = self._rest.removesuffix(_CR), b""
        self._line(rest, found)
        self._line(b"", found)
        return found

    def _line(self, line: bytes, found: list[bytes]) -> None:
        if not line:
            if self._data:
                data = b"\n".join(self._data)
                self._data = []
                if data.strip():
                    found.append(data)
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])


def event_of(data: bytes) -> dict[str, Any] | None:
    """Returns the JSON object of one event; None for the [DONE] that some servers send. Raises NoEventError."""
    if data.strip() == b"[DONE]":
        return None
    try:
        said = loads(data)
    except ValueError:
        raise NoEventError("sent an event that is no JSON") from None
    if not isinstance(said, dict):
        raise NoEventError("sent an event that is no JSON object")
    return said
