"""Judges answers that go on as they are: sound, pictures, subtitles, numbers of an engine, and events of these. Pure.

What a body is its first bytes decide, not its content type: errors and pages come as sound, and JSON as text.
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import begins_stream
from genset.router.dialects.openai.in_band import as_error, error_in, told_by
from genset.router.dialects.plain_text import is_page
from genset.router.dialects.sse import EventCutter, NoEventError, event_of
from genset.router.dialects.tolerant import loads
from genset.router.dialects.upstream_error import first_object

LOOKED_AT_BYTES: Final = 16  # of a body, which show what it is
#: One of these is in every answer in JSON. An answer to /audio/speech is sound, or what a server puts in its place.
_HOLDS: Final[dict[Api, tuple[str, ...]]] = {
    Api.TRANSCRIPTIONS: ("text", "segments"),
    Api.TRANSLATIONS: ("text", "segments"),
    Api.IMAGES: ("data",),
    Api.IMAGE_EDITS: ("data",),
    Api.TOKENIZE: ("tokens", "count"),
    Api.COUNT: ("input_tokens", "count", "tokens"),  # of engines, and of those who speak the client's API
    Api.DETOKENIZE: ("content", "prompt", "text"),
}
#: Types of events whose stream ends with one of a type of `_ENDS`. Source: the types of the openai package 3.57.0.
_FAMILIES: Final = ("transcript.", "speech.", "image_generation.", "image_edit.")
_ENDS: Final = (".done", ".completed")
_DONE: Final = b"[DONE]"


@final
class BodyKind:
    """What a body is, as far as its first bytes have told."""

    UNKNOWN: Final = 0
    PASSES: Final = 1
    EVENTS: Final = 2
    JSON: Final = 3  # or a text that begins like it
    PAGE: Final = 4


def kind_of(begins: bytes, content_type: bytes, *, whole: bool) -> int:
    """Returns the BodyKind of a body that begins with these bytes. `whole`: more will not come."""
    told = content_type.lower()
    if told.startswith(b"application/json"):
        return BodyKind.JSON
    if len(begins) < LOOKED_AT_BYTES and not whole:
        return BodyKind.UNKNOWN
    text = begins.lstrip()
    if is_page(text):
        return BodyKind.PAGE
    if told.startswith((b"audio/", b"image/", b"video/")):  # sound without a head may begin with any byte
        return BodyKind.JSON if text.startswith((b'{"error"', b'{"detail"', b'{"message"')) else BodyKind.PASSES
    if told.startswith(b"text/event-stream") or begins_stream(begins):
        return BodyKind.EVENTS
    return BodyKind.JSON if text.startswith((b'{"', b"{}", b"{\n", b"{ ", b"[{")) else BodyKind.PASSES


def fault_of_json(api: Api, body: bytes) -> dict[str, Any] | str | None:
    """Returns why JSON is no answer: words, or the error inside it; None if it is one. Raises ValueError if it is no JSON."""
    said = loads(body)
    found = first_object(said)
    if found is None:
        return None if isinstance(said, list) and said else "sent an answer that is no JSON object"
    if (fault := error_in(found)) is not None:
        return fault
    wanted = _HOLDS.get(api)
    if isinstance(said, list) or (wanted is None and found):
        return None
    if wanted is not None and any(found.get(key) is not None and found[key] != [] for key in wanted):
        return None
    return told_by(found) or f"sent an answer without {wanted[0] if wanted is not None else 'sound'}"


@final
class PassedEvents:
    """Passed events are looked at while they go on: whether they tell of an error, and whether the last one ends them.

    `begun`: the first one is whole. `error` is that of an event, None as long as none tells of one.
    """

    __slots__ = ("_cutter", "_ended", "_has_end", "begun", "error")

    def __init__(self) -> None:
        self._cutter: EventCutter | None = EventCutter()
        self._has_end = False
        self._ended = False
        self.begun = False
        self.error: dict[str, Any] | None = None

    @property
    def cut(self) -> bool:
        """Returns whether the event is missing with which such a stream ends."""
        return self._has_end and not self._ended

    @property
    def ended(self) -> bool:
        """Returns whether nothing is missing behind the events so far."""
        return self._ended

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        if self._cutter is None:
            return
        try:
            for event in self._cutter.feed(data):
                self._look_at(event)
        except NoEventError:  # too long to be looked at; it goes on all the same
            self._cutter, self._has_end, self.begun = None, False, True

    def end(self) -> None:
        """Takes the last event, whose blank line may be missing."""
        if self._cutter is not None:
            for event in self._cutter.end():
                self._look_at(event)

    def _look_at(self, event: bytes) -> None:
        self.begun = True
        if event.strip() == _DONE:
            self._ended = True
            return
        try:
            said = event_of(event)
        except NoEventError:
            return
        if said is None:
            return
        kind = said.get("type")
        fault = as_error(said) if kind == "error" else error_in(said)
        if fault is not None:
            self.error = self.error or fault
        elif isinstance(kind, str) and kind.startswith(_FAMILIES):
            self._has_end = True
            self._ended = kind.endswith(_ENDS)
        elif isinstance(choices := said.get("choices"), list):  # vLLM: chunks as those of chat
            self._has_end = True
            if any(isinstance(one, dict) and one.get("finish_reason") for one in choices):
                self._ended = True
