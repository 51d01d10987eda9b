"""Learns what the answers of one backend have in common, which is their frame, and learns it anew when they change. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, final

import orjson

from genset.router.dialects.openai.events import DATA, has_token
from genset.router.dialects.openai.shortcuts.frame import (
    COUNTED,
    COUNTS,
    CREATED,
    FINISH,
    ID,
    SAID,
    TEXT,
    AnswerForm,
    Frame,
    Framed,
    Parts,
)
from genset.router.dialects.openai.shortcuts.template import learn

_USAGE: Final = b'"usage":'
LEARNED_EVENTS: Final = 4  # an opening, a text, a finish, a usage
_MOST_BYTES: Final = 4096  # of an event that is learned


@final
class Frames:
    """A Frames knows the frame of one backend's answers, if it has learned one.

    As long as answers are unlike the frame, it is learned anew, ever more rarely. `curious`: the events of the next answer
    are wanted for `learn`.
    """

    __slots__ = ("_frame", "_unlike", "curious")

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._unlike = 0  # answers, since the last that was like the frame
        self.curious = True

    def begin(self, event: bytes) -> Framed | None:
        """Returns the answer that this event opens in the frame; None if it must be read event by event."""
        if self.curious:
            return None
        framed = self._frame.begin(event) if self._frame is not None else None
        if framed is None:
            self.unlike()
        return framed

    def alike(self) -> None:
        """Takes note of an answer that was like the frame to its end."""
        self._unlike = 0

    def unlike(self) -> None:
        """Takes note of an answer that was not like the frame."""
        self._unlike += 1
        self.curious = self._unlike > 1 and self._unlike & (self._unlike - 1) == 0

    def learn(self, events: list[bytes], answer: bytes) -> None:
        """Takes the frame from a good answer, if it is of a form that has one.

        `events`: those that were read one by one, so of the events of text the first alone. `answer`: what was rebuilt from the
        stream; b"" if nothing was.
        """
        try:
            frame = _learned(events, answer)
        except (ValueError, LookupError, TypeError, AttributeError):  # of another form than the one that is known
            return
        if frame is not None:
            self._frame = frame


class _Name(NamedTuple):
    """A _Name is the id or the time of an answer as it stands in its events, between the bytes by which it is found."""

    before: bytes
    value: bytes
    behind: bytes

    @property
    def whole(self) -> bytes:
        return self.before + self.value + self.behind


def _learned(events: list[bytes], answer: bytes) -> Frame | None:
    """Returns the frame of these events; None if their answer has none. Raises various errors if the form is not known."""
    if len(events) != LEARNED_EVENTS or not all(
        event.startswith(DATA) and len(event) <= _MOST_BYTES for event in events
    ):
        return None
    opening, spoken, finishing, counting = (orjson.loads(event[6:]) for event in events)
    text = learn(events[1] + b"\n\n", spoken)
    if text is None or spoken.get("usage") or counting["choices"] != []:
        return None
    if not (_is_bare(opening, finishes=False) and _is_bare(finishing, finishes=True)):
        return None
    at = events[3].index(_USAGE)
    counts = {key: counting[key] for key in orjson.loads(b"{" + events[3][at:])}
    identity = _name(events[0], b'"id":', b'"', opening["id"].encode())
    created = _name(events[0], b'"created":', b"", b"%d" % opening["created"])
    id_first = events[0].index(identity.whole) < events[0].index(created.whole)
    names = (identity, created) if id_first else (created, identity)
    frame = Frame(
        id_first,
        _parts(events[0], *names),
        text.key,
        _parts(text.prefix, *names),
        _parts(text.suffix, *names),
        _parts(events[2], *names),
        _parts(events[3][:at], *names),
        list(counts),
        None,
    )
    said = b""
    if answer:
        choice = orjson.loads(answer)["choices"][0]
        said = orjson.dumps(choice["text"] if text.key == "text" else choice["message"][text.key])[1:-1]
        key = text.key.encode()
        frame.answer = _form(
            answer,
            (b'"%b":"%b"' % (key, said), b'"%b":"%b"' % (key, SAID)),
            (orjson.dumps(counts)[1:-1], COUNTED),
            (b'"id":"%b"' % identity.value, b'"id":"%b"' % ID),
            (b'"created":%b,' % created.value, b'"created":%b,' % CREATED),
        )
    return frame if _reproduces(frame, events, said, answer) else None


def _is_bare(chunk: dict[str, Any], *, finishes: bool) -> bool:
    """Returns whether an event says nothing but that the only choice begins, or ends."""
    [choice] = chunk["choices"]
    reason = choice.get("finish_reason")
    if finishes != bool(reason) or (finishes and not isinstance(reason, str)):
        return False
    return choice.get("index", 0) == 0 and not has_token(choice) and not chunk.get("usage")


def _name(event: bytes, key: bytes, quote: bytes, value: bytes) -> _Name:
    """Finds the id or the time in an event. Raises ValueError if the first place of the key does not hold this value."""
    at = event.index(key)
    for before in (key + quote, key + b" " + quote):
        if event.startswith(before + value, at):
            end = at + len(before) + len(value)
            return _Name(before, value, event[end : end + 1])
    raise ValueError(key)


def _parts(data: bytes, first: _Name, second: _Name) -> Parts:
    """Cuts the names out of an event. Raises ValueError if only one of them stands there, or not once, or in the other order."""
    if first.whole not in data and second.whole not in data:
        return (data,)
    if data.count(first.whole) != 1 or data.count(second.whole) != 1:
        raise ValueError(data)
    before, _, rest = data.partition(first.whole)
    between, found, behind = rest.partition(second.whole)
    if not found:
        raise ValueError(data)
    return before + first.before, first.behind + between + second.before, second.behind + behind


def _form(answer: bytes, *parts: tuple[bytes, bytes]) -> AnswerForm:
    """Puts a stand-in for each part of a whole answer. Raises ValueError if a part does not stand there just once."""
    for part, stand_in in parts:
        if answer.count(part) != 1:
            raise ValueError(part)
        answer = answer.replace(part, stand_in)
    return AnswerForm(answer)


def _reproduces(frame: Frame, events: list[bytes], said: bytes, answer: bytes) -> bool:
    """Returns whether a frame says of the answer from which it was learned what is known of that answer."""
    framed = frame.begin(events[0])
    if framed is None or [framed.part(event) for event in events[1:]] != [TEXT, FINISH, COUNTS]:
        return False
    framed.template.texts.append(said)
    return not answer or bool(orjson.loads(framed.answer()) == orjson.loads(answer))
