"""Decides which answers may be continued by another backend, once their stream has broken. Pure.

Nobody writes on in an answer whose form a second author would begin anew (JSON of a schema, a tool call), in several answers at
once, and in what belongs to the tokens of one model (log probabilities, signed thinking, audio).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genset.router.dialects.openai.transcript import Transcript

#: Fields of a request that bind its answer to a grammar: OpenAI, llama.cpp (tools/server), vLLM (sampling parameters).
_FORMS = (
    "grammar", "json_schema", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
)  # fmt: skip


def why_not(request: Mapping[str, Any], sent: Transcript, *, chat: bool) -> str:
    """Returns a word for the reason why nobody may write on; "" if somebody may."""
    if sent.special:
        return sent.special
    if _number(request.get("n")) > 1 or _number(request.get("best_of")) > 1:
        return "several_choices"
    logprobs = request.get("logprobs")  # a number for completions, and 0 is one that asks for them
    if (logprobs is not None and logprobs is not False) or request.get("top_logprobs"):
        return "logprobs"
    if any(request.get(field) is not None for field in _FORMS):
        return "structured_output"
    form = request.get("response_format")
    if isinstance(form, dict) and form.get("type") not in (None, "text"):
        return "structured_output"
    return _chat(request) if chat else _completion(request)


def _chat(request: Mapping[str, Any]) -> str:
    choice = request.get("tool_choice")
    if choice not in (None, "auto", "none") or isinstance(request.get("function_call"), dict):
        return "forced_tool"
    if "audio" in (request.get("modalities") or ()):
        return "audio"
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return "unknown_messages"
    if messages and messages[-1].get("role") == "assistant":
        last = messages[-1]
        if last.get("tool_calls") or not isinstance(last.get("content") or "", str):
            return "unknown_messages"
    return ""


def _completion(request: Mapping[str, Any]) -> str:
    prompt = request.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        return "several_prompts"
    return "fill_in" if request.get("suffix") or request.get("echo") else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
