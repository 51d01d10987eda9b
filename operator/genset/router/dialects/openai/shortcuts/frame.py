"""Knows an answer without a parse, by the bytes that the plain answers of one backend have in common.

Servers write every plain answer alike: an event that opens it, events of text, one that finishes it, one with its usage.
What differs is the answer's id, its time, its text and its counts. The events of the next answer are compared with these
bytes, with its own id and time put in; if a byte differs anywhere else, the answer is read event by event. `frames` learns
these bytes. Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

import orjson

from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.openai.shortcuts.template import Template, is_exact

# Parts of a framed answer, one of which each of its events is.
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
_STAND_INS: Final = re.compile(rb"([\0-\3])")

_MOST_DIGITS: Final = 15
_CLOSE: Final = ord("}")
_ZERO: Final = ord("0")
_IN_NAMES: Final = bytes(sorted({*range(0x20, 0x7F)} - {*b'"\\'}))  # need no escape in a JSON string
_loads: Final = orjson.loads

#: One piece of bytes that hold neither id nor time, or three: what stands before, between and behind the two.
Parts = tuple[bytes, ...]


@final
class AnswerForm:
    """An AnswerForm is a whole answer with gaps for what differs from one answer to the next."""

    __slots__ = ("_gaps", "_parts")

    def __init__(self, answer: bytes) -> None:
        """`answer` holds each stand-in once; raises ValueError otherwise."""
        self._parts: list[bytes] = _STAND_INS.split(answer)
        at = self._parts.index
        self._gaps: tuple[int, int, int, int] = (at(ID), at(CREATED), at(SAID), at(COUNTED))

    def filled(self, identity: bytes, created: bytes, said: bytes, counted: bytes) -> bytes:
        """Returns the answer that has these values, each as it stands in JSON."""
        parts = list(self._parts)
        of_id, of_time, of_text, of_counts = self._gaps
        parts[of_id] = identity
        parts[of_time] = created
        parts[of_text] = said
        parts[of_counts] = counted
        return b"".join(parts)


@final
class Frame:
    """A Frame is what the answers of one backend have in common: each event without its blank line, and without id and time.

    `opening`, `finishing`: the events that open and finish the answer. `prefix`, `suffix`: what stands around a text in its
    event, and `key`: of the text in the delta. `counts`: the event with the usage, up to that, and `keys`: its members from
    there on. `id_first`: the id stands before the time. `answer`: the whole answer; None if answers are not rebuilt.
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
        answer: AnswerForm | None,
    ) -> None:
        self.id_first = id_first
        self.opening = opening
        self.key = key
        self.prefix = prefix
        self.suffix = suffix
        self.finishing = finishing
        self.counts = counts
        self.keys = keys
        self.answer = answer

    def begin(self, event: bytes) -> Framed | None:
        """Returns the answer that this event opens; None if it is of another form."""
        before, between, behind = self.opening
        if not event.startswith(before):
            return None
        start = len(before)
        end = event.find(between[:1], start)
        first = event[start : max(start, end)]
        start = end + len(between)
        if end < 0 or event[end:start] != between:
            return None
        end = event.find(behind[:1], start)
        second = event[start : max(start, end)]
        if end < 0 or event[end:] != behind:
            return None
        identity, created = (first, second) if self.id_first else (second, first)
        return Framed(self, first, second) if _is_id(identity) and _is_time(created) else None


@final
class Framed:
    """A Framed is one answer that is read by a frame, as far as it has come.

    `template`: of its events of text. `text`: what the last event said whose part was TEXT, as it stands in its JSON. `usage`:
    tokens of the prompt and of the completion, which `usage_object` tells. `complete`: every part has come.
    """

    __slots__ = (
        "_counted",
        "_finished",
        "_first",
        "_frame",
        "_second",
        "complete",
        "template",
        "text",
        "usage",
        "usage_object",
    )

    def __init__(self, frame: Frame, first: bytes, second: bytes) -> None:
        self._frame = frame
        self._first = first
        self._second = second
        self._finished = False
        self._counted = b""
        self.template = Template(frame.key, self._filled(frame.prefix), self._filled(frame.suffix))
        self.text = b""
        self.usage = (0, 0)
        self.usage_object: dict[str, Any] | None = None
        self.complete = False

    def part(self, event: bytes) -> int:
        """Returns which part of the answer an event behind the opening is; UNKNOWN if the frame has no such part here."""
        if self._finished:
            return COUNTS if not self.complete and self._counts(event) else UNKNOWN
        prefix, suffix = self.template.prefix, self.template.suffix
        end = len(event) + 2 - len(suffix)  # the suffix ends with the blank line
        if end > len(prefix) and event.startswith(prefix) and event.endswith(suffix[:-2]):
            self.text = event[len(prefix) : end]
            if is_exact([self.text]):
                return TEXT
        if event == self._filled(self._frame.finishing):
            self._finished = True
            return FINISH
        return UNKNOWN

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
        self.usage_object = usage
        self.complete = True
        return True

    def events(self, *, finished: bool) -> list[bytes]:
        """Returns the events that were known, without those of text. `finished`: the one that finishes is among them."""
        known = [self._filled(self._frame.opening)]
        if finished:
            known.append(self._filled(self._frame.finishing))
        if self.complete:
            known.append(b"".join((self._filled(self._frame.counts), self._counted, b"}")))
        return known

    def answer(self) -> bytes:
        """Returns the whole answer with the texts of the template."""
        assert self._frame.answer is not None, "no answer was rebuilt when the frame was learned"
        identity, created = (self._first, self._second) if self._frame.id_first else (self._second, self._first)
        return self._frame.answer.filled(identity, created, b"".join(self.template.texts), self._counted)

    def _filled(self, parts: Parts) -> bytes:
        return parts[0] if len(parts) == 1 else b"".join((parts[0], self._first, parts[1], self._second, parts[2]))


def _is_id(value: bytes) -> bool:
    """Returns whether these bytes are the inside of a JSON string that needs no escapes."""
    return value.replace(b"-", b"").isalnum() or (bool(value) and not value.translate(None, _IN_NAMES))


def _is_time(value: bytes) -> bool:
    """Returns whether these bytes are a whole number in JSON."""
    return len(value) <= _MOST_DIGITS and value.isdigit() and value[0] != _ZERO
