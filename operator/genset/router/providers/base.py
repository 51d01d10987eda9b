"""What differs between servers that speak the OpenAI wire format.

One file per provider makes one `Provider` value; the registry is the dict literal in `__init__`. Pure, and known to the
builder of configurations as well (`base_url` is the default that a policy may override).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Words that servers use for "the prompt does not fit", lower case, matched in code, type and message.
#: Sources: OpenAI error codes; llama.cpp tools/server/server-context.cpp; vLLM serving engine; Mistral and OpenRouter
#: error pages.
CONTEXT_WORDS = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "maximum context length",
    "exceeds the available context size",
    "context window",
    "too large for model with",
    "prompt is too long",
    "longer than the maximum model length",
)
FILTER_WORDS = (
    "content_filter",
    "content_policy_violation",
    "content management policy",
    "responsibleaipolicyviolation",
    "flagged",
    "moderation",
)
QUOTA_WORDS = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient balance")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's ways.

    `telemetry_name`: OpenTelemetry's gen_ai.provider.name. `usage_option`: whether it accepts `stream_options` (one
    that refuses unknown fields sends usage unasked). `rename`: request fields that it knows by another name.
    `bad_finishes`: finish_reasons by which it says that it broke off. `continuation`: the rule by which it writes on
    another's partial answer, unless a policy names one; `continuation_path`: the base path that this needs at the
    provider's own host.
    """

    name: str
    telemetry_name: str
    base_url: str | None  # with its version segment; None: a policy must give one
    key_header: bytes = b"authorization"
    key_prefix: bytes = b"Bearer "
    usage_option: bool = True
    rename: Mapping[str, str] | None = None
    # "abort": vLLM ends running answers with it when it is told to stop, and then cleanly (seen with 0.32.0).
    bad_finishes: frozenset[str] = frozenset({"error", "abort"})
    continuation: str = "Anchor"
    continuation_path: str | None = None
    context_words: tuple[str, ...] = CONTEXT_WORDS
    filter_words: tuple[str, ...] = FILTER_WORDS
    quota_words: tuple[str, ...] = QUOTA_WORDS

    def is_context_exceeded(self, found: Mapping[str, Any]) -> bool:
        return _mentions(found, self.context_words)

    def is_content_filter(self, found: Mapping[str, Any]) -> bool:
        return _mentions(found, self.filter_words)

    def is_quota(self, found: Mapping[str, Any]) -> bool:
        return _mentions(found, self.quota_words)

    def is_model_not_found(self, found: Mapping[str, Any]) -> bool:
        """A 404 that speaks of the model; any other 404 means that the path is not there."""
        return _mentions(found, ("model",))


def _mentions(found: Mapping[str, Any], words: tuple[str, ...]) -> bool:
    text = " ".join(str(found.get(key) or "") for key in ("code", "type", "message")).lower()
    return any(word in text for word in words)
