"""The table of providers: of each the free probe, where the key goes, fields, usage, rule of writing on, errors, and its sources.

The rows are what documentation and libraries of each say (the providers' files name them), so a file that changes has to
change here, too.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genset.router.backends.outcomes import Outcome
from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.responses.words import openai_usage
from genset.router.machine.classify import classify, classify_in_band
from genset.router.providers import PROVIDERS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "providers.md"


class Row(NamedTuple):
    """What one provider is known by. `key`: the line that a key k goes into.

    `limit`: its name of the most tokens of an answer; "": either.
    """

    base: str | None
    key: bytes = b"authorization: Bearer k"
    probe: str = "/models"
    limit: str = ""
    usage_option: bool = True
    dropped: str = ""
    elsewhere: str = ""
    rule: str = "Anchor"


ROWS: dict[str, Row] = {
    "openai": Row("https://api.openai.com/v1", limit="max_completion_tokens"),
    "azureOpenAI": Row(None, key=b"api-key: k", limit="max_completion_tokens"),
    "anthropic": Row("https://api.anthropic.com/v1", key=b"x-api-key: k"),
    "gemini": Row("https://generativelanguage.googleapis.com/v1beta/openai", dropped="frequency_penalty top_k"),
    "bedrock": Row(None),
    "mistral": Row(
        "https://api.mistral.ai/v1", limit="max_tokens", usage_option=False, rule="Prefix",
        dropped="logit_bias prompt_cache_options prompt_cache_retention safety_identifier store user verbosity",
    ),
    "deepSeek": Row("https://api.deepseek.com/v1", limit="max_tokens", rule="Prefix"),
    "groq": Row(
        "https://api.groq.com/openai/v1", limit="max_completion_tokens", dropped="logit_bias",
        elsewhere="logprobs n top_logprobs",
    ),
    "xai": Row("https://api.x.ai/v1", limit="max_completion_tokens"),
    "together": Row("https://api.together.ai/v1", limit="max_tokens"),
    "fireworks": Row("https://api.fireworks.ai/inference/v1", limit="max_tokens"),
    "cohere": Row("https://api.cohere.ai/compatibility/v1", limit="max_tokens", dropped="logit_bias", elsewhere="n"),
    "openRouter": Row("https://openrouter.ai/api/v1", probe="/key", dropped="models preset route"),
    "portkey": Row("https://api.portkey.ai/v1", key=b"x-portkey-api-key: k"),
    "liteLLM": Row(
        None,
        dropped="allowed_model_region api_base api_key api_version aws_bedrock_runtime_endpoint aws_region_name base_url "
        "content_policy_fallbacks context_window_fallbacks custom_llm_provider fallbacks litellm_credential_name model_list "
        "region_name user_config vertex_location vertex_project",
    ),
    "anyLLM": Row(None),
    "anyAPI": Row(None),
    "lmStudio": Row(None, elsewhere="tool_choice", rule="Prefill"),
    "ollama": Row(None, dropped="logit_bias user", elsewhere="n tool_choice", rule="Prefill"),
    "openAICompatible": Row(None),
}  # fmt: skip
#: What none of these says of itself: whether it takes names, thoughts and `strict` in messages and tools.
TAKES_NO = {"names": {"groq", "mistral", "xai"}, "thoughts": {"groq", "mistral"}, "strict": {"fireworks", "xai"}}
LIMITS = ("max_tokens", "max_completion_tokens")


@pytest.mark.parametrize("name", ROWS)
def test_each_is_as_its_sources_say(name: str) -> None:
    provider, row = PROVIDERS[name], ROWS[name]
    fields = provider.fields
    renamed = dict(provider.rename or {})
    assert provider.base_url == row.base and provider.probe_path == row.probe
    assert provider.key_header + b": " + provider.key_prefix + b"k" == row.key
    assert {renamed.get(limit, limit) for limit in LIMITS} == ({row.limit} if row.limit else set(LIMITS))
    assert provider.usage_option is row.usage_option and provider.continuation == row.rule
    assert " ".join(sorted(fields.dropped if fields else ())) == row.dropped
    assert " ".join(sorted(fields.limited if fields else ())) == row.elsewhere
    for what, names in TAKES_NO.items():
        assert (fields is None or getattr(fields, what)) is (name not in names), what


def test_the_table_names_each() -> None:
    assert ROWS.keys() == PROVIDERS.keys() == ERRORS.keys()


@pytest.mark.interpreted  # compiled modules have no docstring
@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_each_names_its_sources_and_their_day(name: str) -> None:
    """Whoever doubts a row finds what it was taken from, and when."""
    files = {one.name: module for module in _modules() if (one := import_module(module).PROVIDER)}
    text = import_module(files[name]).__doc__ or ""
    if name != "openAICompatible":  # anything else
        assert re.search(r"[Ss]ources?\b", text) and re.search(r"\b\d{1,2} (Aug|Nov) 2026\b", text), text
    assert re.search(rf"^\|[^|]*`{name}`", PAGE.read_text(), re.MULTILINE), "docs/providers.md does not name it"


def _modules() -> list[str]:
    folder = Path(__file__).resolve().parents[3] / "operator" / "genset" / "router" / "providers"
    return [f"genset.router.providers.{file.stem}" for file in folder.glob("*.py") if "PROVIDER: " in file.read_text()]


def _error(message: str, code: Any = None, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, **more}}).encode()


def _google(message: str, **more: Any) -> bytes:
    return json.dumps([{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", **more}}]).encode()


def _bare(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


EXTRA = {"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}
OF_AZURE = "Requests to the ChatCompletions_Create Operation have exceeded call rate limit"
TOO_MANY = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
KEEP = "The number of tokens to keep from the initial prompt is greater than the context length."
TRIAL = "You are using a Trial key, which is limited to 10 API calls / minute."
#: What each provider answers -> what the router makes of it: (status, body, word of the outcome).
ERRORS: dict[str, list[tuple[int, bytes, str]]] = {
    "openai": [
        (401, _error("Incorrect API key provided: sk-x.", "invalid_api_key"), "auth"),
        (429, _error("You exceeded your current quota", "insufficient_quota"), "auth"),
        (429, _error("Rate limit reached for gpt-6", "rate_limit_exceeded"), "rate_limited"),
        (400, _error("Your input exceeds the context window", "context_length_exceeded"), "context_exceeded"),
        (404, _error("The model `gpt-9` does not exist", "model_not_found"), "model_not_found"),
        (400, _error("Unsupported parameter: 'seed'", "unsupported_parameter", param="seed"), "unsupported"),
        (400, _error("The encrypted content gAAA could not be verified.", "invalid_encrypted_content"), "unsupported"),
    ],
    "azureOpenAI": [
        (404, _error("The API deployment does not exist.", "DeploymentNotFound"), "model_not_found"),
        (401, b'{"statusCode":401,"message":"Unauthorized. Access token is missing or invalid"}', "auth"),
        (429, _error(OF_AZURE, "429"), "rate_limited"),
        (400, _error("no", "x", innererror={"code": "ResponsibleAIPolicyViolation"}), "content_filter"),
    ],
    "anthropic": [
        (529, _error("Overloaded", type="overloaded_error"), "overloaded"),
        (400, _error("prompt is too long: 210000 tokens > 200000 maximum"), "context_exceeded"),
        (400, _error("input length and `max_tokens` exceed context limit: 190 + 20 > 200"), "context_exceeded"),
        (400, _error("Your credit balance is too low to access the Anthropic API."), "auth"),
        (404, _error("model: claude-9", type="not_found_error"), "model_not_found"),
        (400, _error("mood: Extra inputs are not permitted"), "unsupported"),
        (429, _error("x", details={"error_code": "enforced_spend_limit_reached"}), "auth"),
    ],
    "gemini": [
        (400, _google("API key not valid. Please pass a valid API key."), "auth"),
        (400, _google(TOO_MANY), "context_exceeded"),
        (400, _google('Invalid JSON payload received. Unknown name "store": Cannot find field.'), "unsupported"),
        (429, _google("Quota", code=429, status="RESOURCE_EXHAUSTED"), "rate_limited"),
    ],
    "bedrock": [
        (424, _bare("The model returned an error"), "server_error"),
        (400, _bare("Input is too long for requested model."), "context_exceeded"),
        (429, _bare("Too many requests, please wait before trying again."), "rate_limited"),
        (408, _bare("The request took too long to process"), "too_late"),
    ],
    "mistral": [
        (422, json.dumps({"object": "error", "message": {"detail": [EXTRA]}}).encode(), "unsupported"),
        (
            400,
            _error("Prompt contains 40 tokens, too large for model with 32 maximum context length"),
            "context_exceeded",
        ),
        (401, _bare("Unauthorized"), "auth"),
    ],
    "deepSeek": [
        (402, _error("Insufficient Balance", "invalid_request_error"), "auth"),
        (400, _error("Model Not Exist", "invalid_request_error"), "model_not_found"),
        (422, _error("Failed to deserialize: unknown variant `image_url`, expected `text`"), "unsupported"),
    ],
    "groq": [
        (498, _error("flex tier capacity exceeded", "capacity_exceeded"), "rate_limited"),
        (413, _error("Too much for this minute", "rate_limit_exceeded"), "rate_limited"),
        (413, _error("Request too large: Limit 6000, Requested 9000", "rate_limit_exceeded"), "context_exceeded"),
        (400, _error("The model `small` has been decommissioned.", "model_decommissioned"), "model_not_found"),
    ],
    "xai": [
        (400, b'{"code":"invalid argument","error":"Incorrect API key provided: xa***."}', "auth"),
        (400, _error("This model's maximum prompt length is 131 but the request contains 150."), "context_exceeded"),
        (429, _error("Too many requests"), "rate_limited"),
    ],
    "together": [
        (404, _error("Unable to access model x. Please visit", "model_not_available"), "model_not_found"),
        (503, _error("overloaded"), "unavailable"),
        (402, _error("Credit limit exceeded"), "auth"),
    ],
    "fireworks": [
        (412, _error("Account acme is suspended, possibly due to reaching the monthly spending limit."), "auth"),
        (404, _error("Model not found, inaccessible, and/or not deployed"), "model_not_found"),
        (429, _error("rate limit exceeded, please try again later"), "rate_limited"),
    ],
    "cohere": [
        (400, _bare("too many tokens: total number of tokens in the prompt cannot exceed 4081"), "context_exceeded"),
        (401, _bare("invalid api token"), "auth"),
        (429, _bare(TRIAL), "rate_limited"),
    ],
    "openRouter": [
        (400, _error("acme/none is not a valid model ID", 400), "model_not_found"),
        (402, _error("Insufficient credits", 402), "auth"),
        (403, _error("Request blocked", 403), "content_filter"),
        (404, _error("No endpoints found matching your data policy", 404), "denied"),
    ],
    "portkey": [
        (446, _error("The guardrail checks have failed"), "content_filter"),
        (412, _error("Budget exhausted"), "auth"),
        (408, _error("Request timed out"), "too_late"),
    ],
    "liteLLM": [
        (400, _error("Budget has been exceeded! Current cost: 10.2", "400", type="budget_exceeded"), "auth"),
        (429, _error("litellm.RateLimitError: x", "429"), "rate_limited"),
        (401, _error("Authentication Error, Invalid proxy server token passed", "401"), "auth"),
    ],
    "anyLLM": [(401, b'{"detail":"Invalid API key"}', "auth"), (402, b'{"detail":"Budget exceeded"}', "auth")],
    "anyAPI": [(401, _error("no"), "auth"), (429, _error("no"), "rate_limited")],
    "lmStudio": [
        (400, json.dumps({"error": KEEP}).encode(), "context_exceeded"),
        (404, b'{"error":"No models loaded. Please load a model"}', "model_not_found"),
    ],
    "ollama": [
        (404, _error('model "m" not found, try pulling it first', type="not_found_error"), "model_not_found"),
        (400, _error("registry.ollama.ai/library/gemma:2b does not support tools"), "unsupported"),
    ],
    "openAICompatible": [(503, b"", "unavailable"), (500, b"{}", "server_error")],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, rows in ERRORS.items() for number in range(len(rows))]
)
def test_what_each_says_when_it_refuses(name: str, number: int) -> None:
    status, body, outcome = ERRORS[name][number]
    assert classify(status, {}, body, "m", wall=0.0, may_wait=3.0).outcome.value == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"message": "x", "code": "429"}, Outcome.RATE_LIMITED),  # LiteLLM writes numbers as texts
        ({"message": "Overloaded", "type": "overloaded_error"}, Outcome.INVALID_RESPONSE),  # the next backend is asked
        ({"message": "x", "code": 502, "metadata": {"error_type": "provider"}}, Outcome.INVALID_RESPONSE),  # OpenRouter
        ({"message": "Prompt is too long", "code": "context_length_exceeded"}, Outcome.CONTEXT_EXCEEDED),
        ({"message": "x", "code": 402}, Outcome.AUTH),
    ],
)
def test_what_is_said_inside_an_answer(error: dict[str, Any], outcome: Outcome) -> None:
    assert classify_in_band(error, "x").outcome is outcome


def test_finishes_by_which_gateways_say_that_an_answer_broke() -> None:
    assert "insufficient_system_resource" in PROVIDERS["deepSeek"].bad_finishes
    assert {"overloaded_error", "api_error"} <= PROVIDERS["portkey"].bad_finishes
    assert all({"error", "abort"} <= provider.bad_finishes for provider in PROVIDERS.values())


def test_how_each_counts() -> None:
    """Prompt with what was cached, completion with thoughts; Anthropic's and DeepSeek's are tested with their dialects."""
    xai = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 35,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    assert counts_of(xai) == (10, 25)
    cost = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cost": 0.001,
        "prompt_tokens_details": None,
    }
    assert counts_of(cost) == (10, 5), "OpenRouter"
    assert counts_of({"prompt_tokens": 10, "total_tokens": 10}) == (10, 0), "of embeddings"
    read = {"cached_tokens": 4, "cache_write_tokens": 2}
    told = openai_usage({"input_tokens": 10, "output_tokens": 5, "input_tokens_details": read})
    assert told["prompt_tokens_details"] == read and counts_of(told) == (10, 5)
