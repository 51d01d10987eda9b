"""Passes a request of the Messages API to a server of that API as its client wrote it.

Signatures, cache marks, betas and tools that run there stay. What houses have said in between is made fit: thoughts without a
seal are left out, because Anthropic refuses what it has not signed. Pure.

Sources: the types of the anthropic package 2.14.0; code.claude.com/docs/en/llm-gateway-protocol, read on 28 Nov 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, final

from genset.router.dialects.anthropic.backend import PATH
from genset.router.dialects.anthropic.backend_answer import answer_of, error_of
from genset.router.dialects.anthropic.backend_stream import BackendStream
from genset.router.dialects.anthropic.folded import FoldedMessage
from genset.router.dialects.anthropic.words import REDACTED, THINKING, TOOL_USE
from genset.router.dialects.base import Asked, StreamTranslator
from genset.router.dialects.call_seals import opened_id
from genset.router.dialects.client import NativeCall, RefusedRequest
from genset.router.dialects.native import changes, rewritten, tree_of
from genset.router.dialects.openai.api import Api
from genset.router.dialects.repeated import said_in
from genset.router.dialects.seals import DISABLED, UNSEALED, UNTHINKING, demands_thoughts, refuses_seals
from genset.router.dialects.tape import Tape

WIRE: Final = "messages"
_VERSION_HEADER: Final = b"anthropic-version"
_BETA_HEADER: Final = b"anthropic-beta"
_DEFAULT_VERSION: Final = b"2023-06-01"
_GEO: Final = "inference_geo"  # where the model runs (platform.claude.com/docs/en/manage-claude/data-residency)
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")  # what Anthropic takes as the id of a call


@final
class PassedMessages(NativeCall):
    """A passed message is one request of the Messages API. `raw` is its body, as its client wrote it.

    `head`: header lines that it had for Anthropic. `streams`: its client wants a stream.
    """

    __slots__ = (
        "_limit",
        "_raw",
        "_thoughtless",
        "_top",
        "_unsealed",
        "_unthinking",
        "bound",
        "head",
        "places",
        "rebuildable",
        "streams",
        "wire",
    )

    def __init__(self, body: dict[str, Any], raw: bytes, headers: dict[bytes, bytes]) -> None:
        self.wire = WIRE
        self.bound: RefusedRequest | None = None
        self._raw = raw
        self.places = _GEO if body.get(_GEO) is not None else ""
        self._limit = body.get("max_tokens")
        self._top = frozenset(body)
        self.streams = body.get("stream") is True
        self._thoughtless = False  # a server has refused a seal
        self._unthinking = False  # a server has demanded thoughts that nobody has
        self._unsealed = any(_is_unsealed(block) for block in _said(body))
        self.head = head_of(headers)
        self.rebuildable = not headers.get(_BETA_HEADER) and not any(_is_hosted(tool) for tool in _list(body, "tools"))

    def relents(self, words: str) -> str:
        """Thoughts that another model or account has sealed are left out: their text is of no use to this one.

        A model that demands thoughts that nobody has does not think in this turn.
        """
        if not self._thoughtless and refuses_seals(words):
            self._thoughtless = True
            return UNSEALED
        if not self._unthinking and demands_thoughts(words):
            self._unthinking = True
            return UNTHINKING
        return ""

    def said(self) -> dict[str, Any]:
        return said_in(self._raw)

    def attempt(self, tape: Tape) -> _Attempt:
        return _Attempt(self, tape)

    def written(self, asked: dict[str, Any]) -> bytes:
        """Returns the body for a server. `asked` is the request in OpenAI's form: its model, its limit, whether it streams."""
        changed = changes(asked, streams=self.streams, limit="max_tokens", own=self._limit)
        if self._unsealed or self._thoughtless:
            unfit = _is_thought if self._thoughtless else _is_unsealed
            changed["messages"] = _without(unfit, tree_of(self._raw)["messages"])
        if self._unthinking:
            changed["thinking"] = DISABLED
        return rewritten(self._raw, changed, self._top)


@final
class _Attempt:
    """A passed attempt is a `Dialect` for one attempt at a server."""

    __slots__ = ("_call", "_tape")

    def __init__(self, call: PassedMessages, tape: Tape) -> None:
        self._call = call
        self._tape = tape

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        return Asked(PATH, self._call.head, self._call.written(body))

    def stream(self, api: Api, created: int) -> StreamTranslator:
        if not self._call.streams:
            self._tape.fold_into(FoldedMessage())
        return BackendStream(created, self._tape)

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        return answer_of(body, created, self._tape)

    def error(self, status: int, body: bytes) -> bytes:
        return error_of(body)


def head_of(headers: dict[bytes, bytes]) -> bytes:
    """Returns the header lines of a client that go to Anthropic."""
    version, beta = headers.get(_VERSION_HEADER, _DEFAULT_VERSION), headers.get(_BETA_HEADER)
    lines = b"anthropic-version: %b\r\n" % version
    return lines + b"anthropic-beta: %b\r\n" % beta if beta else lines


def fits(body: dict[str, Any]) -> bool:
    """Returns whether Anthropic takes the ids of the calls in a conversation: other servers invent some that it refuses.

    A thread is kept by the ids of Anthropic's answers, which no client of a router sees; it is refused, whoever would answer.
    """
    return body.get("thread") is None and all(
        isinstance(identity := block.get("id"), str) and _ID.fullmatch(identity) and not opened_id(identity)[1]
        for block in _said(body)
        if block.get("type") == TOOL_USE
    )


def _said(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the blocks of all turns of the assistant."""
    return [
        block
        for message in _list(body, "messages")
        if isinstance(message, dict) and message.get("role") == "assistant"
        for block in _list(message, "content")
        if isinstance(block, dict)
    ]


def _is_unsealed(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == THINKING and not block.get("signature")


def _is_thought(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in (THINKING, REDACTED)


def _without(unfit: Callable[[Any], bool], messages: list[Any]) -> list[Any]:
    """Returns the messages without blocks that do not fit, and without turns that held nothing else."""
    kept: list[Any] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(unfit(block) for block in content):
            content = [block for block in content if not unfit(block)]
            if not content:
                continue
            message = {**message, "content": content}
        kept.append(message)
    return kept


def _is_hosted(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") not in (None, "custom")


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    found = holder.get(key)
    return found if isinstance(found, list) else []
