"""What is told of budgets: anew with each percent and each window, by Events when something changes, never at rest."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.api.routepolicy_status import BudgetStatus
from genset.contracts.router_admin import BudgetReport, ConfigReport
from genset.status import budgets
from genset.times import seconds
from genset.windows import window

NOW = "2026-11-21T10:00:00Z"
BEGIN, END = window("Month", "UTC", seconds(NOW))
CLOUD = {"provider": "openAICompatible", "baseURL": "https://a/v1", "model": "m"}
PRICE = {"currency": "USD", "inputPerMillion": "1"}


def policy(*said: dict[str, Any], **more: Any) -> RoutePolicy:
    spec = {
        "backends": [
            {"name": "house", "deployment": {"name": "h"}},
            {"name": "far", "cloud": {**CLOUD, "price": PRICE}},
        ],
        "routes": [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}, {"backends": [{"name": "far"}]}]}],
        "budgets": [{"name": "month", "amount": "500", "currency": "USD", **one} for one in said],
        **more,
    }
    return RoutePolicy.model_validate({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})


def heard(*spent: str, short: bool = False, uncounted: int = 0, begin: int = BEGIN) -> list[ConfigReport | None]:
    """What routers say that was spent; one of them is silent."""
    return [
        None,
        *(
            ConfigReport("h", budgets=(BudgetReport("month", "USD", begin, END, one, 0, short, uncounted),))
            for one in spent
        ),
    ]


def told(old: list[BudgetStatus], *spent: str, now: str = NOW, resource: RoutePolicy | None = None, **more: Any) -> Any:
    (found,) = budgets.evaluate(resource or policy({}), heard(*spent, **more), old, now)
    return found


def test_the_most_that_any_router_knows_counts_and_it_is_told_by_the_percent() -> None:
    one = told([], "100", "101.5")
    assert (one.spent, one.left, one.percent, one.state) == ("101.50", "398.50", 20, "Open")
    assert one.projected == "149.14"  # of 20.4 days, for 30
    assert (one.window_begin, one.window_end) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert told([one], "104.99", now="2026-11-22T10:00:00Z") is one, (
        "no percent more, although the projection is another"
    )
    assert told([one]) is one and told([one], "90") is one, "routers that begin anew know less"
    later = told([one], "105")
    assert later.percent == 21 and later.spent == "105.00"


def test_a_projection_waits_for_a_twentieth_of_the_window() -> None:
    assert told([], "1", now="2026-11-02T00:00:00Z").projected == ""
    assert told([], "10", now="2026-11-03T00:00:00Z").projected == "150.00"


def test_another_window_or_amount_is_told_at_once() -> None:
    one = told([], "499")
    begin, _ = window("Month", "UTC", END)
    following = told([one], "0", now="2026-12-01T00:00:10Z", begin=begin)
    assert (following.spent, following.state) == ("0.00", "Open")
    raised = told([one], "499", resource=policy({"amount": "1000"}))
    assert (raised.percent, raised.left, raised.state) == (49, "501.00", "Open")


STATES = [
    ("399", False, "Open"),
    ("400", False, "Warned"),
    ("499.99", False, "Warned"),
    ("499.99", True, "Spent"),
    ("500", False, "Spent"),
]


@pytest.mark.parametrize(("spent", "short", "state"), STATES)
def test_states(spent: str, short: bool, state: str) -> None:
    assert told([], spent, short=short).state == state


def test_a_budget_of_nothing_is_spent() -> None:
    one = told([], resource=policy({"amount": "0"}))
    assert (one.state, one.percent, one.left) == ("Spent", 100, "0.00")


def test_events_tell_of_changes_once() -> None:
    states = [told([], spent) for spent in ("10", "410", "500", "20")]
    seen = []
    for old, new in zip([None, *states], states, strict=False):
        before = [old] if old is not None else []
        seen += [reason for _, reason, _ in budgets.events(before, [new])]
        assert budgets.events([new], [new]) == []
    assert seen == ["BudgetNearlySpent", "BudgetSpent", "BudgetOpen"]


def test_attempts_that_could_not_be_counted_are_told_when_the_first_comes() -> None:
    one = told([], "10")
    assert told([one], "10", "10", uncounted=2).uncounted == 4


def warned(*said: dict[str, Any], **more: Any) -> list[str]:
    return [problem.message for problem in budgets.warnings(policy(*said, **more))]


def test_a_budget_that_acts_is_not_warned_of() -> None:
    assert warned({}, {"name": "b", "scope": {"routes": ["all"], "backends": ["far"]}}) == []


def test_budgets_that_can_never_act_are_told() -> None:
    far = {"name": "far", "cloud": {**CLOUD, "price": {**PRICE, "currency": "EUR"}}}
    house = {"name": "house", "deployment": {"name": "h"}}
    (euros,) = warned({}, backends=[house, far])
    assert "what goes to far (EUR) is not in it, so that it can never act" in euros
    (unknown,) = warned({}, backends=[house, {"name": "far", "cloud": CLOUD}])
    assert "does not count what goes to far" in unknown and "can never act" in unknown
    keys = {"name": "k", "key": "k"}
    access = {"consumers": [{"name": "lab", "team": "science", "keysSecretRef": keys}]}
    (nobody,) = warned({"scope": {"consumers": ["nobody"]}}, access=access)
    assert "spec.budgets[month].scope.consumers can never act: spec.access has none of nobody" in nobody
    assert warned({"scope": {"teams": ["science"]}}, access=access) == []
    (team,) = warned({"scope": {"teams": ["law"]}}, access=access)
    assert "scope.teams can never act" in team
    local = [{"name": "all", "tiers": [{"backends": [{"name": "house"}]}]}]
    (idle,) = warned({}, routes=local)
    assert "no route of its scope asks a cloud of its scope" in idle


def test_what_a_provider_tells_itself_is_counted_in_dollars() -> None:
    router = {
        "name": "far",
        "cloud": {"provider": "openRouter", "model": "a/b", "credentialsSecretRef": {"name": "k", "key": "k"}},
    }
    house = {"name": "house", "deployment": {"name": "h"}}
    assert warned({}, backends=[house, router]) == []
    (euros,) = warned({"currency": "EUR"}, backends=[house, router])
    assert "far (USD) is not in it" in euros
