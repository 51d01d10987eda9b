"""Providers say by codes why a key is refused: the key itself is, nobody has paid, or the account is suspended; and why a model
is not known. Pure.

Exact words, lower case: OpenAI's and Anthropic's API references, Google's google.rpc.Code and ErrorInfo, LiteLLM's proxy, Groq,
Moonshot, Alibaba.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from genset.router.backends.outcomes import Failure
from genset.router.dialects.upstream_error import codes_of, error_of


class Why(StrEnum):
    """Why an account is refused, as the operator is told it: what helps differs."""

    DENIED = "denied"  # what the key may not do, which may be this model alone
    KEY = "key"
    UNPAID = "unpaid"
    SUSPENDED = "suspended"


UNPAID: Final = frozenset((
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error", "insufficient_balance",
    "budget_exceeded", "exceeded_current_quota_error", "insufficient_user_quota", "arrearage", "accountoverdueerror",
    "accessdenied.unpurchased", "billing_disabled", "servicequotaexceededexception",
))  # fmt: skip
SUSPENDED: Final = frozenset((
    "account_deactivated", "account_suspended", "access_terminated", "organization_restricted", "organization_disabled",
    "organization_deactivated", "consumer_suspended",
))  # fmt: skip
KEY: Final = frozenset(
    ("invalid_api_key", "invalid_authentication", "key_expired", "api_key_invalid", "unauthenticated")
)
DENIED: Final = frozenset((
    "authentication_error", "permission_error", "permission_denied", "unsupported_country_region_territory", "service_disabled",
    "accessdeniedexception",
))  # fmt: skip
#: What servers say of a model that they had (Groq; Azure; OpenAI).
_RETIRED: Final = frozenset(
    ("model_decommissioned", "model_deprecated", "model_retired", "modeldeprecated", "model_gone")
)
_GONE: Final = 410
RETIRED: Final = "retired"  # why a model is not known
_UNPAID_STATUS: Final = (402, 412, 429)  # a 429 is an account's only if its code or words say so (`machine.classify`)
#: Words of refusals whose codes say nothing, which only the router's own requests have met: none is a caller's.
_WORDS: Final = (
    (re.compile(r"\b(suspended|restricted|disabled|deactivated)\b", re.IGNORECASE), Why.SUSPENDED),
    (re.compile(r"\bapi key\b", re.IGNORECASE), Why.KEY),
    (re.compile(r"\b(credits?|balance|budget|usage limits?|quota|billing|afford)\b", re.IGNORECASE), Why.UNPAID),
)


def why_refused(failure: Failure) -> Why:
    """Returns why a key was refused, by the codes of the refusal and its status."""
    codes = codes_of(error_of(failure.body)) if failure.body else frozenset()
    if not codes.isdisjoint(SUSPENDED):
        return Why.SUSPENDED
    if not codes.isdisjoint(KEY):
        return Why.KEY
    if not codes.isdisjoint(UNPAID) or _spent(codes):
        return Why.UNPAID
    said = next((why for words, why in _WORDS if words.search(failure.words)), None)
    return said or (Why.UNPAID if failure.status in _UNPAID_STATUS else Why.DENIED)


def _spent(codes: frozenset[str]) -> bool:
    return any(code.endswith("_spend_limit_reached") for code in codes)


def why_unknown(failure: Failure, *, worked: bool) -> str:
    """Returns why a model is not known: `retired` if the server says so, or if it `worked` before; "" if nobody knows."""
    codes = codes_of(error_of(failure.body)) if failure.body else frozenset()
    return RETIRED if worked or failure.status == _GONE or not codes.isdisjoint(_RETIRED) else ""
