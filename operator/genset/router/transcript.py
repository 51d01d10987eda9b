"""What the client has been told of one streamed answer: the text so far, and whatever a splice must know of it.

Pure. Built from the events that were forwarded, in batches and off the common path: events are kept as bytes, and
become text here when they have grown large, or when the stream broke and another backend is to write on.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from genset.router.template import decode

MOST_CHARACTERS: Final = 4 * 1024 * 1024  # of text kept per answer; a longer one cannot be continued


class Transcript:
    """`text` and `reasoning` so far; `tokens` of both, as far as one can tell: never less than events or words.

    `special` names what was sent that no other model could write on from (a tool call, log probabilities, ...); "" for
    plain text. `head` holds the answer's own id, created, model and system_fingerprint.
    """

    __slots__ = ("_characters", "_reasoning", "_text", "finished", "head", "special", "tokens")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._characters = 0
        self.tokens = 0
        self.special = ""
        self.finished = False
        self.head: dict[str, Any] = {}

    @property
    def text(self) -> str:
        return _joined(self._text)

    @property
    def reasoning(self) -> str:
        return _joined(self._reasoning)

    def add(self, block: bytes) -> None:
        """Whole forwarded events, each ended by a blank line."""
        for event in block.split(b"\n\n"):
            payload = payload_of(event)
            if payload[:1] == b"{":
                try:
                    chunk = orjson.loads(payload)
                except orjson.JSONDecodeError:
                    self.special = self.special or "garbage"  # passed the frame check, but nobody can write on from it
                else:
                    self._chunk(chunk)

    def add_text(self, text: str, reasoning: str = "") -> None:
        """One event's text. Servers in a hurry put several tokens into one (vLLM, gateways); a token is a word at most."""
        self.tokens += max(1, len(text.split()) + len(reasoning.split()))
        self._characters += len(text) + len(reasoning)
        if self._characters > MOST_CHARACTERS:
            self.special = self.special or "too_long"
            self._text.clear()
            self._reasoning.clear()
            return
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)

    def add_run(self, key: str, texts: list[bytes]) -> None:
        """The texts of events in a row, as they stood in their JSON; `key` of the delta."""
        before = self.tokens
        text = decode(texts)
        if text is None:
            self.special = self.special or "garbage"
        elif key in ("content", "text"):
            self.add_text(text)
        else:
            self.add_text("", text)
        self.tokens = max(self.tokens, before + len(texts))  # words were counted already

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if not self.head:
            self.head = {key: chunk[key] for key in ("id", "created", "model", "system_fingerprint") if key in chunk}
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                self.special = self.special or "garbage"
                continue
            if choice.get("index", 0) != 0:
                self.special = self.special or "several_choices"
            if choice.get("logprobs"):
                self.special = self.special or "logprobs"
            if choice.get("finish_reason") is not None:
                self.finished = True
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._delta(delta)
            elif text := choice.get("text"):
                if isinstance(text, str):
                    self.add_text(text)
                else:
                    self.special = self.special or "structured_content"

    def _delta(self, delta: dict[str, Any]) -> None:
        text = delta.get("content")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if not isinstance(text or "", str) or not isinstance(reasoning or "", str):
            self.special = self.special or "structured_content"
        elif text or reasoning:
            self.add_text(text or "", reasoning or "")
        for key, word in _SPECIAL.items():
            if delta.get(key):
                self.tokens += 1
                self.special = self.special or word
        details = delta.get("reasoning_details")  # OpenRouter's form
        if isinstance(details, list) and any(_is_signed(detail) for detail in details):
            self.special = self.special or "signed_thinking"


#: Parts of a delta that only their author can continue. Signatures belong to thinking that must come back unchanged.
_SPECIAL: Final = {
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "refusal": "refusal",
    "audio": "audio",
    "signature": "signed_thinking",
    "thinking_blocks": "signed_thinking",
}


def _is_signed(detail: Any) -> bool:
    return isinstance(detail, dict) and bool(detail.get("signature") or detail.get("type") == "reasoning.encrypted")


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return parts[0] if parts else ""


def payload_of(event: bytes) -> bytes:
    """The data of one event (WHATWG HTML, 9.2.6): its `data` lines joined; b"" where it has none."""
    if event.startswith(b"data: ") and b"\n" not in event:  # almost always
        return event[6:].strip()
    lines = [line[6:] if line[5:6] == b" " else line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines).strip()
