"""Counts the tokens of a prompt by asking a backend: a server of the client's own API, or an engine of the house. Pure.

Where nobody can be asked, the client gets the router's estimate, and the answer's head says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from genset.router.dialects.base import Asked, StreamTranslator, Untranslatable
from genset.router.dialects.client import ClientWriter, NativeCall, RefusedRequest, Told
from genset.router.dialects.native import rewritten, texts_of
from genset.router.dialects.openai.api import Api
from genset.router.dialects.repeated import said_in
from genset.router.dialects.tape import Tape
from genset.router.dialects.tolerant import loads
from genset.router.errors import ErrorAnswer, ErrorKind


def question_for_engines(chat: dict[str, Any]) -> dict[str, Any]:
    """Returns what an engine is asked: vLLM counts `messages` by the model's template, llama-server the text in `content`."""
    asked: dict[str, Any] = {key: chat[key] for key in ("model", "messages", "tools") if key in chat}
    return {**asked, "content": "\n".join(texts_of(chat.get("messages")))}


@final
class CountCall(NativeCall):
    """A count call is one request for a number of tokens, for servers of its own API: at `path`, with header lines `head`."""

    __slots__ = ("_head", "_path", "_raw", "bound", "places", "rebuildable", "wire")

    def __init__(self, wire: str, path: str, head: bytes, raw: bytes) -> None:
        self.wire = wire
        self.bound: RefusedRequest | None = None
        self.rebuildable = False
        self.places = ""
        self._path = path
        self._head = head
        self._raw = raw

    def said(self) -> dict[str, Any]:
        return said_in(self._raw)

    def attempt(self, tape: Tape) -> CountCall:
        return self

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        return Asked(self._path, self._head, rewritten(self._raw, {"model": body["model"]}))

    def stream(self, api: Api, created: int) -> StreamTranslator:
        raise Untranslatable("a number of tokens is no stream")

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        return body

    def error(self, status: int, body: bytes) -> bytes:
        return body


#: Rules that hold for a question as for a request.
_REFUSED: Final = ("policy_model_not_found", "policy_rate_limited")


@final
class CountWriter(ClientWriter):
    """A count writer answers with what a backend has counted; with the estimate if none has. `told` writes a number."""

    __slots__ = ("_error", "_estimate", "_told", "dropped", "marked")

    def __init__(self, told: Callable[[int], bytes], error: Callable[[ErrorAnswer, bytes], Told]) -> None:
        self._estimate = 1
        self._told = told
        self._error = error
        self.dropped: tuple[str, ...] = ()
        self.marked = True

    def instead_of_error(self, answer: ErrorAnswer) -> bytes | None:
        refused = answer.kind.word in _REFUSED or answer.kind.word.startswith("caller_")
        return None if refused else self._told(self._estimate)

    def whole(self, body: bytes) -> bytes:
        said = loads(body)
        found = said.get("input_tokens", said.get("count")) if isinstance(said, dict) else None
        if found is None and isinstance(said, dict) and isinstance(said.get("tokens"), list):
            found = len(said["tokens"])
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise ValueError("it holds no number of tokens")
        return self._told(found)

    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        return self._error(answer, identity)

    def tells_asked_model(self) -> None:
        """A number tells no model."""

    def passes(self, tape: Tape | None) -> None:
        """Nothing passes as it is."""

    def may_go_on(self) -> bool:
        return False

    def expects(self, prompt_tokens: int, *, passes: bool) -> None:
        self._estimate = max(prompt_tokens, 1)

    def events(self, data: bytes) -> bytes:
        return b""

    def sign_of_life(self) -> bytes:
        return b""

    def broken(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bytes:
        return b""
