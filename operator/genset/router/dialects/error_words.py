"""Finds the words for people inside an error of any form: the one place that knows how servers word their errors. Pure.

It knows OpenAI's `error` object; a bare text; FastAPI's `detail`, a text, a list, or a list of pydantic's mistakes; `errors`
(GraphQL, Cloudflare, Laravel); `Message` and `errorMessage` (AWS, Java); `fault` (Apigee); MiniMax's `base_resp`; OAuth's
`error_description`; Spring's `error` beside `message`; what OpenRouter keeps in `metadata.raw`; and any of these inside
another one. What it looks at is bounded: an attacker may have written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, final

from genset.router.dialects.plain_text import READ_BYTES, is_page, plain_text
from genset.router.dialects.tolerant import loads, mended

MESSAGE_CHARACTERS: Final = 2048  # of an error's words, over all of its parts
ENTRIES: Final = 8  # of a list of errors that are looked at

_MOST_OBJECTS: Final = 64  # objects and lists of one error that are looked at
_RAW_CHARACTERS: Final = 64 * 1024  # of an error as text inside another one; a longer one is no JSON
_NAMED_CHARACTERS: Final = 200  # in front of an error as text
_NAMED: Final = re.compile(r"(?:[\w.]{1,60}(?:Error|Exception)\b[ :-]{1,4})*\s*")
_PLACES: Final = 16  # of a way into the request
#: Members that hold an error's words, best known first.
_MESSAGES: Final = (
    "message", "msg", "detail", "error_message", "error_msg", "errorMessage", "Message", "error_description",
    "faultstring", "status_msg", "base_resp",
)  # fmt: skip
#: Words that say no more than the HTTP status does.
_PHRASES: Final = frozenset(status.phrase.lower() for status in HTTPStatus)


def words_in(said: Any) -> str:
    """Returns the message of an error, at most MESSAGE_CHARACTERS of it; "" if there is none."""
    return _Search().words(said)[:MESSAGE_CHARACTERS]


def place_of(entry: dict[str, Any]) -> str:
    """Returns where in the request's body one of pydantic's mistakes is (`messages.0.role`); "" if the mistake does not say."""
    loc = entry.get("loc")
    if not isinstance(loc, list):
        return ""
    way = loc[1:_PLACES] if loc[:1] == ["body"] else loc[:_PLACES]
    return ".".join(str(part) for part in way if isinstance(part, int | str))[:MESSAGE_CHARACTERS]


@final
class _Search:
    """A _Search is one search through an error. It ends with the first text that it cuts.

    A key of ours that was cut with the text is recognized, and hidden, only at the end of the message (`backends.mask`).
    """

    __slots__ = ("_cut", "_left")

    def __init__(self) -> None:
        self._left = _MOST_OBJECTS
        self._cut = False

    def words(self, said: Any) -> str:
        if self._cut:
            return ""
        if isinstance(said, str):
            return self._text(said)
        self._left -= 1
        if self._left < 0:
            return ""
        if isinstance(said, list):
            return _joined(self.words(entry) for entry in said[:ENTRIES])
        return self._object(said) if isinstance(said, dict) else ""

    def _text(self, text: str) -> str:
        page = text[:READ_BYTES].encode("utf-8", "replace")
        if is_page(page):
            self._cut = len(page) > READ_BYTES or len(text) > READ_BYTES
            return plain_text(page)
        if (inner := self._wrapped(text)) is not None:
            return inner
        self._cut = len(text) > MESSAGE_CHARACTERS
        text = mended(text[:MESSAGE_CHARACTERS])
        return "" if text.isspace() else text

    def _wrapped(self, text: str) -> str | None:
        """Returns the words of a text that is an error as JSON, perhaps behind a gateway's name for it; None if it is none."""
        begin = text.find("{", 0, _NAMED_CHARACTERS)
        if begin < 0 or len(text) > _RAW_CHARACTERS or _NAMED.fullmatch(text, 0, begin) is None:
            return None
        try:
            words = self.words(loads(text[begin:].encode("utf-8", "replace")))
        except ValueError:
            return None
        return f"{text[:begin]}{words}" if words else None

    def _object(self, said: dict[str, Any]) -> str:
        held = said.get("error")
        inner = self.words(held) if not isinstance(held, str) else ""
        inner = inner or self.words(said.get("fault"))
        if inner:
            return inner
        parts = [self._message(said)]
        if isinstance(held, str):
            parts.append(self.words(held))
        parts.append(self.words(said.get("errors")))
        metadata = said.get("metadata")
        if isinstance(metadata, dict):
            parts.append(self._raw(metadata.get("raw")))
        return _joined(parts)

    def _message(self, said: dict[str, Any]) -> str:
        for key in _MESSAGES:
            words = self.words(said.get(key))
            if words:
                place = place_of(said)
                return f"{words} ({place})" if place and not self._cut else words
        detail = said.get("detail")
        return self._members(detail) if isinstance(detail, dict) else ""

    def _members(self, said: dict[str, Any]) -> str:
        """Returns what an object without words holds, as far as that is short."""
        shown: list[str] = []
        for key, value in said.items():
            if self._cut or len(shown) >= ENTRIES:
                break
            if isinstance(value, int | float | str):
                shown.append(f"{key[:64]}: {self.words(value) if isinstance(value, str) else str(value)}")
        return ", ".join(shown)

    def _raw(self, raw: Any) -> str:
        """Returns the words of the server behind the upstream, whose error is often JSON in a text."""
        if not isinstance(raw, str) or raw[:1] not in ("{", "[") or len(raw) > _RAW_CHARACTERS:
            return self.words(raw)
        try:
            return self.words(loads(raw.encode("utf-8", "replace"))) or self.words(raw)
        except ValueError:
            return self.words(raw)


def _joined(parts: Iterable[str]) -> str:
    """Joins the parts that say something that no other part says."""
    said = list(dict.fromkeys(part for part in parts if part))
    if len(said) > 1:
        said = [part for part in said if part.lower() not in _PHRASES] or said[:1]
    telling = [part for part in said if not any(part is not other and part in other for other in said)]
    return "; ".join(telling)
