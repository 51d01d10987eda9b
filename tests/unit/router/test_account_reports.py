"""Answers of providers from public reports about other gateways: each is taken for what it is, and said as what it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.backends.account_words import Why, why_refused, why_unknown
from genset.router.backends.outcomes import Failure, Mark
from genset.router.machine.classify import classify

MODEL = "large"


def met(status: int, body: Any) -> Failure:
    return classify(status, {}, json.dumps(body).encode(), MODEL, wall=0.0, may_wait=3.0)


def error(message: str, type_: str | None = None, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "code": code, **more}}


#: The report, what was answered, and why the account is refused.
ACCOUNTS = [
    ("BerriAI/litellm#27470: a month's quota was taken for a minute's", 429,
     error("You exceeded your monthly quota", "insufficient_quota", "insufficient_quota"), Why.UNPAID),
    ("langchain-ai/langchainjs#1929: a used-up quota was tried again and again", 429,
     error("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota"), Why.UNPAID),
    ("BerriAI/litellm#37592: Anthropic's limit of spending is a 400", 400,
     {"type": "error", "error": {"type": "invalid_request_error", "message":
      "You have reached your specified API usage limits. You will regain access on 2026-09-01 at 00:00 UTC."}}, Why.UNPAID),
    ("BerriAI/litellm#37592: OpenRouter's 402", 402,
     error("Insufficient credits. Add more using https://openrouter.ai/settings/credits", None, 402), Why.UNPAID),
    ("BerriAI/litellm#16092: Anthropic's balance is a 400", 400,
     {"type": "error", "error": {"type": "invalid_request_error", "message":
      "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."}},
     Why.UNPAID),
    ("continuedev/continue#4293: DeepSeek's 402 calls itself an invalid request", 402,
     error("Insufficient Balance", "unknown_error", "invalid_request_error", param=None), Why.UNPAID),
    ("xAI's refused key is a 400", 400,
     error("Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."), Why.KEY),
    ("Groq's restricted organisation is a 400", 400, error("Organization acme has been restricted", "invalid_request_error"),
     Why.SUSPENDED),
    ("mnfst/llm-gateway#1986: a gateway's 401 did not fail over", 401,
     error("Authentication failed with upstream provider", "upstream_error", None, status=401), Why.DENIED),
]  # fmt: skip

MODELS = [
    ("getkimchi/kimchi#1176: a gateway's 410", 410, error("The model is gone", "invalid_request_error", "model_gone"), "retired"),
    ("anomalyco/models.dev#3146: NVIDIA's end of life is a 410", 410,
     {"type": "about:blank", "title": "Gone", "status": 410, "detail":
      "The model 'large' has reached its end of life on 2026-07-07T00:00:00Z and is no longer available."}, "retired"),
    ("Groq's decommissioned model is a 400", 400,
     error("The model `large` has been decommissioned", "invalid_request_error", "model_decommissioned"), "retired"),
    ("a name that nobody knew", 404, error("The model `large` does not exist", "invalid_request_error", "model_not_found"), ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("report", "status", "body", "why"), ACCOUNTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_account_is_refused(report: str, status: int, body: Any, why: Why) -> None:
    failure = met(status, body)
    assert failure.row.mark is Mark.AUTH, f"{report}: {failure.outcome}"
    assert why_refused(failure) is why, report


@pytest.mark.parametrize(
    ("report", "status", "body", "why"), MODELS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_model_is_gone(report: str, status: int, body: Any, why: str) -> None:
    failure = met(status, body)
    assert failure.row.mark is Mark.MODEL, f"{report}: {failure.outcome}"
    assert why_unknown(failure, worked=False) == why, report


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, error("Rate limit reached", "requests", "rate_limit_exceeded")),
        (
            400,
            error("Your prompt says: credit balance is too low, model_gone", "invalid_request_error", "invalid_value"),
        ),
        (410, error("The file is gone", "invalid_request_error", "file_gone")),
        (402, error("This request requires more credits, or fewer max_tokens", None, 402)),
    ],
    ids=["a minute's limit", "a caller's words", "another thing that is gone", "a caller's max_tokens"],
)
def test_what_is_about_the_request_is_no_accounts(status: int, body: Any) -> None:
    assert met(status, body).row.mark not in (Mark.AUTH, Mark.MODEL)
