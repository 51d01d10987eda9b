"""The events of a continuing answer, made part of the answer that the client is reading. Pure: bytes in, bytes out.

The client sees one id, created and model, no second role, one finish_reason and one usage. A continued stream is
parsed event by event; only streams that broke pay for it.
"""

from __future__ import annotations

from typing import Any

import orjson

from genset.router.continuation.seam import Seam
from genset.router.events import DONE
from genset.router.transcript import Transcript, payload_of

GARBAGE = "sent an event that is no chunk of an answer"


class Splice:
    """`sent`: what the client has, which the new text is added to. `told`: how many of its tokens are in the new
    upstream's prompt. `left`: tokens that may still come; None: no limit of ours.

    Read after each `feed`: `lost` (the texts do not join, or the new answer took a turn that cannot follow text),
    `complete` (the client's limit is reached: nothing more is needed from upstream).
    """

    __slots__ = (
        "_before",
        "_left",
        "_repeated",
        "_seam",
        "_sent",
        "_thoughts_only",
        "_told",
        "_usage",
        "_want_usage",
        "complete",
        "lost",
    )

    def __init__(self, sent: Transcript, seam: Seam, *, want_usage: bool, told: int, left: int | None = None) -> None:
        self._sent = sent
        self._seam = seam
        self._want_usage = want_usage
        self._left = left
        self._told = told
        self._before = sent.tokens
        self._repeated = 0  # tokens of the new answer that the client has already
        self._usage: tuple[int, int] | None = None
        self._thoughts_only = False
        self.lost = ""
        self.complete = False

    def feed(self, block: bytes) -> bytes:
        """Whole events of the new upstream in, whole events for the client out."""
        out: list[bytes] = []
        for event in block.split(b"\n\n"):
            if self.lost or self.complete:
                break
            payload = payload_of(event)
            if payload == b"[DONE]":
                out.append(DONE)
            elif payload:
                try:
                    out.append(self._event(orjson.loads(payload)))
                except (ValueError, TypeError, AttributeError, LookupError):  # passed the frame check, but is no chunk
                    self.lost = GARBAGE
        return b"".join(out)

    def tokens(self) -> tuple[int, int]:
        """Prompt and completion of the whole answer, as the client should see them."""
        return self._usage or (0, self._sent.tokens)

    @property
    def told_usage(self) -> bool:
        return self._usage is not None

    def _event(self, chunk: dict[str, Any]) -> bytes:
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._merge(usage)
            if not choices:
                return self._render(chunk) if self._want_usage else b""
        if not isinstance(choices, list) or not choices:
            return b""
        choice = choices[0]
        finished = choice.get("finish_reason") is not None
        new = self._chat(choice, finished) if "delta" in choice else self._completion(choice, finished)
        if self.lost:
            return b""
        if self._left is not None and self._sent.tokens - self._before >= self._left and not finished:
            choice["finish_reason"] = "length"
            finished = self.complete = True
        if not new and not finished:
            return b""
        self._sent.finished = finished
        return self._render(chunk)

    def _chat(self, choice: dict[str, Any], finished: bool) -> bool:
        delta = choice["delta"] = choice["delta"] or {}
        delta.pop("role", None)
        if delta.get("tool_calls") or delta.get("function_call"):
            self._sent.special = self._sent.special or "tool_call"
            self._sent.tokens += 1
            return True
        reasoning_key = "reasoning_content" if delta.get("reasoning_content") else "reasoning"
        reasoning = delta.get(reasoning_key) or ""
        if reasoning and self._sent.text:
            del delta[reasoning_key]  # thoughts after the text has begun: the client could not place them
            reasoning = ""
            self._thoughts_only = True
        text = self._joined(delta.get("content") or "", finished)
        if "content" in delta or text:
            delta["content"] = text
        if text or reasoning:
            self._sent.add_text(text, reasoning)
            self._thoughts_only = False
        elif finished and self._thoughts_only:
            self.lost = "thought instead of writing on"
        return bool(text or reasoning)

    def _completion(self, choice: dict[str, Any], finished: bool) -> bool:
        text = choice["text"] = self._joined(choice.get("text") or "", finished)
        if text:
            self._sent.add_text(text)
        return bool(text)

    def _joined(self, piece: str, finished: bool) -> str:
        text = self._seam.feed(piece) if piece else ""
        if piece and not text:
            self._repeated += 1
        elif len(text) > len(piece):  # what was held back was new after all
            self._repeated = 0
        if finished:
            text += self._seam.end()
        self.lost = self._seam.lost
        return text

    def _merge(self, usage: dict[str, Any]) -> None:
        """The client pays for its prompt once, and for every token that it got. The text so far was prompt here."""
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int):
            usage["prompt_tokens"] = max(0, prompt - self._told)
            usage["completion_tokens"] = self._before + max(0, completion - self._repeated)
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
            self._usage = (usage["prompt_tokens"], usage["completion_tokens"])

    def _render(self, chunk: dict[str, Any]) -> bytes:
        chunk.update(self._sent.head)
        return b"data: " + orjson.dumps(chunk) + b"\n\n"
