"""Refusals of a limit that is more than the context, in the words of each server; what it is asked for then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.machine.answer_room import cap_of, limit_of, limit_that_fits, lower_limit, room_of, with_limit

OPENAI = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (1000 in the messages, 8000 in the completion). Please reduce the length of the messages or completion."  # noqa: E501
#: server: message, context, prompt, whether the prompt may be longer than that
SEEN: dict[str, tuple[str, int, int, bool]] = {
    "OpenAI, vLLM 0.6": (OPENAI, 8192, 1000, False),
    "OpenAI with functions": (
        "This model's maximum context length is 16385 tokens. However, you requested 17700 tokens (1000 in the messages, "
        "700 in the functions, 16000 in the completion). Please reduce the length of the messages, functions, or completion.",
        16385, 1700, False,
    ),
    "OpenAI completions": (
        "This model's maximum context length is 4097 tokens, however you requested 4104 tokens (8 in your prompt; 4096 for "
        "the completion). Please reduce your prompt; or completion length.",
        4097, 8, False,
    ),
    "vLLM 0.10": (
        "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 16384 tokens "
        "and your request has 250 input tokens (32000 > 16384 - 250).",
        16384, 250, False,
    ),
    "vLLM 0.12, counted to the end": (
        "This model's maximum context length is 32768 tokens. However, you requested 32000 output tokens and your prompt "
        "contains at least 4000 input tokens, for a total of at least 36000 tokens. Please reduce the length of the input "
        "prompt or the number of requested output tokens. (parameter=input_tokens, value=4000)",
        32768, 4000, False,
    ),
    "vLLM 0.12, counted to one too many": (
        "This model's maximum context length is 32768 tokens. However, you requested 32000 output tokens and your prompt "
        "contains at least 769 input tokens, for a total of at least 32769 tokens. Please reduce the length of the input.",
        32768, 769, True,
    ),
    "vLLM 0.32": (
        "max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer output tokens.", 2048, 0, True,
    ),
    "vLLM, total": (
        "max_completion_tokens=32000 cannot be greater than max_model_len=max_total_tokens=16384. Please request fewer "
        "output tokens. (parameter=max_completion_tokens, value=32000)", 16384, 0, True,
    ),
    "SGLang 0.5": (
        "Requested token count exceeds the model's maximum context length of 64000 tokens. You requested a total of 71897 "
        "tokens: 7897 tokens from the input messages and 64000 tokens for the completion. Please reduce the number of tokens.",
        64000, 7897, False,
    ),
    "TGI 2": (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 32769. Given: 30 `inputs` tokens and "
        "999999999 `max_new_tokens`", 32769, 30, False,
    ),
    "Mistral": (
        "Prompt contains 250 tokens and 0 draft tokens, too large for model with 8192 maximum context length",
        8192, 250, False,
    ),
    "Anthropic": (
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` "
        "and try again", 200000, 190000, False,
    ),
    "OpenRouter": (
        "This endpoint's maximum context length is 32768 tokens. However, you requested about 40100 tokens (90 of text input, "
        "10 of tool input, 40000 in the output). Please reduce the length of either one.", 32768, 100, False,
    ),
}  # fmt: skip
#: Where the prompt alone is what is too long, or nothing is said that helps.
NOT_OF_THE_LIMIT = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "the request exceeds the available context size, try increasing it",
    "The input (41000 tokens) is longer than the model's context length (32768 tokens).",
    "prompt is too long: 213462 tokens > 200000 maximum",
    "'temperature' must be between 0 and 2",
    "",
)


@pytest.mark.parametrize("server", SEEN)
def test_what_servers_say(server: str) -> None:
    message, context, prompt, least = SEEN[server]
    room = room_of(message)
    assert room is not None and (room.context, room.prompt, room.least) == (context, prompt, least)
    wrapped = room_of(f"litellm.BadRequestError: OpenAIException - {message}")
    assert wrapped is not None and wrapped.context == context


@pytest.mark.parametrize("message", NOT_OF_THE_LIMIT)
def test_what_says_nothing_of_the_limit(message: str) -> None:
    assert room_of(message) is None and lower_limit(32000, message, 100, 8192) is None


#: asked, message, estimate, context that the policy says; the limit of the second try
LOWERED: list[tuple[int, str, int, int | None, int | None]] = [
    (8000, OPENAI, 900, None, 7192),
    (32000, SEEN["vLLM 0.10"][0], 100, None, 16134),
    (32000, SEEN["vLLM 0.12, counted to the end"][0], 100, None, 28768),
    (32000, SEEN["vLLM 0.12, counted to one too many"][0], 8000, None, 24768),
    (24768, SEEN["vLLM 0.12, counted to one too many"][0], 8000, None, 22768),  # what was estimated was refused
    (32000, SEEN["vLLM 0.12, counted to one too many"][0], 31000, None, 1768),
    (1768, SEEN["vLLM 0.12, counted to one too many"][0], 31000, None, 16),  # it may just fit
    (32000, SEEN["vLLM 0.12, counted to one too many"][0], 33000, None, None),
    (100000, SEEN["vLLM 0.32"][0], 400, None, 1648),
    (20000, SEEN["Anthropic"][0], 1, None, 10000),
    (8000, OPENAI.replace("9000", "16180").replace("1000", "8180"), 8000, None, None),  # 12 are left
    (100, OPENAI, 900, None, None),  # less than what is left was asked for: it is not that
    (0, OPENAI, 900, None, None),
    (32000, "max_tokens is too big for this model", 1000, 8192, 7192),
    (32000, "max_tokens is too big for this model", 1000, None, None),
]


@pytest.mark.parametrize(("asked", "message", "estimate", "context", "expected"), LOWERED)
def test_the_limit_of_the_second_try(
    asked: int, message: str, estimate: int, context: int | None, expected: int | None
) -> None:
    assert lower_limit(asked, message, estimate, context) == expected


def test_only_who_does_not_say_how_long_the_prompt_is_is_asked_a_third_time() -> None:
    assert lower_limit(7192, OPENAI, 900, None, again=True) is None
    assert lower_limit(24768, SEEN["vLLM 0.12, counted to one too many"][0], 8000, None, again=True) == 22768


@given(st.text(max_size=6000), st.integers(0, 10**9), st.integers(0, 10**7))
def test_no_message_is_too_strange(message: str, asked: int, estimate: int) -> None:
    for text in (message, f"maximum context length is {message}", f"{OPENAI[:70]}{message}"):
        lower = lower_limit(asked, text, estimate, 8192)
        assert lower is None or 16 <= lower < asked


def test_a_long_message_costs_little() -> None:
    for piece in ("1", "maximum context length is 1 tokens, however, you requested 1 tokens (", "max_tokens=1"):
        assert lower_limit(10, piece * 100_000, 1, None) is None


def test_a_limit_that_fits_stays() -> None:
    assert limit_that_fits(4000, 4000, 8192) is None and limit_that_fits(4192, 4000, 8192) is None
    assert limit_that_fits(4193, 4000, 8192) == 4192
    assert limit_that_fits(32000, 8190, 8192) == 16


def test_requests_with_another_limit() -> None:
    assert limit_of({"max_tokens": 5, "max_completion_tokens": 7}) == 7 and limit_of({"max_tokens": "x"}) == 0
    body = {"max_tokens": 500, "min_tokens": 400, "model": "m"}
    assert with_limit(body, 300) == {"max_tokens": 300, "min_tokens": 300, "model": "m"} and body["max_tokens"] == 500
    assert with_limit(body, 500) is body and with_limit({"model": "m"}, 1) == {"model": "m"}
    assert with_limit({"max_completion_tokens": 9, "max_tokens": 3}, 5) == {"max_completion_tokens": 5, "max_tokens": 3}


#: server: message, the most that it lets any answer have.
CAPS: dict[str, tuple[str, int]] = {
    "OpenAI": (
        "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
        16384,
    ),
    "OpenAI, newer": (
        "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 16384, but got 32000 instead.",
        16384,
    ),
    "Anthropic": (
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-sonnet-20241022",
        8192,
    ),
    "DeepSeek": ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
    "DashScope": ("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]", 8192),
    "Groq": (
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model", 8192,
    ),
    "Groq, the other name": ("`max_completion_tokens` must be less than or equal to `8192`, the maximum value", 8192),
    "Bedrock": (
        "The maximum tokens you requested exceeds the model limit of 8192. Try again with a maximum tokens value that is "
        "lower than 8192.", 8192,
    ),
    "Cohere": (
        "too many tokens: max tokens must be less than or equal to 4096, the max output for this model - received 32000.",
        4096,
    ),
    "Gemini": (
        "Unable to submit request because it has a maxOutputTokens value of 32000 but the supported range is from 1 "
        "(inclusive) to 8193 (exclusive). Update the value and try again.", 8192,
    ),
    "TensorRT-LLM": ("max_new_tokens (32000) must be <= 7942", 7942),
    "LMDeploy": ("The max_tokens 32000 exceeds the limit 7942", 7942),
}  # fmt: skip
NO_CAPS = (
    "max_tokens must be an integer",
    "max_tokens must be at least 1, got -1.",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "`inputs` tokens + `max_new_tokens` must be <= 8192.",
    "top_logprobs must be less than or equal to 20. max_tokens is fine",
    "Requests with max_tokens > 4096 must have stream=true",
)


@pytest.mark.parametrize("server", CAPS)
def test_a_cap_on_answers_is_the_number_in_the_words(server: str) -> None:
    message, most = CAPS[server]
    assert cap_of(message) == most
    assert lower_limit(32000, message, 250, None) == lower_limit(32000, message, 250, 4096) == most
    assert lower_limit(most, message, 250, None) is None, "that is what was refused"
    assert lower_limit(32000, message, 250, None, again=True) == most, "it may come behind a refusal of the sum"


@pytest.mark.parametrize("message", NO_CAPS)
def test_other_words_name_no_cap(message: str) -> None:
    assert cap_of(message) is None and lower_limit(32000, message, 250, None) is None


def test_what_a_cap_says_is_read_only_as_far_as_it_may_be() -> None:
    assert lower_limit(32000, "max_tokens must be <= 3", 250, None) is None, "no answer fits in that"
    assert cap_of("x" * 5000 + CAPS["Groq"][0]) is None
