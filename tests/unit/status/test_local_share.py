"""What the house gives of a route's answers, as status, condition, Event and column tell it, and when it is looked at anew."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_admin import ConfigReport, ShareReport
from genset.controllers.keys import Key
from genset.controllers.outages import SHARE_SECONDS, OutageBook
from genset.controllers.told_shares import ToldShares
from genset.kube.metrics import Metrics
from genset.status import local_share, route_policy
from genset.status.observed import RoutePolicyObserved
from genset.status.warnings import of_route_policy

NOW = "2026-11-21T10:00:00Z"
KEY = Key("RoutePolicy", "law", "assistant")
CLOUD = {"provider": "openai", "model": "m", "credentialsSecretRef": {"name": "keys", "key": "token"}}


def policy(*tiers: list[str], **shares: dict[str, Any]) -> RoutePolicy:
    """A policy with a route for each share."""
    backends = [{"name": "house", "deployment": {"name": "house"}}, {"name": "frontier", "cloud": CLOUD}]
    named = [{"backends": [{"name": name} for name in tier]} for tier in tiers or (["house"], ["frontier"])]
    routes = [
        {"name": name, "match": {"models": [name]}, "tiers": named, "localShare": s} for name, s in shares.items()
    ]
    return RoutePolicy.model_validate(
        {
            "metadata": {"name": "assistant", "namespace": "law"},
            "spec": {"backends": backends, "routes": routes or [{"name": "all", "tiers": named}]},
        }
    )


def report(*shares: tuple[str, int, int]) -> ConfigReport:
    return ConfigReport("c1", shares=tuple(ShareReport(*share) for share in shares))


def told(resource: RoutePolicy, *reports: ConfigReport | None) -> tuple[Any, ...]:
    observed = RoutePolicyObserved(heard={f"r{number}": one for number, one in enumerate(reports)})
    status = route_policy.evaluate(resource, observed, NOW)
    condition = next((one for one in status.conditions if one.type == "LocalShareMet"), None)
    said = (condition.status, condition.reason) if condition is not None else None
    return [one.percent for one in status.local_share], status.house_share, said


CASES = [
    ((report(("a", 100, 80)),), [80], "80%", ("True", "LocalShareMet")),
    ((report(("a", 100, 79)),), [79], "79%", ("False", "LocalShareBelow")),
    ((report(("a", 1000, 799)),), [79], "79%", ("False", "LocalShareBelow")),  # never rounded up to its target
    ((report(("a", 60, 60)), report(("a", 40, 19)), None), [79], "79%", ("False", "LocalShareBelow")),  # of all routers
    ((report(("a", 19, 0)),), [None], "-", ("True", "LocalShareMet")),  # too few to tell
    ((report(),), [None], "-", ("True", "LocalShareMet")),  # a router of before, which does not count
    ((report(("gone", 90, 0)),), [None], "-", ("True", "LocalShareMet")),
]


@pytest.mark.parametrize(("reports", "percents", "shown", "said"), CASES)
def test_one_route(reports: tuple[ConfigReport | None, ...], percents: list[Any], shown: str, said: object) -> None:
    assert told(policy(a={"target": 80}), *reports) == (percents, shown, said)


def test_nobody_who_does_not_ask_is_told() -> None:
    assert told(policy(), report(("all", 100, 0))) == ([], "", None)


def test_several_routes_are_named() -> None:
    resource = policy(a={"target": 80}, b={"target": 50, "window": "Week"})
    assert told(resource, report(("a", 100, 95), ("b", 50, 20))) == (
        [95, 40], "a 95%, b 40%", ("False", "LocalShareBelow"),
    )  # fmt: skip
    found = local_share.verdict(resource, local_share.shares(resource, [report(("b", 50, 20))]))
    assert found is not None
    assert found.message == "Route b: the house gave 40 % of the last week's answers, and 50 % are wanted"


def test_many_routes_fit_into_a_status() -> None:
    resource = policy(**{f"r{number:03d}-{'x' * 50}": {"target": 100} for number in range(256)})
    shares = [(route.name, 100, 0) for route in resource.spec.routes]
    _, shown, said = told(resource, report(*shares))
    assert said == ("False", "LocalShareBelow") and len(shown) <= 256


def test_falling_below_is_an_event() -> None:
    resource = policy(a={"target": 80})
    heard = {"r0": report(("a", 100, 10))}
    status = route_policy.evaluate(resource, RoutePolicyObserved(heard=heard), NOW)
    events = route_policy.events(resource, status, RoutePolicyObserved(heard=heard))
    assert ("Warning", "LocalShareBelow") in [(kind, reason) for kind, reason, _ in events]


@pytest.mark.parametrize(
    ("tier", "words"), [("house", "are in data zone house"), ("frontier", "are outside data zone")]
)
def test_a_share_that_cannot_change_is_told(tier: str, words: str) -> None:
    (found,) = of_route_policy(policy([tier], a={"target": 80}), [])[:1]
    assert found.field == "spec.routes[a].localShare" and words in found.message
    assert not [one for one in of_route_policy(policy(a={"target": 80}), []) if "localShare" in one.message]


def test_news_of_shares_waits_a_minute() -> None:
    clock = [0.0]
    book = OutageBook(lambda: clock[0])
    book.heard(KEY, {"r": "10.0.0.1"}, {"r": report(("a", 100, 80))})
    changed = report(("a", 110, 80))
    assert not book.is_news(KEY, "r", changed)
    clock[0] = SHARE_SECONDS
    assert book.is_news(KEY, "r", changed)
    assert not book.is_news(KEY, "r", report(("a", 200, 160))), "the same share of more answers"
    book.heard(KEY, {"r": "10.0.0.1"}, {"r": changed})
    assert not book.is_news(KEY, "r", report(("a", 100, 10)))
    assert book.is_news(KEY, "r", ConfigReport("c2")), "another configuration is news at once"


def test_metrics_have_the_routes_of_now() -> None:
    metrics = Metrics()
    shares = ToldShares(metrics.local_share, metrics.local_share_target)

    def rows() -> list[tuple[str, float]]:
        found = [
            sample
            for gauge in (metrics.local_share, metrics.local_share_target)
            for sample in gauge.collect()[0].samples
        ]
        return [(sample.labels["route"], sample.value) for sample in found]

    resource = policy(a={"target": 80}, b={"target": 50})
    shares.tell(KEY, local_share.shares(resource, [report(("a", 100, 95))]))
    assert rows() == [("a", 0.95), ("a", 0.8), ("b", 0.5)]
    shares.tell(KEY, local_share.shares(policy(b={"target": 60}), []))
    assert rows() == [("b", 0.6)]
    shares.drop(KEY)
    shares.drop(KEY)
    assert rows() == []
