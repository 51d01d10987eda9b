"""The answer room is how many tokens of answer a server has room for, as its refusal of a request says. Pure.

`max_tokens` limits an answer; few answers come near it, and clients that do not know the model ask for 32,000. Some
engines write until the context is full (llama.cpp, Ollama); others refuse prompt and limit together, although the
prompt alone would fit (vLLM, SGLang, TGI, most clouds). The latter are asked once more with the limit for which they
have room; twice, if they do not say how long the prompt is, because the router can only estimate that.

What a refusal says is trusted for the refused request and no other, because it may quote the request.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

LEAST_ANSWER_TOKENS: Final = 16  # with less room the prompt is what is too long
SMALL_ANSWER_TOKENS: Final = 256  # a backend must have room for so much of a request's limit to be asked
LIMIT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
MOST_MESSAGE_CHARACTERS: Final = 4096

_MOST_DIGITS: Final = r"(\d{1,9})"


@final
class Room:
    """Room is what a refusal says: tokens of the `context` and of the `prompt`. `least`: the prompt may be longer."""

    __slots__ = ("context", "least", "prompt")

    def __init__(self, context: int, prompt: int, *, least: bool = False) -> None:
        self.context = context
        self.prompt = prompt
        self.least = least


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(sentence.replace("NUMBER", _MOST_DIGITS), re.IGNORECASE)


#: Sentences of servers. `c`: context, `p`: prompt, `t`: prompt and answer, `a`: answer, `l`: prompt at least. Sources:
#: the servers' own code or messages, or as named.
_SENTENCES: Final = tuple(
    (_pattern(sentence), letters)
    for sentence, letters in (
        # OpenAI (older models); vLLM up to 0.8, vllm/entrypoints/openai/serving_engine.py; Groq, DeepSeek, Together.
        # OpenAI names functions between messages and completion.
        (
            r"maximum context length is NUMBER tokens\W+however,? you requested NUMBER tokens \("
            r"[^()]{0,80}?NUMBER (?:tokens )?(?:in|for) the completion",
            "cta",
        ),
        # vLLM 0.9 to 0.11, serving_engine.py: (8000 > 4096 - 2778).
        (r"maximum context length is NUMBER tokens and your request has NUMBER input tokens", "cp"),
        # vLLM from 0.12 on (renderers), Cloudflare, Bedrock. They stop counting one token above the limit.
        (
            r"maximum context length is NUMBER tokens\W+however, you requested NUMBER output tokens and your prompt "
            r"contains at least NUMBER input tokens",
            "cal",
        ),
        # OpenRouter: "This endpoint's maximum context length is 32768 tokens. However, you requested about 40100 tokens
        # (100 of text input, 40000 in the output)."
        (
            r"maximum context length is NUMBER tokens\W+however, you requested about NUMBER tokens \("
            r"[^()]{0,120}?NUMBER (?:tokens )?in the output",
            "cta",
        ),
        # SGLang 0.4 and 0.5, python/sglang/srt/managers/tokenizer_manager.py.
        (
            r"maximum context length of NUMBER tokens\W+you requested a total of NUMBER tokens: NUMBER tokens "
            r"from the input messages and NUMBER tokens for the completion",
            "ctpa",
        ),
        # TGI 1 to 3, router/src/validation.rs; Together.
        (r"`inputs` tokens \+ `max_new_tokens` must be <= NUMBER\W+given: NUMBER `inputs` tokens", "cp"),
        # Anthropic, and gateways before it.
        (r"input length and `max_tokens` exceed context limit: NUMBER \+ NUMBER > NUMBER", "pac"),
        # Mistral: a prompt that fits is too large only together with the limit.
        (r"Prompt contains NUMBER tokens and \d+ draft tokens, too large for model with NUMBER maximum context", "pc"),
        # vLLM from 0.11 on and TensorRT-LLM behind it: the limit alone is more than the context.
        (r"max_(?:completion_)?tokens=\d{1,12} cannot be greater than (?:max_model_len=)?(?:max_total_tokens=)?NUMBER", "c"),
    )
)  # fmt: skip

#: How servers say that none of their answers may be longer. The last number plus the offset is the maximum.
_CAPS: Final = tuple(
    (_pattern(sentence.replace("LIMIT", r"max_(?:new_|completion_|output_)?tokens")), more)
    for sentence, more in (
        (r"supports at most NUMBER (?:completion|output) tokens", 0),  # OpenAI, Azure
        (r"\d > NUMBER, which is the maximum allowed number of output tokens", 0),  # Anthropic
        (r"range of LIMIT (?:is|should be|must be) \[\d+, ?NUMBER\]", 0),  # DeepSeek, DashScope
        (r"LIMIT \d+ exceeds the limit NUMBER", 0),  # LMDeploy
        (r"maximum tokens you requested exceeds the model limit of NUMBER", 0),  # Bedrock
        (r"maxOutputTokens value of \d+ but the supported range is from \d+ \(inclusive\) to NUMBER \(exclusive\)", -1),
        # Groq, Cohere, OpenAI's Responses and newer models, TensorRT-LLM; not the sum of prompt and answer.
        (r"(?<!\+ )(?<!\+ `)(?:LIMIT|max tokens)\W[^.]{0,80}?(?:less than or equal to|<=|at most) `?NUMBER", 0),
        (r"LIMIT'?: integer above maximum value\. Expected a value <= NUMBER", 0),
    )
)  # fmt: skip

_SPEAKS_OF_LIMIT: Final = re.compile(r"max_(?:new_|completion_|output_)?tokens|completion|output tokens", re.IGNORECASE)


def room_of(message: str) -> Room | None:
    """Returns what a server's message says of its room; None if it says nothing known."""
    message = message[:MOST_MESSAGE_CHARACTERS]
    for pattern, letters in _SENTENCES:
        found = pattern.search(message)
        if found is not None:
            return _room(dict(zip(letters, (int(number) for number in found.groups()), strict=True)))
    return None


def cap_of(message: str) -> int | None:
    """Returns the most tokens that a server lets any answer have, as its message says; None if it says nothing known."""
    message = message[:MOST_MESSAGE_CHARACTERS]
    for pattern, more in _CAPS:
        found = pattern.search(message)
        if found is not None:
            return int(found.group(1)) + more
    return None


def _room(told: dict[str, int]) -> Room:
    context = told["c"]
    if "l" in told:  # it stopped counting when prompt and answer together were one token too long
        return Room(context, told["l"], least=told["l"] + told["a"] == context + 1)
    if "p" in told:
        return Room(context, told["p"])
    if "t" in told:
        return Room(context, max(0, told["t"] - told["a"]))
    return Room(context, 0, least=True)


def lower_limit(asked: int, message: str, estimate: int, context: int | None, *, again: bool = False) -> int | None:
    """Returns the limit with which a server may take the request that it has refused; None if there is none.

    `asked` is the limit that it refused, `estimate` the router's estimate of the prompt's tokens, `context` what the
    policy says that the backend holds, for messages without numbers. `again`: it has refused a lowered limit before, so
    an estimate of the prompt was too low.
    """
    room = room_of(message)
    if room is None:
        cap = cap_of(message)
        if cap is not None and LEAST_ANSWER_TOKENS <= cap < asked:
            return cap
        if context is None or not _SPEAKS_OF_LIMIT.search(message[:MOST_MESSAGE_CHARACTERS]):
            return None
        room = Room(context, 0, least=True)
    if not room.least:
        left = room.context - room.prompt
        return left if LEAST_ANSWER_TOKENS <= left < asked else None
    left = room.context - max(room.prompt, estimate)
    if left < LEAST_ANSWER_TOKENS:
        return None
    if again or left > asked - asked // 16:  # the estimate was too low, or this is nearly what was refused
        left = max(LEAST_ANSWER_TOKENS, room.context - max(room.prompt, estimate + estimate // 4))
    return left if left < asked else None


def limit_that_fits(asked: int, estimate: int, context: int) -> int | None:
    """Returns the limit for a server that refuses more than its context; None if the client's own limit fits."""
    if asked <= context - estimate:
        return None
    return max(LEAST_ANSWER_TOKENS, context - estimate)


def limit_of(request: dict[str, Any]) -> int:
    """Returns the most tokens that the client wants in the answer; 0 if it does not say."""
    value = request.get("max_completion_tokens")
    if not isinstance(value, int) or value <= 0:
        value = request.get("max_tokens")
    return value if isinstance(value, int) and value > 0 else 0


def with_limit(request: dict[str, Any], most: int) -> dict[str, Any]:
    """Returns the request with no limit above `most`: a copy if there is one, otherwise the request itself."""
    changed: dict[str, Any] = {}
    for key in (*LIMIT_FIELDS, "min_tokens"):  # vLLM refuses a minimum above the maximum
        value = request.get(key)
        if isinstance(value, int) and value > most:
            changed[key] = most
    return {**request, **changed} if changed else request
