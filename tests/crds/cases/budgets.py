"""RoutePolicies by what they say of what may be spent."""

from __future__ import annotations

from typing import Any

from tests.crds.cases.case import RP, SECRET, Case, Spec, policy

_MONTH = {"name": "month", "amount": "500", "currency": "USD"}
_LAB = {"consumers": [{"name": "lab", "keysSecretRef": SECRET}]}


def budgets(*said: dict[str, Any], **more: Any) -> Spec:
    return policy(budgets=[{**_MONTH, **one} for one in said], **more)


BUDGETS = [
    Case("a budget of everything", RP, budgets({})),
    Case("a budget with all that may be said", RP, budgets(
        {"scope": {"consumers": ["lab"], "teams": ["accounting"], "routes": ["all"], "backends": ["frontier"]},
         "amount": "12.50", "window": "Week", "timeZone": "Europe/Berlin", "warnAtPercent": 90, "whenSpent": "Refuse"},
        access=_LAB)),
    Case("no money at all", RP, budgets({"amount": "0"})),
    Case("a route that is not there", RP, budgets({"scope": {"routes": ["nobody"]}}),
         "budgets: each of scope.routes must be one of spec.routes"),
    Case("a backend that is not there", RP, budgets({"scope": {"backends": ["nobody"]}}),
         "budgets: each of scope.backends must be a cloud of spec.backends"),
    Case("a budget of the house", RP, budgets({"scope": {"backends": ["house"]}}),
         "budgets: each of scope.backends must be a cloud of spec.backends"),
    Case("consumers where nobody asks who asks", RP, budgets({"scope": {"consumers": ["lab"]}}),
         "budgets: scope.consumers and scope.teams need spec.access"),
    Case("teams where nobody asks who asks", RP, budgets({"scope": {"teams": ["accounting"]}}),
         "budgets: scope.consumers and scope.teams need spec.access"),
    Case("a budget twice", RP, budgets({}, {}), "Duplicate value", types="budgets holds 'month' twice"),
    Case("a scope of nobody", RP, budgets({"scope": {"routes": []}}), "should have at least 1 items",
         types="at least 1 item"),
    Case("an amount that is a number", RP, budgets({"amount": 500}), "must be of type string", types="valid string"),
    Case("an amount below nothing", RP, budgets({"amount": "-5"}), "should match", types="pattern"),
    Case("a currency that is none", RP, budgets({"currency": "eur"}), "should match", types="pattern"),
    Case("a window of a year", RP, budgets({"window": "Year"}), "Unsupported value", types="'Month', 'Week' or 'Day'"),
    Case("a warning beyond the end", RP, budgets({"warnAtPercent": 101}), "less than or equal to 100"),
    Case("no known way", RP, budgets({"whenSpent": "Pay"}), "Unsupported value",
         types="'HouseOnly', 'NextTier' or 'Refuse'"),
]  # fmt: skip
