"""Authors are backends that continue answers, as far as HTTP shows them: each answers as its server would.

An author knows the whole text and checks the request. Asked in a way that it does not understand, it does what the real
server does: it refuses, or starts over. Pure: request in, response out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support.cuts.streams import HEAD

#: name: how the backend is configured
RULES = {
    "prefill": "Prefill",
    "prefill of a gateway that repeats": "Prefill",
    "final message": "ContinueFinalMessage",
    "does not know the switch": "ContinueFinalMessage",
    "does not know the prefill": "Prefill",
    "prefix": "Prefix",
    "prefix, repeated by the server": "Prefix",
    "anchor": "Anchor",
    "anchor after a preamble": "Anchor",
    "anchor said twice": "Anchor",
    "starts over": "Anchor",
    "starts over without the leading space": "Anchor",
    "anchor in quotes, then anew": "Anchor",
    "says something else": "Anchor",
    "refuses the prefill": "Prefill",
    "refuses the final message": "ContinueFinalMessage",
    "refuses the prefix": "Prefix",
    "off": "Off",
}


PROMPT = "Count:"  # of legacy completions
_TOKEN = re.compile(r"\s?\S{1,6}|\s")


@dataclass(frozen=True)
class Author:
    """An author knows the whole answer; `manner` is a key of RULES."""

    manner: str
    text: str
    reasoning: str = ""
    finish: str = "stop"

    @property
    def continuation(self) -> str:
        return RULES[self.manner]

    def respond(self, body: dict[str, Any]) -> bytes:
        """Returns the whole response, head and all."""
        if "prompt" in body:
            said = body["prompt"].removeprefix(PROMPT)
            rest = self.text[len(said) :] if self.text.startswith(said) else "How could I have begun like that?"
            return self._response(body, "", rest)
        messages = body["messages"]
        last = messages[-1]
        answer: tuple[str, str] | None
        if last["role"] == "assistant":
            answer = self._writes_on(body, last)
        elif len(messages) > 1 and messages[-2]["role"] == "assistant":
            answer = self._asked_to_go_on(messages[-2]["content"], last["content"])
        else:
            answer = self.reasoning, self.text
        return REFUSAL if answer is None else self._response(body, *answer)

    def _writes_on(self, body: dict[str, Any], last: dict[str, Any]) -> tuple[str, str] | None:
        text = last["content"]
        if self.manner.startswith("refuses"):
            return None
        if not self.text.startswith(text):
            return "", "I do not know how I could have begun like that."
        rest = self.text[len(text) :]
        match self.manner:
            case "prefill":
                return "", rest
            case "prefill of a gateway that repeats":
                return "", text + rest
            case "final message":
                both = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
                return ("", rest) if both else None
            case "prefix" | "prefix, repeated by the server":
                if last.get("prefix") is not True:
                    return None
                return "", text + rest if "repeated" in self.manner else rest
        return "", self.text  # a finished turn of its own: it answers once more

    def _asked_to_go_on(self, text: str, instruction: str) -> tuple[str, str] | None:
        anchor = instruction.rsplit("\n", 1)[1] if "\n" in instruction else ""
        anchor = next((a for a in (instruction.split(":\n", 1)[-1], anchor) if a and a in text), "")
        at = text.rfind(anchor) + len(anchor) if anchor else 0
        rest = self.text[at:] if self.text.startswith(text[:at]) else self.text
        match self.manner:
            case "anchor after a preamble":
                return "", f"Certainly! {anchor}{rest}"
            case "anchor said twice":
                return "", f"{anchor}\n\n{anchor}{rest}"
            case "anchor in quotes, then anew":
                return "", f'"{anchor}"\n{anchor}{rest}'
            case "starts over":
                return "", self.text
            case "starts over without the leading space":
                return "", self.text.lstrip()
            case "says something else":
                return "", "I am sorry, I cannot continue that. " * 20
        return "", anchor + rest

    def _response(self, body: dict[str, Any], reasoning: str, text: str) -> bytes:
        texts = _TOKEN.findall(text)
        finish, limit = self.finish, body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and limit < len(texts):
            texts, finish = texts[:limit], "length"
        base: dict[str, Any] = {
            "id": "cmpl-other",
            "object": "chat.completion.chunk",
            "created": 1_790_000_099,
            "model": "other",
        }
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": reasoning}] if reasoning else []
        deltas += [{"content": piece} for piece in texts]
        choices: list[dict[str, Any]] = [{"delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"delta": {}, "finish_reason": finish})
        if "prompt" in body:
            base["object"] = "text_completion"
            choices = [{"text": piece, "finish_reason": None} for piece in texts]
            choices.append({"text": "", "finish_reason": finish})
        events = [{**base, "choices": [{"index": 0, **choice}]} for choice in choices]
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 20, "completion_tokens": len(texts), "total_tokens": 20 + len(texts)}
            events.append({**base, "choices": [], "usage": usage})
        payload = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"
        return HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload)


_BODY = orjson.dumps(
    {"error": {"code": 400, "message": "Cannot have a last message of the assistant", "type": "invalid_request_error"}}
)
REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
