"""Folds the events of one message into the message, as Anthropic's own clients do. Pure.

Source: `lib/streaming/_messages.py` of the anthropic package 2.14.0. What a delta of an unknown kind would add is not
known, so that such a message cannot be put together.
"""

from __future__ import annotations

from typing import Any, final

from genset.router.dialects.anthropic.words import JSON_DELTA, SIGNATURE_DELTA, TEXT_DELTA, THINKING_DELTA, merged_usage
from genset.router.dialects.tape import Folder
from genset.router.dialects.tolerant import loads

_TEXTS = {TEXT_DELTA: "text", THINKING_DELTA: "thinking", JSON_DELTA: "partial_json"}


@final
class FoldedMessage(Folder):
    """A folded message grows event by event."""

    __slots__ = ("_message", "_pieces", "_unknown")

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._unknown = False  # a delta came that nobody can add
        self._pieces: dict[int, list[str]] = {}  # by block: texts, of a call its JSON

    def whole(self) -> dict[str, Any] | None:
        return None if self._unknown else self._message

    def add(self, said: dict[str, Any]) -> None:
        kind, message = said.get("type"), self._message
        if kind == "message_start" and message is None:
            held = said.get("message")
            self._message = {**held, "content": []} if isinstance(held, dict) else None
        elif message is None:
            return
        elif kind == "content_block_start":
            held = said.get("content_block")
            message["content"].append(dict(held) if isinstance(held, dict) else {})
        elif kind == "content_block_delta":
            self._delta(said.get("delta"), message["content"])
        elif kind == "content_block_stop":
            self._close(message["content"])
        elif kind == "message_delta":
            self._end(said, message)

    def _delta(self, delta: Any, content: list[dict[str, Any]]) -> None:
        if not isinstance(delta, dict) or not content:
            return
        kind, block = delta.get("type"), content[-1]
        if kind in _TEXTS:
            piece = delta.get(_TEXTS[kind])
            self._pieces.setdefault(len(content), []).append(piece if isinstance(piece, str) else "")
        elif kind == SIGNATURE_DELTA:
            block["signature"] = delta.get("signature")
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        else:
            self._unknown = True

    def _close(self, content: list[dict[str, Any]]) -> None:
        if not content:
            return
        text, block = "".join(self._pieces.pop(len(content), ())), content[-1]
        key = block.get("type")
        if key in ("text", "thinking"):
            before = block.get(key)
            block[key] = (before if isinstance(before, str) else "") + text
        elif text:
            try:
                block["input"] = loads(text.encode("utf-8", "surrogatepass"))
            except ValueError:  # cut by the limit of tokens
                block["input"] = {}

    def _end(self, said: dict[str, Any], message: dict[str, Any]) -> None:
        if message["content"]:
            self._close(message["content"])  # a call that the limit has cut is not closed
        delta, usage = said.get("delta"), said.get("usage")
        if isinstance(delta, dict):
            message.update(delta)
        before = message.get("usage")
        if isinstance(usage, dict):
            message["usage"] = merged_usage(before if isinstance(before, dict) else {}, usage)
        if said.get("context_management") is not None:
            message["context_management"] = said["context_management"]
