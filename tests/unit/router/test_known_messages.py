"""What known servers say: each row by its own example, and the same words in every form of an error body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.backends.outcomes import ROWS, Failure, Mark, Outcome
from genset.router.machine.classify import classify, classify_in_band
from genset.router.machine.known_messages import KNOWN, Known

_IDS = [f"{row.server}: {row.example[:40]}" for row in KNOWN]


def classified(status: int, body: Any, model: str = "m") -> Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, {}, raw, model, wall=0.0, may_wait=3.0)


@pytest.mark.parametrize("row", KNOWN, ids=_IDS)
def test_a_row_means_its_example(row: Known) -> None:
    for status in row.statuses:
        found = classified(status, {"error": {"message": row.example, "type": "x", "code": status}})
        assert found.outcome.value == row.outcome, (status, row.example)
        assert found.words == row.example[:512]


@pytest.mark.parametrize("row", KNOWN, ids=_IDS)
def test_a_message_never_condemns_a_backend(row: Known) -> None:
    """A caller may have it quoted: at worst it is a suspicion, or a pause that the server asked for."""
    if row.statuses == {500}:
        return  # the status says so already
    mark = ROWS[Outcome(row.outcome)].mark
    assert mark in (Mark.NONE, Mark.AUTH, Mark.MODEL, Mark.COOL)


_LONG = "The input (41000 tokens) is longer than the model's context length (32768 tokens)."


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": _LONG, "type": "BadRequestError", "code": 400},
        {"error": {"message": _LONG}},
        {"error": _LONG},
        [{"error": {"code": 400, "message": _LONG, "status": "INVALID_ARGUMENT"}}],
        {"detail": _LONG},
        {"detail": [{"type": "value_error", "loc": ["body"], "msg": _LONG}]},
        {"msg": _LONG},
        {"message": _LONG},
        {"base_resp": {"status_code": 1039, "status_msg": _LONG}},
        _LONG.encode(),
    ],
)
def test_every_form_of_an_error_is_read(body: Any) -> None:
    found = classified(400, body)
    assert found.outcome is Outcome.CONTEXT_EXCEEDED
    assert _LONG[:30] in found.words


@pytest.mark.parametrize(
    ("place", "outcome"),
    [
        ("tools[0].function.name", Outcome.REJECTED),
        ("user", Outcome.REJECTED),
        ("messages[3].tool_calls[0].id", Outcome.REJECTED),
        ("input[3].call_id", Outcome.REJECTED),
        ("messages[1].content", Outcome.CONTEXT_EXCEEDED),
        ("input[0].content[1].text", Outcome.CONTEXT_EXCEEDED),
        ("input", Outcome.CONTEXT_EXCEEDED),
        (None, Outcome.CONTEXT_EXCEEDED),
    ],
)
def test_a_text_that_is_too_long_is_the_prompt_or_a_name(place: str | None, outcome: Outcome) -> None:
    error = {"message": f"Invalid '{place}': string too long.", "param": place, "code": "string_above_max_length"}
    assert classified(400, {"error": error}).outcome is outcome


_GOOGLES = {"error": {"code": 400, "message": "API Key not found. Please pass a valid API key."}}
_CLAUDES = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens"}}
#: What gateways make of a provider's error: the whole of it as a text, once or twice, and behind names of their own.
WRAPPED: list[tuple[str, Outcome, str]] = [
    (json.dumps(_GOOGLES), Outcome.AUTH, "API Key not found"),
    (json.dumps({"error": {"message": json.dumps(_GOOGLES), "code": 400}}), Outcome.AUTH, "API Key not found"),
    (f"litellm.BadRequestError: VertexAIException BadRequestError - {json.dumps(_GOOGLES)}", Outcome.AUTH, "litellm.Bad"),
    (f"litellm.ContextWindowExceededError: AnthropicException - {json.dumps(_CLAUDES)}", Outcome.CONTEXT_EXCEEDED, "litellm."),
    ("litellm.BadRequestError: AnthropicException - Your credit balance is too low to access the API.", Outcome.AUTH, "litellm."),
    (f"the tool said {json.dumps(_GOOGLES)}", Outcome.REJECTED, "the tool said {"),
    (f"unknown role '{json.dumps(_CLAUDES)}'", Outcome.REJECTED, "unknown role"),
    ('{"error": {"message": "API Key not', Outcome.REJECTED, '{"error"'),
    ("[]", Outcome.REJECTED, "[]"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "outcome", "shown"), WRAPPED)
def test_an_error_inside_a_message_is_read(message: str, outcome: Outcome, shown: str) -> None:
    for status_of in (400, "400"):
        found = classified(400, {"error": {"message": message, "code": status_of}, "provider": "google"})
        assert found.outcome is outcome and found.words.startswith(shown), found.words


CALLERS_OWN: list[tuple[int, Any, Outcome]] = [
    (402, {"error": {"code": 402, "message": "You can only afford 9000 tokens, or fewer max_tokens"}}, Outcome.DENIED),
    (403, b"<html><h1>Request blocked by firewall</h1></html>", Outcome.DENIED),
    (403, {"error": {"message": "Forbidden"}}, Outcome.DENIED),
    (403, {"error": {"message": "You are not allowed to generate embeddings from this model"}}, Outcome.DENIED),
    (403, {"error": {"message": "Request blocked", "code": 403}}, Outcome.CONTENT_FILTER),
    (404, {"error": {"message": "This is a chat model and not supported in the v1/completions endpoint"}}, Outcome.UNSUPPORTED),
    (404, {"error": {"code": 404, "message": "No allowed providers are available for the selected model."}}, Outcome.DENIED),
    (404, b"<html>not found</html>", Outcome.UNSUPPORTED),
    (404, {"error": {"message": "The model of your dreams is not here"}}, Outcome.UNSUPPORTED),
    (400, {"error": {"message": "unknown role: insufficient_quota", "type": "invalid_request_error"}}, Outcome.REJECTED),
    (400, {"error": {"message": "bad role 'invalid_api_key'", "code": "invalid_value"}}, Outcome.REJECTED),
    (400, {"error": {"message": "x", "code": "unsupported_parameter"}}, Outcome.UNSUPPORTED),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, Outcome.UNSUPPORTED),
    (400, {"error": {"message": "gemma:2b does not support tools"}}, Outcome.UNSUPPORTED),
    (500, {"error": {"code": 500, "message": "Failed to parse grammar", "type": "server_error"}}, Outcome.UNSUPPORTED),
    (500, {"error": {"message": "audio input is not supported"}}, Outcome.UNSUPPORTED),
    (404, {"error": {"message": "No endpoints found that support image input"}}, Outcome.UNSUPPORTED),
    (400, {"error": {"message": "resolves to 'glm-5.2', which does not support image input"}}, Outcome.UNSUPPORTED),
    (400, {"error": {"code": "1210", "message": "messages.content.type is invalid"}}, Outcome.UNSUPPORTED),
    (400, {"error": {"message": "...", "type": "context_window_exceeded", "code": 400}}, Outcome.CONTEXT_EXCEEDED),
    (400, {"error": {"message": "Too many tokens per minute, please slow down"}}, Outcome.REJECTED),
    (409, b"", Outcome.CONFLICT),
    (413, {"error": {"code": "rate_limit_exceeded", "message": "Request too large, Requested 8067"}}, Outcome.CONTEXT_EXCEEDED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "outcome"), CALLERS_OWN)
def test_what_a_caller_did_marks_nobody(status: int, body: Any, outcome: Outcome) -> None:
    found = classified(status, body)
    assert found.outcome is outcome
    assert found.row.mark is Mark.NONE


#: Refusals of ability, as their servers word them: another candidate may do it.
UNABLE: list[tuple[int, Any]] = [
    (400, {"code": "Client specified an invalid argument", "error": "Model grok-4 does not support parameter presencePenalty."}),
    (400, [{"error": {"code": 400, "message": "Function calling is not enabled for models/gemma-3-27b-it"}}]),
    (400, [{"error": {"code": 400, "message": "Image input modality is not enabled for models/gemma-3-1b-it"}}]),
    (400, [{"error": {"code": 400, "message": "Invalid JSON payload received. Unknown name \"seed\": Cannot find field."}}]),
    (400, {"error": {"message": "System role not supported", "type": "BadRequestError", "code": 400}}),
    (400, {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}}),
    (400, {"message": "This model doesn't support system messages. Try again without a system message."}),
    (400, {"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with ada-002."}}),
    (400, {"error": {"message": "This response_format type is unavailable now", "code": "invalid_request_error"}}),
    (400, {"error": {"message": "('messages.0.content' : value must be a string)", "type": "invalid_request_error"}}),
    (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
    (400, {"error": {"message": "unsupported content[].type", "type": "invalid_request_error", "code": 400}}),
    (400, {"error": {"message": "Cannot use custom grammar constraints with tools.", "code": 400}}),
    (400, {"error": {"message": "Unknown reasoning format: sideways", "code": 400}}),
    (400, {"message": "This model does not appear to be an embedding model by default.", "object": "error"}),
    (400, {"error": {"message": "This model requires that either input or output is audio.", "code": "invalid_value"}}),
    (500, {"error": {"message": "Failed to create new sequence: this model is missing data required for image input"}}),
    (500, {"error": {"message": "Failed to parse tool call arguments as JSON: unexpected end of input", "code": 500}}),
    (500, {"error": {"message": "Value is not callable: null at row 12, column 30:\n{{- x }}", "code": 500}}),
    (500, {"error": {"message": "This model only supports single tool-calls at once!", "code": 500}}),
    (400, {"error": {"message": "This model only supports single tool-calls at once!", "code": 400}}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), UNABLE)
def test_what_a_server_cannot_do_another_may(status: int, body: Any) -> None:
    assert classified(status, body).outcome is Outcome.UNSUPPORTED


#: A server that is broken says so in words that sound like a refusal.
BROKEN = [
    "CUDA error: the provided PTX was compiled with an unsupported toolchain.",
    "CUDA error: operation not supported",
    "llama runner process has terminated: error loading model: unsupported model architecture",
    "RuntimeError: Triton Error [CUDA]: device kernel image is invalid while executing",
    "FP8 is not supported on this GPU",
    "Failed to download model weights: connection refused",
    "failed to allocate KV cache for context size 8192",
    "NCCL error: unhandled system error",
]


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_server_is_no_refusal(message: str) -> None:
    assert classified(500, {"error": {"message": message, "type": "server_error"}}).outcome is Outcome.SERVER_ERROR


#: What a request said, in the words of a server that quotes it.
QUOTED: list[tuple[int, Any]] = [
    (400, {"error": {"message": "Invalid schema for function 'set_context_size': x", "code": "invalid_function_parameters"}}),
    (400, {"error": {"message": "Invalid value: 'api key not valid'. Supported values are: 'system'", "code": "invalid_value"}}),
    (400, {"error": {"message": "unknown role 'don't: API key not valid'"}}),
    (400, {"error": {"message": 'unknown role "maximum context length is 5"'}}),
    (400, {"error": {"message": "Invalid 'tools[0].function.name': 'get context window'.", "code": "invalid_value"}}),
    (400, {"error": {"message": "bad name 'Budget has been exceeded"}}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), QUOTED)
def test_what_is_quoted_has_no_say(status: int, body: Any) -> None:
    assert classified(status, body).outcome is Outcome.REJECTED


def test_a_quoted_name_is_no_missing_model() -> None:
    assert classified(404, {"error": {"message": "Tool 'm not found' does not exist"}}).outcome is Outcome.UNSUPPORTED


SUSPECT: list[tuple[int, Any, Outcome]] = [
    (401, b"", Outcome.AUTH),
    (402, b"", Outcome.AUTH),
    (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}, Outcome.AUTH),
    (403, {"error": {"type": "permission_error", "message": "x"}}, Outcome.AUTH),
    (403, {"error": {"code": "model_not_found", "message": "Project has no access to model"}}, Outcome.MODEL_NOT_FOUND),
    (404, {"error": {"message": "The model `m` does not exist."}}, Outcome.MODEL_NOT_FOUND),
    (404, {"error": {"message": "model 'm' not found", "type": "api_error"}}, Outcome.MODEL_NOT_FOUND),
    (404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}}, Outcome.MODEL_NOT_FOUND),
    (404, {"error": {"code": "DeploymentNotFound", "message": "x"}}, Outcome.MODEL_NOT_FOUND),
    (429, {"error": {"code": "insufficient_quota"}}, Outcome.AUTH),
    (400, {"error": {"message": "API key not valid. Please pass a valid API key."}}, Outcome.AUTH),
    (400, {"error": {"message": "API Key not found. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}, Outcome.AUTH),
    (400, {"error": {"message": "User location is not supported for the API use."}}, Outcome.AUTH),
    (400, {"error": {"message": "Organization has been restricted.", "code": "organization_restricted"}}, Outcome.AUTH),
    (412, {"error": {"message": "Account acme is suspended, possibly due to the monthly spending limit"}}, Outcome.AUTH),
    (400, {"error": {"message": "your account is in good standing.", "code": "Arrearage"}}, Outcome.AUTH),
    (403, {"error": "Your newly created team doesn't have any credits yet."}, Outcome.AUTH),
    (402, {"error": {"message": "more credits, or fewer max_tokens. You can only afford 0.", "code": 402}}, Outcome.AUTH),
    (429, {"error": {"type": "exceeded_current_quota_error", "message": "suspended"}}, Outcome.AUTH),
    (400, {"error": {"message": "x", "code": "model_decommissioned"}}, Outcome.MODEL_NOT_FOUND),
    (400, {"error": {"message": "Model Not Exist", "code": "invalid_request_error"}}, Outcome.MODEL_NOT_FOUND),
    (400, {"error": "Model not found: m"}, Outcome.MODEL_NOT_FOUND),
    (400, {"message": "The provided model identifier is invalid."}, Outcome.MODEL_NOT_FOUND),
    (400, {"error": {"message": "/chat/completions: Invalid model name passed in model=m. Call"}}, Outcome.MODEL_NOT_FOUND),
    (400, {"error": {"message": "x", "code": "model_not_available"}}, Outcome.MODEL_NOT_FOUND),
    (404, {"message": "This model version has reached the end of its life."}, Outcome.MODEL_NOT_FOUND),
    (400, {"error": {"message": "No models loaded. Please load a model", "param": "model"}}, Outcome.MODEL_NOT_FOUND),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "outcome"), SUSPECT)
def test_what_only_the_account_or_the_model_can_bring(status: int, body: Any, outcome: Outcome) -> None:
    assert classified(status, body).outcome is outcome


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"code": "429", "message": "slow down"}, Outcome.RATE_LIMITED),
        ({"type": "overloaded_error", "message": "Overloaded"}, Outcome.INVALID_RESPONSE),
        ({"type": "authentication_error", "message": "no"}, Outcome.AUTH),
        ({"code": "insufficient_quota"}, Outcome.AUTH),
        ({"status": "400", "message": "small does not support tools"}, Outcome.UNSUPPORTED),
        ({"message": "prompt is too long: 9 tokens > 8 maximum"}, Outcome.CONTEXT_EXCEEDED),
    ],
)
def test_errors_inside_a_200_name_themselves(found: dict[str, Any], outcome: Outcome) -> None:
    assert classify_in_band(found, "sent an error", "m").outcome is outcome


def test_the_callers_fault_behind_a_500_is_shown_as_his() -> None:
    found = classified(500, {"error": {"code": 500, "message": "image input is not supported - hint: mmproj"}})
    assert found.status == 400 and found.row.original
