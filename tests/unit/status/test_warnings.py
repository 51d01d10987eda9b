"""Warnings: what each says, how many fit into a condition, and which are told as Events."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.base import Condition
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.api.routepolicy_status import RoutePolicyStatus
from genset.desired.context import RoutePolicyContext, Settings
from genset.router.machine.answer_room import SMALL_ANSWER_TOKENS
from genset.router.telemetry import tracing
from genset.status import route_policy, warnings
from genset.status.conditions import MESSAGE_LIMIT
from genset.status.observed import RoutePolicyObserved
from genset.status.refs import check_route_policy, check_surroundings, check_unused_backends
from genset.status.warnings import ANSWER_TOKENS, of_route_policy

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
    events = [event for event in route_policy.events(resource, status, RoutePolicyObserved()) if event[0] == "Warning"]
    assert told.message.endswith(f"; and {200 - len(events)} more")
    assert len(set(events)) == len(events) > 3


def test_only_a_new_warning_is_an_event() -> None:
    before = policy([route("all"), route("old", "x")])
    status = route_policy.evaluate(before, RoutePolicyObserved(), NOW)
    after = policy([route("all"), route("old", "x"), route("new", "y")]).model_copy(update={"status": status})
    again = route_policy.evaluate(after, RoutePolicyObserved(), NOW)
    told = [
        message for kind, _, message in route_policy.events(after, again, RoutePolicyObserved()) if kind == "Warning"
    ]
    assert len(told) == 1 and told[0].startswith("spec.routes[new]")


def test_a_name_that_no_router_looks_up() -> None:
    status = route_policy.evaluate(policy([route("all", "\u6a21" * 100)]), RoutePolicyObserved(), NOW)
    told = warning(status)
    assert told is not None and "spec.routes[all].match.models" in told.message and "256 bytes" in told.message


@pytest.mark.parametrize(
    ("tiers", "fields", "told"),
    [
        (["house", "cloud"], {"failover": {"toCloudOn": ["Full"]}}, ""),
        (["house", "cloud"], {"failover": {"toCloudOn": []}}, ""),
        (["house cloud"], {"failover": {"toCloudOn": ["Full"]}}, ""),
        (["cloud", "house", "cloud"], {"failover": {"toCloudOn": ["Full"]}}, ""),
        (
            ["cloud", "house"],
            {"failover": {"toCloudOn": ["Full"]}},
            "spec.routes[all].failover.toCloudOn has no effect",
        ),
        (["house"], {"failover": {"toCloudOn": []}}, "spec.routes[all].failover.toCloudOn has no effect"),
        (["cloud"], {"failover": {"toCloudOn": ["Full"]}}, "spec.routes[all].failover.toCloudOn has no effect"),
        (["cloud"], {"coldStart": {"mode": "Hold"}}, "spec.routes[all].coldStart has no effect"),
        (["cloud"], {"coldStart": {}}, ""),
        (["cloud", "house"], {"coldStart": {"mode": "Hold"}}, ""),
        (["cloud"], {}, ""),
    ],
)
def test_settings_for_what_the_tiers_do_not_have(tiers: list[str], fields: dict[str, Any], told: str) -> None:
    gateway = {"provider": "openAICompatible", "model": "m", "baseURL": "https://gateway.corp/v1"}
    backends = [{"name": "house", "deployment": {"name": "house"}}, {"name": "cloud", "cloud": gateway}]
    made = [{"backends": [{"name": name} for name in tier.split()]} for tier in tiers]
    used = {name for tier in tiers for name in tier.split()}
    spec = {
        "backends": [backend for backend in backends if backend["name"] in used],
        "routes": [{"name": "all", "tiers": made, **fields}],
    }
    resource = RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": spec})
    found = [w.message for w in of_route_policy(resource, ()) if w.reason == "WithoutEffect"]
    assert len(found) == (1 if told else 0)
    assert all(message.startswith(told) for message in found)


def test_what_no_route_needs_may_be_missing() -> None:
    resource = policy([route("all")], "spare")
    context = RoutePolicyContext(Settings(image="none"))
    needed, spare = check_route_policy(resource, context), check_unused_backends(resource, context)
    assert [problem.field for problem in needed] == ["spec.backends[house].deployment.name"]
    assert [problem.field for problem in spare] == ["spec.backends[spare].deployment.name"]


def test_the_answer_that_needs_room_is_the_routers() -> None:
    assert ANSWER_TOKENS == SMALL_ANSWER_TOKENS and warnings.TRACES_PATH == tracing.TRACES_PATH


@pytest.mark.parametrize(
    ("cold", "failover", "told"),
    [
        ({"seconds": 600}, {"totalSeconds": 599}, ["spec.routes[r].coldStart.seconds"]),
        ({"seconds": 600}, {"totalSeconds": 600}, []),
        ({"mode": "Hold"}, {"totalSeconds": 10}, []),  # the default is nobody's word
    ],
)
def test_a_wait_beyond_the_request(cold: dict[str, Any], failover: dict[str, Any], told: list[str]) -> None:
    resource = policy([{**route("r"), "coldStart": cold, "failover": failover}])
    assert [warned.field for warned in of_route_policy(resource, ())] == told


@pytest.mark.parametrize(("tokens", "field"), [(256, "spec.backends[house].contextTokens"), (257, "")])
def test_a_context_for_which_no_prompt_is_small_enough(tokens: int, field: str) -> None:
    spec = policy([route("r")]).model_dump(mode="json", by_alias=True, exclude_none=True)
    spec["spec"]["backends"][0]["contextTokens"] = tokens
    warned = of_route_policy(RoutePolicy.model_validate(spec), ())
    assert [one.field for one in warned] == ([field] if field else [])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://otel.corp:4317", "names port 4317, where collectors speak gRPC"),
        ("http://otel.corp:4318", ""),
        ("http://otel.corp:4318/v1/traces", "ends in /v1/traces"),
    ],
)
def test_spans_that_never_arrive(url: str, told: str) -> None:
    resource = policy([route("all")])
    spec = {
        **resource.spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "router": {"telemetry": {"otlpEndpoint": url}},
    }
    found = of_route_policy(RoutePolicy.model_validate({"metadata": {"name": "p"}, "spec": spec}), ())
    assert [told in one.message for one in found] == ([True] if told else [])


@pytest.mark.parametrize(("autoscaling", "told"), [({}, True), ({"autoscaling": {"max": 1}}, False)])
def test_what_to_do_while_a_model_wakes_that_never_rests(autoscaling: dict[str, Any], told: bool) -> None:
    resource = policy([{**route("all"), "coldStart": {"mode": "Hold"}}, route("other")])
    source = {"huggingFace": {"repo": "a/b"}}
    house = ModelDeployment.model_validate({"metadata": {"name": "house"}, "spec": {"source": source, **autoscaling}})
    found = check_surroundings(resource, RoutePolicyContext(Settings(image="genset:test"), {"house": house}))
    assert [one.field for one in found] == (["spec.routes[all].coldStart"] if told else [])
    assert not check_surroundings(resource, RoutePolicyContext(Settings(image="genset:test"))), "nothing is known of it"
