"""Cuts the bytes of an event stream into the JSON of its events, whatever pieces the bytes come in (WHATWG HTML, 9.2). Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from genset.router.dialects.openai.events import BYTE_ORDER_MARK, MOST_LINES
from genset.router.dialects.tape import Tape
from genset.router.dialects.tolerant import loads

EVENT_BYTES: Final = 16 * 1024 * 1024  # longest single event

MOST_BEGINNING: Final = 64 * 1024  # blank bytes in front of an answer

_CR: Final = b"\r"
_BEGINS_OTHERS: Final = (b"{", b"[", b"<")


class NoEventError(ValueError):
    """What came is no event of this dialect; the message says why."""


class NoAnswerError(ValueError):
    """A body that is no stream is no answer either. The message says why; `body` may say it in words of its own."""

    def __init__(self, message: str, body: bytes) -> None:
        super().__init__(message)
        self.body = body


@final
class Beginning:
    """A beginning finds out by the first bytes of a body whether it is a stream of events, whatever pieces they come in.

    `held` is the body so far if it is none (JSON, a page), which is to be read as a whole; None otherwise.
    """

    __slots__ = ("_begun", "held")

    def __init__(self) -> None:
        self._begun: bytes | None = b""  # blank bytes before the first that tells what the body is; None behind it
        self.held: list[bytes] | None = None

    def take(self, data: bytes) -> bytes:
        """Takes the next bytes, and returns those that are to be read of a stream."""
        if self.held is not None:
            self.held.append(data)
            return b""
        if self._begun is None:
            return data
        found = self._begun + data
        begins = found.removeprefix(BYTE_ORDER_MARK).lstrip()
        if (not begins and len(found) < MOST_BEGINNING) or BYTE_ORDER_MARK.startswith(found):
            self._begun = found
            return b""
        self._begun = None
        if begins.startswith(_BEGINS_OTHERS):
            self.held = [begins]
            return b""
        return found

    def body(self) -> bytes:
        """Returns the whole body, which is no stream."""
        return b"".join(self.held or ())


class EventCutter:
    """An EventCutter is fed bytes, and returns the whole events in them: the data of each, without those that have none."""

    __slots__ = ("_began", "_data", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = (
            bytearray()
        )  # of the last line; it grows in place, because joining each piece takes the square of its length
        self._data: list[bytes] = []  # of the event that has begun
        self._size = 0  # of both
        self._began = False

    def feed(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        rest = self._rest
        self._size += len(data)
        if self._began and b"\n" not in data and _CR not in data and not rest.endswith(_CR):
            rest += data
            self._look_at_size()
            return found
        held = bytes(rest) + data
        rest.clear()
        if not self._began:
            if BYTE_ORDER_MARK.startswith(held):
                rest += held
                return found
            held = held.removeprefix(BYTE_ORDER_MARK)
            self._began = True
        ends_in_return = held.endswith(_CR)  # a line feed may follow, and belongs to it
        if ends_in_return:
            held = held[:-1]
        if _CR in held:
            held = held.replace(b"\r\n", b"\n").replace(_CR, b"\n")
        *lines, last = held.split(b"\n")
        for line in lines:
            self._line(line, found)
        rest += last + _CR if ends_in_return else last
        self._size = len(rest) + sum(map(len, self._data))
        self._look_at_size()
        return found

    def _look_at_size(self) -> None:
        if self._size > EVENT_BYTES or len(self._data) > MOST_LINES:
            raise NoEventError("sent an event without end")

    def end(self) -> list[bytes]:
        """Returns the last event, if its blank line is missing, as some servers leave it out."""
        found: list[bytes] = []
        rest = bytes(self._rest).removesuffix(_CR)
        self._rest.clear()
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


def whole_answer(
    answer_of: Callable[[bytes, int, Tape | None], bytes], body: bytes, created: int, tape: Tape | None
) -> bytes:
    """Returns what `answer_of` makes of a body that came in place of a stream. Raises NoAnswerError."""
    try:
        return answer_of(body, created, tape)
    except ValueError as problem:
        raise NoAnswerError(str(problem), body) from None
