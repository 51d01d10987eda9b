"""Refusals are what a provider would say to a request, by the fault that a drill injects. Pure.

Only what asks for an answer is refused: lists of models and health pages are answered as by a provider that is up, unless the
account is suspended.
"""

from __future__ import annotations

from typing import Final

import orjson

from genset.contracts.drill import Fault
from genset.router.dialects.anthropic.passed import WIRE as MESSAGES

RETRY_AFTER_SECONDS: Final = 20
_HEAD: Final = b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
#: By fault: status, OpenAI's code, Anthropic's type, words.
_SAID: Final = {
    Fault.RATE_LIMITED: (429, "rate_limit_exceeded", "rate_limit_error", "Rate limit reached."),
    Fault.SUSPENDED: (403, "account_deactivated", "permission_error", "This account has been deactivated."),
    Fault.MODEL_GONE: (404, "model_not_found", "not_found_error", ""),
    Fault.OVER_BUDGET: (429, "insufficient_quota", "billing_error", "You exceeded your current quota."),
}
REFUSING: Final = frozenset(_SAID)


def refusal(fault: Fault, model: str, wire: str, request: bytes) -> bytes:
    """Returns the response to a request (its head is enough) for this model, in the words of the API that is spoken."""
    status, code, type_, words = _SAID[fault]
    if request.startswith(b"GET ") and fault is not Fault.SUSPENDED:
        return _written(200, {"object": "list", "data": []})
    message = words or f"The model `{model}` does not exist."
    if wire == MESSAGES:
        status = 402 if fault is Fault.OVER_BUDGET else status
        body: dict[str, object] = {"type": "error", "error": {"type": type_, "message": f"{message} (model: {model})"}}
    else:
        body = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return _written(status, body)


def _written(status: int, body: dict[str, object]) -> bytes:
    text = orjson.dumps(body)
    more = b"retry-after: %d\r\n" % RETRY_AFTER_SECONDS if status == 429 else b""
    return _HEAD % (status, len(text), more) + text
