"""What known servers say: each row by its own example, and the same words in every form of an error body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.known_messages import KNOWN, Known
from genset.router.outcome import RULES, Failure, Mark, Outcome, classify, classify_in_band

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
    mark = RULES[Outcome(row.outcome)].mark
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
    (409, b"", Outcome.CONFLICT),
    (413, {"error": {"code": "rate_limit_exceeded", "message": "Request too large, Requested 8067"}}, Outcome.CONTEXT_EXCEEDED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "outcome"), CALLERS_OWN)
def test_what_a_caller_did_marks_nobody(status: int, body: Any, outcome: Outcome) -> None:
    found = classified(status, body)
    assert found.outcome is outcome
    assert found.rule.mark is Mark.NONE


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
    assert found.status == 400 and found.rule.original
