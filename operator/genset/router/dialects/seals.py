"""A seal is what a provider signs or encrypts of a model's thoughts; it is good for the model and the account that made it.

Conversations outlive both: keys are exchanged, routes get other backends, gateways ask another provider. A server that refuses a
seal refuses the conversation in every later turn, too, so it is asked once more without. Others demand the thoughts of the calls
whose results they get, which the client has not, or somebody else has thought: they are asked not to think in this turn. Pure.

Sources of the words: anthropics/anthropic-sdk-python#1598, diegosouzapw/OmniRoute#2454, #1410, linanwx/nagobot#21 (OpenRouter),
openai/codex#8145, #13724, Wei-Shaw/sub2api#2863, openclaw/openclaw#21782, decolua/9router#301, lbjlaq/Antigravity-Manager#3342;
OEvortex/aether#31, decolua/9router#355 and #2397, SuperJJ007/CSSwitch#73 (DeepSeek), router-for-me/CLIProxyAPI#928 (Claude 4.5).
"""

from __future__ import annotations

import re
from typing import Any, Final

from genset.router.dialects.call_seals import FIELD, with_seal
from genset.router.dialects.marks import SEALS, THOUGHTS, holds_thoughts

#: Trail word of a request that goes without the thoughts whose seals were refused.
UNSEALED: Final = "no_thoughts"
#: The same of a request that goes without thinking, because thoughts were demanded that nobody has.
UNTHINKING: Final = "no_thinking"
DISABLED: Final[dict[str, str]] = {
    "type": "disabled"
}  # the word of Anthropic, DeepSeek and Moonshot, in the field `thinking`
#: Gemini demands a seal on each call, and takes this one for calls that it has not made. Source:
#: ai.google.dev/gemini-api/docs/thought-signatures, read on 28 Nov 2026; OpenRouter passes it on (RooCodeInc/Roo-Code#10759).
PLACEHOLDER: Final = "skip_thought_signature_validator"
_GEMINI: Final = "google-gemini"  # how the `format` of its seals begins, as OpenRouter names it
_REFUSED: Final = re.compile(
    r"invalid\s+`?signature`?\s+in\s+`?(?:redacted_)?thinking"
    r"|\bthought[ _]?signature\b.{0,20}\bnot valid\b|\b(?:invalid|corrupted) thought[ _]?signature\b"
    r"|encrypted content .{0,400}(?:could not be verified|did not match)|\bitem with id .{0,99}\brs_.{0,99}not found",
    re.IGNORECASE | re.DOTALL,
)
_DEMANDED: Final = re.compile(
    r"\b(?:content\[\]\.thinking|reasoning_content)\b.{0,80}must be (?:passed|sent) back"
    r"|\bmissing `?reasoning_content\b|\breasoning_content`? is missing\b"
    r"|expected `?thinking`? or `?redacted_thinking`?, but found",
    re.IGNORECASE | re.DOTALL,
)


def refuses_seals(words: str) -> bool:
    """Returns whether a server refuses a request because of seals that others have made."""
    return _REFUSED.search(words) is not None


def demands_thoughts(words: str) -> bool:
    """Returns whether a server refuses a request because thoughts are missing on calls whose results it holds."""
    return _DEMANDED.search(words) is not None


def without_thinking(request: dict[str, Any]) -> dict[str, Any]:
    """Returns a request in OpenAI's form that asks the model not to think; the same object if that is of no use.

    Thoughts are demanded of calls whose results a request holds, and of nothing else.
    """
    messages = request.get("messages")
    if request.get("thinking") == DISABLED or not (isinstance(messages, list) and any(map(_is_result, messages))):
        return request
    asked = {key: value for key, value in request.items() if key not in ("reasoning_effort", "reasoning")}
    return {**asked, "thinking": DISABLED}


def without_seals(request: dict[str, Any]) -> dict[str, Any]:
    """Returns a request in OpenAI's form without thoughts, and without seals on calls; the same object if it has none.

    It is not changed.
    """
    messages = request.get("messages")
    if not isinstance(messages, list) or not (holds_thoughts(messages) or any(map(_has_sealed_call, messages))):
        return request
    return {**request, "messages": [_unsealed(message) for message in messages]}


def _is_result(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("tool", "function")


def _unsealed(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    made = {key: value for key, value in message.items() if key not in THOUGHTS}
    details = message.get(SEALS)
    if isinstance(details, list) and (kept := [{**one, "data": PLACEHOLDER} for one in details if _is_geminis(one)]):
        made[SEALS] = kept
    if _has_sealed_call(message):
        made["tool_calls"] = [
            with_seal(call, PLACEHOLDER) if _is_sealed(call) else call for call in message["tool_calls"]
        ]
    return made


def _is_geminis(detail: Any) -> bool:
    return isinstance(detail, dict) and "data" in detail and str(detail.get("format")).startswith(_GEMINI)


def _has_sealed_call(message: Any) -> bool:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return isinstance(calls, list) and any(map(_is_sealed, calls))


def _is_sealed(call: Any) -> bool:
    return isinstance(call, dict) and FIELD in call
