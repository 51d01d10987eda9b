"""Makes the events of a continuing answer part of the answer that the client is reading. Pure: bytes in, bytes out.

The client sees one id, created and model, no second role, one finish_reason and one usage. A continued stream is
parsed event by event; only streams that broke pay for it.
"""

from __future__ import annotations

from typing import Any

from genset.router.continuation.seam import Seam
from genset.router.dialects.openai.events import DONE, counts_of
from genset.router.dialects.openai.transcript import SPECIAL, Transcript, holds_more, payload_of
from genset.router.dialects.tolerant import dumps, loads_exactly

_THOUGHTS = ("reasoning_details", "thinking_blocks", "signature")
GARBAGE = "sent an event that is no chunk of an answer"


class Splice:
    """A Splice takes the events of the new upstream, and returns the events that the client gets.

    `lost`: why the new answer cannot go on: the texts do not join, or it took a turn that cannot follow text; "" while it can.
    `complete`: the client's limit is reached, and nothing more is needed from upstream.

    The finish_reason and the usage are held back until the stream ends, by [DONE] or by `end`: what comes after them may
    still be text, and the client sees one of each.
    """

    __slots__ = (
        "_before",
        "_counts",
        "_finish",
        "_left",
        "_repeated",
        "_seam",
        "_sent",
        "_thoughts_only",
        "_told",
        "_usage",
        "_want_usage",
        "_wrote_on",
        "complete",
        "lost",
    )

    def __init__(self, sent: Transcript, seam: Seam, *, want_usage: bool, told: int, left: int | None = None) -> None:
        """`sent`: what the client has; the new text is added to it. `told`: how many of its tokens are in the prompt of the new
        upstream. `left`: tokens that may still come; None if the router sets no limit.
        """
        self._sent = sent
        self._seam = seam
        self._want_usage = want_usage
        self._left = left
        self._told = told
        self._before = sent.tokens
        self._repeated = 0  # tokens of the new answer that the client has already
        self._usage: tuple[int, int] | None = None
        self._thoughts_only = False
        self._finish: dict[str, Any] | None = None  # the last event with a finish_reason, without its text
        self._counts: dict[str, Any] | None = None  # the last event with nothing but the usage
        self._wrote_on = False  # something has followed a finish_reason
        self.lost = ""
        self.complete = False

    def feed(self, block: bytes) -> bytes:
        """Takes whole events of the new upstream, and returns whole events for the client."""
        out: list[bytes] = []
        for event in block.split(b"\n\n"):
            if self.lost or self.complete:
                break
            payload = payload_of(event)
            if payload == b"[DONE]":
                out.append(self.end())
                if not self.lost:
                    out.append(DONE)
            elif payload:
                try:
                    out.append(self._event(loads_exactly(payload)))
                except (ValueError, TypeError, AttributeError, LookupError):  # JSON, but no chunk
                    self.lost = GARBAGE
        return b"".join(out)

    def end(self) -> bytes:
        """Takes the end of the new answer, and returns what was held back of it, with its finish_reason. May set `lost`."""
        chunk, self._finish = self._finish, None
        if chunk is None:
            return b""
        text = self._seam.end()
        self.lost = self._seam.lost
        if self._thoughts_only and not (text or self.lost):
            self.lost = "thought instead of writing on"
        if self.lost:
            return b""
        if text:
            choice = chunk["choices"][0]
            if "delta" in choice:
                choice["delta"] = {"content": text}
            else:
                choice["text"] = text
            self._sent.add_text(text)
        self._sent.finish()
        counts = self._render(self._counts) if self._counts is not None and self._want_usage else b""
        return self._render(chunk) + counts

    def tokens(self) -> tuple[int, int]:
        """Returns the tokens of the prompt and of the whole answer, as the client should see them."""
        return self._usage or (0, self._sent.tokens)

    def _event(self, chunk: dict[str, Any]) -> bytes:
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._merge(usage)
            if not choices:
                self._counts = chunk
                return b""
        if not isinstance(choices, list) or not choices:
            return b""
        choice = choices[0]
        reason = choice.get("finish_reason")
        new = self._chat(choice) if "delta" in choice else self._completion(choice)
        if self.lost:
            return b""
        if new and self._finish is not None:
            self._wrote_on = True
        reached = self._left is not None and self._sent.tokens - self._before >= self._left
        if reached and (not reason or self._wrote_on):
            choice["finish_reason"] = "length"
            self._sent.finish()
            self.complete = True
            return self._render(chunk)
        if new:
            self._sent.reopen()
        if reason:
            empty: dict[str, Any] = {"delta": {}} if "delta" in choice else {"text": ""}
            self._finish = {**chunk, "choices": [{**choice, **empty}]}
            chunk.pop("usage", None)
        choice["finish_reason"] = None
        return self._render(chunk) if new else b""

    def _chat(self, choice: dict[str, Any]) -> bool:
        """Takes the choice of a chat's event, leaves in it what is new to the client, and says whether that is anything."""
        delta = choice["delta"] = choice["delta"] or {}
        delta.pop("role", None)
        reasoning_key = "reasoning_content" if delta.get("reasoning_content") else "reasoning"
        reasoning = delta.get(reasoning_key) or ""
        if self._sent.text:  # thoughts after the text has begun: the client could not place them
            if reasoning:
                del delta[reasoning_key]
                reasoning = ""
                self._thoughts_only = True
            for key in _THOUGHTS:
                delta.pop(key, None)
        text = self._joined(delta.get("content") or "")
        if "content" in delta or text:
            delta["content"] = text
        if text or reasoning:
            self._sent.add_text(text, reasoning)
            self._thoughts_only = False
        more = next((word for key, word in SPECIAL.items() if delta.get(key)), "")
        if not more and holds_more(delta):
            more = "unknown_part"
        if more:
            self._sent.add_special(more)
        return bool(text or reasoning or more)

    def _completion(self, choice: dict[str, Any]) -> bool:
        text = choice["text"] = self._joined(choice.get("text") or "")
        if text:
            self._sent.add_text(text)
        return bool(text)

    def _joined(self, piece: str) -> str:
        text = self._seam.feed(piece) if piece else ""
        if piece and not text:
            self._repeated += 1
        elif len(text) > len(piece):  # what was held back was new after all
            self._repeated = 0
        self.lost = self._seam.lost
        return text

    def _merge(self, usage: dict[str, Any]) -> None:
        """Corrects a usage, in which the text so far was a part of the prompt.

        The client pays for its prompt once, and for every token that it got.
        """
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int):
            completion = counts_of(usage)[1]
            usage["prompt_tokens"] = max(0, prompt - self._told)
            usage["completion_tokens"] = self._before + max(0, completion - self._repeated)
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
            self._usage = (usage["prompt_tokens"], usage["completion_tokens"])

    def _render(self, chunk: dict[str, Any]) -> bytes:
        chunk.update(self._sent.head)
        return b"data: " + dumps(chunk) + b"\n\n"
