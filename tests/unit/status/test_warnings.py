"""Warnings: what each says, how many fit into a condition, and which are told as Events."""

from __future__ import annotations

from typing import Any

from genset.api.base import Condition
from genset.api.routepolicy import RoutePolicy, RoutePolicyStatus
from genset.desired.context import RoutePolicyContext, Settings
from genset.status import route_policy
from genset.status.conditions import MESSAGE_LIMIT
from genset.status.observed import RoutePolicyObserved
from genset.status.refs import check_route_policy, check_unused_backends

NOW = "2026-11-21T10:00:00Z"


def policy(routes: list[dict[str, Any]], *backends: str) -> RoutePolicy:
    named = [{"name": name, "deployment": {"name": name}} for name in ("house", *backends)]
    return RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": {"backends": named, "routes": routes}})


def route(name: str, *models: str) -> dict[str, Any]:
    return {"name": name, "match": {"models": list(models)}, "tiers": [{"backends": [{"name": "house"}]}]}


def warning(status: RoutePolicyStatus) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == "Warnings"), None)


def test_a_policy_that_does_all_it_says_has_no_such_condition() -> None:
    assert warning(route_policy.evaluate(policy([route("a", "x")]), RoutePolicyObserved(), NOW)) is None


def test_a_long_list_ends_in_a_number_and_each_event_is_whole() -> None:
    resource = policy([route("all"), *(route(f"r{number}", "x") for number in range(200))])
    status = route_policy.evaluate(resource, RoutePolicyObserved(), NOW)
    told = warning(status)
    assert told is not None and told.reason == "UnreachableRoute" and len(told.message) <= MESSAGE_LIMIT
    assert told.message.startswith("spec.routes[r0] gets no request")
    events = [event for event in route_policy.events(resource, status) if event[0] == "Warning"]
    assert told.message.endswith(f"; and {200 - len(events)} more")
    assert len(set(events)) == len(events) > 3


def test_only_a_new_warning_is_an_event() -> None:
    before = policy([route("all"), route("old", "x")])
    status = route_policy.evaluate(before, RoutePolicyObserved(), NOW)
    after = policy([route("all"), route("old", "x"), route("new", "y")]).model_copy(update={"status": status})
    again = route_policy.evaluate(after, RoutePolicyObserved(), NOW)
    told = [message for kind, _, message in route_policy.events(after, again) if kind == "Warning"]
    assert len(told) == 1 and told[0].startswith("spec.routes[new]")


def test_a_name_that_no_router_looks_up() -> None:
    status = route_policy.evaluate(policy([route("all", "\u6a21" * 100)]), RoutePolicyObserved(), NOW)
    told = warning(status)
    assert told is not None and "spec.routes[all].match.models" in told.message and "256 bytes" in told.message


def test_what_no_route_needs_may_be_missing() -> None:
    resource = policy([route("all")], "spare")
    context = RoutePolicyContext(Settings(image="none"))
    needed, spare = check_route_policy(resource, context), check_unused_backends(resource, context)
    assert [problem.field for problem in needed] == ["spec.backends[house].deployment.name"]
    assert [problem.field for problem in spare] == ["spec.backends[spare].deployment.name"]
