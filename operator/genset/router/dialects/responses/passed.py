"""Passes a request of the Responses API to a server of that API as its client wrote it.

Tools that run at OpenAI, sealed thoughts, stored responses and fields of next year stay. What houses have said in between is made
fit: OpenAI looks for thoughts without a seal by their id, and refuses those that it has not written. Pure.
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.base import Asked, StreamTranslator
from genset.router.dialects.call_seals import opened_id
from genset.router.dialects.client import NativeCall, RefusedRequest
from genset.router.dialects.native import changes, rewritten, tree_of
from genset.router.dialects.openai.api import Api
from genset.router.dialects.repeated import said_in
from genset.router.dialects.responses.backend_stream import ResponseStream, answer_of
from genset.router.dialects.responses.items_out import is_own_id
from genset.router.dialects.responses.words import PATH, WIRE
from genset.router.dialects.seals import UNSEALED, refuses_seals
from genset.router.dialects.tape import Folder, Tape

_THOUGHT: Final = "reasoning"
_SAID: Final = (
    "message",
    _THOUGHT,
    "function_call",
    "custom_tool_call",
)  # items that an answer is made of; their ids may go


@final
class PassedResponses(NativeCall):
    """A passed response is one request of the Responses API. `raw` is its body; `streams`: its client wants a stream."""

    __slots__ = (
        "_foreign",
        "_limit",
        "_raw",
        "_thoughtless",
        "_top",
        "bound",
        "places",
        "rebuildable",
        "streams",
        "wire",
    )

    def __init__(self, body: dict[str, Any], raw: bytes) -> None:
        self.wire = WIRE
        self.bound: RefusedRequest | None = None
        self.rebuildable = True
        self.places = ""
        self.streams = body.get("stream") is True
        self._limit = body.get("max_output_tokens")
        self._top = frozenset(body)
        self._raw = raw
        self._thoughtless = False  # a server has refused a seal
        self._foreign = any(_is_foreign(item) for item in _items(body))

    def relents(self, words: str) -> str:
        """Thoughts that another account has sealed are left out: their text is of no use to this one."""
        if self._thoughtless or not refuses_seals(words):
            return ""
        self._thoughtless = True
        return UNSEALED

    def said(self) -> dict[str, Any]:
        return said_in(self._raw)

    def attempt(self, tape: Tape) -> _Attempt:
        return _Attempt(self, tape)

    def written(self, asked: dict[str, Any]) -> bytes:
        """Returns the body for a server. `asked` is the request in OpenAI's form: its model, its limit, whether it streams."""
        changed = changes(asked, streams=self.streams, limit="max_output_tokens", own=self._limit)
        if self._foreign or self._thoughtless:
            items = _items(tree_of(self._raw))
            changed["input"] = [_fit(item, every=self._thoughtless) for item in items if not self._is_left_out(item)]
        return rewritten(self._raw, changed, self._top)

    def _is_left_out(self, item: Any) -> bool:
        if not isinstance(item, dict) or item.get("type") != _THOUGHT:
            return False
        return self._thoughtless or (not item.get("encrypted_content") and is_own_id(item.get("id")))


def _items(body: dict[str, Any]) -> list[Any]:
    found = body.get("input")
    return found if isinstance(found, list) else []


def _is_foreign(item: Any) -> bool:
    """Returns whether no provider knows an item by its id, or a call by its id, which holds a seal of another one."""
    return isinstance(item, dict) and (is_own_id(item.get("id")) or _call_id(item) != item.get("call_id"))


def _fit(item: Any, *, every: bool) -> Any:
    """Returns an item as its server takes it. `every`: without its id, too, by which the server would look for its thoughts."""
    if not isinstance(item, dict):
        return item
    made = {**item, "call_id": _call_id(item)} if "call_id" in item else dict(item)
    if is_own_id(made.get("id")) or (every and made.get("type", "message") in _SAID):
        made.pop("id", None)
    return made


def _call_id(item: dict[str, Any]) -> Any:
    identity = item.get("call_id")
    return opened_id(identity)[0] if isinstance(identity, str) else identity


@final
class LastResponse(Folder):
    """The last response is the whole answer: the event that ends a stream holds it."""

    __slots__ = ("_response",)

    def __init__(self) -> None:
        self._response: dict[str, Any] | None = None

    def add(self, said: dict[str, Any]) -> None:
        if said.get("type") in ("response.completed", "response.incomplete"):
            held = said.get("response")
            self._response = held if isinstance(held, dict) else None

    def whole(self) -> dict[str, Any] | None:
        return self._response


@final
class _Attempt:
    """A passed attempt is a `Dialect` for one attempt at a server."""

    __slots__ = ("_call", "_tape")

    def __init__(self, call: PassedResponses, tape: Tape) -> None:
        self._call = call
        self._tape = tape

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        return Asked(PATH, b"", self._call.written(body))

    def stream(self, api: Api, created: int) -> StreamTranslator:
        if not self._call.streams:
            self._tape.fold_into(LastResponse())
        return ResponseStream(created, self._tape)

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        return answer_of(body, created, self._tape)

    def error(self, status: int, body: bytes) -> bytes:
        return body
