"""Knows what a client has got of one streamed answer: its text so far, and whatever a splice must know of it.

A transcript is built from the events that were forwarded, in batches and off the common path: events are kept as bytes
(`kept`), and become text here when they are many, or when the stream broke and another backend is to write on. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.openai.events import data_of, has_token, index_of
from genset.router.dialects.openai.shortcuts.template import decode
from genset.router.dialects.tolerant import loads, mended

MOST_CHARACTERS: Final = 4 * 1024 * 1024  # of text kept per answer; a longer one cannot be continued

_NEWLINE: Final = ord("\n")


class Transcript:
    """A Transcript is the `text` and the `reasoning` of an answer so far, with what else a splice must know.

    `tokens` of both, as far as one can tell: never fewer than events or words. `special` names what was sent that no other
    model could write on from (a tool call, log probabilities, ...); "" if all was plain text. `finished`: there was a
    finish_reason, and nothing of the answer has followed it. `head` holds the answer's own id, created, model and
    system_fingerprint.
    """

    __slots__ = ("_characters", "_named", "_reasoning", "_text", "finished", "head", "special", "tokens")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._characters = 0
        self._named = False
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
        """Takes whole events that were forwarded, each with its blank line."""
        for event in block.split(b"\n\n"):
            payload = payload_of(event)
            if payload[:1] == b"{":
                try:
                    chunk = loads(payload)
                except ValueError:
                    self.special = self.special or "garbage"  # it looked like JSON from outside
                else:
                    self._chunk(chunk)

    def add_text(self, text: str, reasoning: str = "") -> None:
        """Takes the text of one event, and counts its tokens.

        Servers in a hurry put several tokens into one event (vLLM, gateways); no token is longer than a word.
        """
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
        """Takes the texts of several events in a row, as they stood in their JSON under `key` of the delta."""
        before = self.tokens
        self.finished = False
        text = decode(texts)
        if text is None:
            self.special = self.special or "garbage"
        elif key in ("content", "text"):
            self.add_text(text)
        else:
            self.add_text("", text)
        self.tokens = max(self.tokens, before + len(texts))  # words were counted already

    def add_special(self, word: str) -> None:
        """Takes note of a part that no other model could write on from; `word` names it for `special`."""
        self.tokens += 1
        self.special = self.special or word

    def count(self, tokens: int) -> None:
        """Counts tokens whose text is kept elsewhere."""
        self.tokens += tokens

    def finish(self) -> None:
        """Takes note that a finish_reason was sent."""
        self.finished = True

    def reopen(self) -> None:
        """Takes note that more of the answer has come behind its finish_reason."""
        self.finished = False

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if not self._named:
            self._name(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                self.special = self.special or "garbage"
                continue
            if index_of(choice) != 0:
                self.special = self.special or "several_choices"
            if choice.get("logprobs"):
                self.special = self.special or "logprobs"
            if choice.get("finish_reason"):
                self.finished = True
            elif self.finished and has_token(choice):
                self.finished = False
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._delta(delta)
            elif text := choice.get("text"):
                if isinstance(text, str):
                    self.add_text(text)
                else:
                    self.special = self.special or "structured_content"
            elif has_token(choice):
                self.special = self.special or "unknown_part"

    def _name(self, chunk: dict[str, Any]) -> None:
        """Takes what identifies the answer: the first value that says something, because Azure's first events hold empty ones."""
        head = self.head
        for key in ("id", "created", "model", "system_fingerprint"):
            if key in chunk and not head.get(key):
                head[key] = chunk[key]
        self._named = bool(head.get("id") and head.get("created") and head.get("model"))

    def _delta(self, delta: dict[str, Any]) -> None:
        text = delta.get("content")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if not isinstance(text or "", str) or not isinstance(reasoning or "", str):
            self.special = self.special or "structured_content"
        elif text or reasoning:
            self.add_text(text or "", reasoning or "")
        for key, word in SPECIAL.items():
            if delta.get(key):
                self.add_special(word)
        details = delta.get("reasoning_details")  # OpenRouter's form
        if isinstance(details, list) and any(_is_signed(detail) for detail in details):
            self.special = self.special or "signed_thinking"
        if not self.special and holds_more(delta):
            self.special = "unknown_part"


#: Parts of a delta that only their author can continue, with the word for each. A signature belongs to thinking that its author
#: wants back unchanged.
SPECIAL: Final = {
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "refusal": "refusal",
    "audio": "audio",
    "signature": "signed_thinking",
    "thinking_blocks": "signed_thinking",
}


#: Parts of a delta that are text, known to `SPECIAL`, or no part of the answer.
_PLAIN: Final = frozenset(
    {"role", "content", "reasoning_content", "reasoning", "reasoning_details", "obfuscation", *SPECIAL}
)


def holds_more(delta: dict[str, Any]) -> bool:
    """Returns whether a delta holds something that is neither text nor known here: images, annotations, what comes next year."""
    return any(value and key not in _PLAIN for key, value in delta.items())


def _is_signed(detail: Any) -> bool:
    return isinstance(detail, dict) and bool(detail.get("signature") or detail.get("type") == "reasoning.encrypted")


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return mended(parts[0]) if parts else ""


def payload_of(event: bytes) -> bytes:
    """Returns the data of one event (WHATWG HTML, 9.2.6), which is its `data` lines joined; b"" if it has none."""
    if event.startswith(b"data: ") and _NEWLINE not in event:  # almost always
        return event[6:].strip()
    return b"\n".join(data_of(event)).strip()
