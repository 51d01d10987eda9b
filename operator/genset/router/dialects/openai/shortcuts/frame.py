"""The bytes that the answers of one backend have in common: with them the next answer is known without parsing it.

Servers write every plain answer alike: an event that opens it, events of text, one that finishes it, one with its usage.
What differs is the answer's id, its time, its text and its counts. The next answer's events are compared with these
bytes, its own id and time put in; where a byte differs anywhere else, the answer is read event by event. `frames` learns
them. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.openai.shortcuts.template import Template, is_exact

# What an event of a framed answer is.
UNKNOWN: Final = 0
OPENING: Final = 1
TEXT: Final = 2
FINISH: Final = 3
COUNTS: Final = 4

# Stand in the whole answer for what differs. No JSON holds these bytes: control characters are escaped in it.
ID: Final = b"\0"
CREATED: Final = b"\1"
SAID: Final = b"\2"
COUNTED: Final = b"\3"

_MOST_DIGITS: Final = 15
_CLOSE: Final = ord("}")
_ZERO: Final = ord("0")
_IN_NAMES: Final = bytes(sorted({*range(0x20, 0x7F)} - {*b'"\\'}))  # need no escape in a JSON string
_loads: Final = orjson.loads

#: Bytes that hold neither id nor time, or what stands before, between and behind the two.
Parts = tuple[bytes, ...]


@final
class Frame:
    """The parts of an answer's events, without their blank lines; of the text's, what stands before and behind it.

    `id_first`: the id stands before the time. `counts` ends where the usage begins, and `keys` are those from there on.
    `answer`: the whole one, with what stands in for its own; b"" where answers are not rebuilt.
    """

    __slots__ = ("answer", "counts", "finishing", "id_first", "key", "keys", "opening", "prefix", "suffix")

    def __init__(
        self,
        id_first: bool,
        opening: Parts,
        key: str,
        prefix: Parts,
        suffix: Parts,
        finishing: Parts,
        counts: Parts,
        keys: list[str],
        answer: bytes,
    ) -> None:
        self.id_first = id_first
        self.opening = opening
        self.key = key  # of the text
        self.prefix = prefix
        self.suffix = suffix
        self.finishing = finishing
        self.counts = counts
        self.keys = keys
        self.answer = answer

    def begin(self, event: bytes) -> Framed | None:
        """The answer that this event opens, if the frame is its own."""
        before, between, behind = self.opening
        start = len(before)
        end = event.find(between[:1], start)
        if end < 0:
            return None
        first = event[start:end]
        start = end + len(between)
        end = event.find(behind[:1], start)
        if end < 0:
            return None
        second = event[start:end]
        if event != b"".join((before, first, between, second, behind)):
            return None
        identity, created = (first, second) if self.id_first else (second, first)
        return Framed(self, first, second) if _is_id(identity) and _is_time(created) else None


@final
class Framed:
    """One answer in a frame. `text` is what the last event said whose part was TEXT, as it stands in its JSON; `usage`
    the prompt's and the completion's tokens; `complete`: every part has come."""

    __slots__ = ("_counted", "_finished", "_first", "_frame", "_second", "complete", "template", "text", "usage")

    def __init__(self, frame: Frame, first: bytes, second: bytes) -> None:
        self._frame = frame
        self._first = first
        self._second = second
        self._finished = False
        self._counted = b""
        self.template = Template(frame.key, self._filled(frame.prefix), self._filled(frame.suffix))
        self.text = b""
        self.usage = (0, 0)
        self.complete = False

    def part(self, event: bytes) -> int:
        """What an event after the opening is, in its turn."""
        if self.complete:
            return UNKNOWN
        if self._finished:
            return COUNTS if self._counts(event) else UNKNOWN
        if event == self._filled(self._frame.finishing):
            self._finished = True
            return FINISH
        prefix, suffix = self.template.prefix, self.template.suffix
        end = len(event) + 2 - len(suffix)  # the suffix ends with the blank line
        if end <= len(prefix) or not event.startswith(prefix) or not event.endswith(suffix[:-2]):
            return UNKNOWN
        self.text = event[len(prefix) : end]
        return TEXT if is_exact([self.text]) else UNKNOWN

    def _counts(self, event: bytes) -> bool:
        head = self._filled(self._frame.counts)
        start = len(head)
        if len(event) <= start or event[:start] != head or event[-1] != _CLOSE:
            return False
        counted = event[start:-1]
        try:
            members: dict[str, Any] = _loads(b"{" + counted + b"}")
        except orjson.JSONDecodeError:
            return False
        usage = members.get("usage")
        if not isinstance(usage, dict) or list(members) != self._frame.keys:
            return False
        self._counted = counted
        self.usage = counts_of(usage)
        self.complete = True
        return True

    def answer(self, text: bytes) -> bytes:
        """The whole answer. `text` as it stands in JSON."""
        identity, created = (self._first, self._second) if self._frame.id_first else (self._second, self._first)
        named = self._frame.answer.replace(ID, identity).replace(CREATED, created)
        return named.replace(COUNTED, self._counted).replace(SAID, text)

    def _filled(self, parts: Parts) -> bytes:
        return parts[0] if len(parts) == 1 else b"".join((parts[0], self._first, parts[1], self._second, parts[2]))


def _is_id(value: bytes) -> bool:
    """Whether these bytes are the inside of a JSON string that needs no escapes."""
    return bool(value) and not value.translate(None, _IN_NAMES)


def _is_time(value: bytes) -> bool:
    """Whether these bytes are a whole number in JSON."""
    return len(value) <= _MOST_DIGITS and value.isdigit() and value[0] != _ZERO
