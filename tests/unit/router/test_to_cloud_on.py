"""`failover.toCloudOn`: what of the house may send a request on to a cloud."""

from __future__ import annotations

from typing import get_args

import pytest

from genset.api.routepolicy import TO_CLOUD_ON, ToCloudOn
from genset.contracts import route_config as contract
from genset.contracts.route_config import FailoverConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import PolicyRef, RouterConfig
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.machine.decisions import Answer, Try
from genset.router.routing.plan import Plan
from genset.router.routing.table import Table
from testbed.router_config import made
from tests.support.router.machines import cloud, house, machine

_ALL = {word.value for word in ToCloudOn}

# what the attempt at the house met, its status, and the word that has to be in toCloudOn
MET = [
    (Outcome.UNREACHABLE, 0, "Unreachable"),
    (Outcome.INTERRUPTED, 200, "Unreachable"),
    (Outcome.TOO_LATE, 0, "TooLate"),
    (Outcome.SERVER_ERROR, 500, "ServerError"),
    (Outcome.INVALID_RESPONSE, 200, "ServerError"),
    (Outcome.AUTH, 401, "ServerError"),
    (Outcome.MODEL_NOT_FOUND, 404, "ServerError"),
    (Outcome.UNSUPPORTED, 501, "ServerError"),
    (Outcome.RATE_LIMITED, 429, "Full"),
    (Outcome.UNAVAILABLE, 503, "Full"),
    (Outcome.CONTEXT_EXCEEDED, 400, "TooLong"),
    (Outcome.UNSUPPORTED, 400, "Unsupported"),
    (Outcome.UNSUPPORTED, 404, "Unsupported"),
    (Outcome.DENIED, 403, "Unsupported"),
]


def goes_to_the_cloud(outcome: Outcome, status: int, words: set[str]) -> bool:
    one = machine(house(), cloud(), to_cloud_on=tuple(words))
    decision = one.begin(0.0)
    while isinstance(decision, Try) and decision.candidate.backend.local:
        one.connecting()
        one.sent(0.0)
        decision = one.failed(0.0, Failure(outcome, "met", status))
    return isinstance(decision, Try)


@pytest.mark.parametrize(("outcome", "status", "word"), MET)
def test_what_was_met_decides(outcome: Outcome, status: int, word: str) -> None:
    assert goes_to_the_cloud(outcome, status, {word})
    assert not goes_to_the_cloud(outcome, status, _ALL - {word})
    assert goes_to_the_cloud(outcome, status, set(TO_CLOUD_ON)) is (word in TO_CLOUD_ON)


def down(backend: Backend) -> Backend:
    backend.probed(backend.endpoints[0], False, 0.0)
    backend.probed(backend.endpoints[0], False, 0.0)
    return backend


def limited(backend: Backend) -> Backend:
    backend.breaker.trip(0.0, Cause.RATE_LIMITED, 60.0)
    return backend


@pytest.mark.parametrize(("state", "word"), [(down, "Unreachable"), (limited, "Full")])
def test_what_is_known_of_the_house_decides_too(state: object, word: str) -> None:
    for words, expected in (({word}, "cloud"), (_ALL - {"Unreachable", "Full", "TooLate", "ServerError"}, "stays")):
        one = machine(state(house()), cloud(), to_cloud_on=tuple(words))  # type: ignore[operator]
        decision = one.begin(1.0)
        if expected == "cloud":
            assert isinstance(decision, Try) and decision.candidate.backend.name == "cloud"
        else:
            assert isinstance(decision, Answer) or decision.candidate.backend.name == "house"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("outcome", "status", "word"),
    [
        (Outcome.UNREACHABLE, 0, "Unreachable"),
        (Outcome.TOO_LATE, 0, "TooLate"),
        (Outcome.SERVER_ERROR, 500, "ServerError"),
        (Outcome.INVALID_RESPONSE, 200, "ServerError"),
        (Outcome.UNAVAILABLE, 503, "Full"),
    ],
)
def test_an_open_breaker_bars_what_its_failures_barred(outcome: Outcome, status: int, word: str) -> None:
    for words in ({word}, _ALL - {word}):
        near = house()
        for now in range(6):  # the breaker opens on the way
            one = machine(near, cloud(), to_cloud_on=tuple(words))
            decision = one.begin(float(now))
            while isinstance(decision, Try) and decision.candidate.backend is near:
                one.connecting()
                one.sent(float(now))
                decision = one.failed(float(now), Failure(outcome, "met", status))
            assert isinstance(decision, Try) is (word in words), f"request {now}"
        assert not near.admits(6.0)


def test_another_model_of_the_house_is_asked_whatever_the_words() -> None:
    one = machine(house("text"), house("pictures"), cloud(), to_cloud_on=())
    one.begin(0.0)
    one.sent(0.0)
    decision = one.failed(0.0, Failure(Outcome.UNSUPPORTED, "no pictures", 400))
    assert isinstance(decision, Try) and decision.candidate.backend.name == "pictures"


def test_between_clouds_nothing_is_barred() -> None:
    one = machine(cloud("one"), cloud("two"), to_cloud_on=())
    one.begin(0.0)
    one.sent(0.0)
    decision = one.failed(0.0, Failure(Outcome.UNSUPPORTED, "no tools", 400))
    assert isinstance(decision, Try) and decision.candidate.backend.name == "two"


def test_a_policy_has_the_words_of_the_configuration() -> None:
    assert set(TO_CLOUD_ON) < _ALL == set(get_args(contract.ToCloudOn))


@pytest.mark.parametrize(
    ("words", "goes"), [(None, True), (("TooLong",), True), (("Unreachable",), False), ((), False)]
)
def test_what_is_too_long_for_the_house(words: tuple[str, ...] | None, goes: bool) -> None:
    backends = {"house": house(context=1000), "cloud": cloud(context=100_000)}
    failover = made(FailoverConfig) if words is None else made(FailoverConfig, to_cloud_on=words)
    tiers = ((made(WeightedBackend, backend="house"),), (made(WeightedBackend, backend="cloud"),))
    config = made(
        RouterConfig,
        policy=made(PolicyRef, namespace="n", name="p"),
        backends=tuple(backend.config for backend in backends.values()),
        routes=(made(RouteConfig, name="r", tiers=tiers, failover=failover),),
    )
    plan = Table(config, backends, "hash").plan("any", 5000, 0, {}, lambda: 0.5)
    if goes:
        assert isinstance(plan, Plan) and [c.backend.name for c in plan.candidates] == ["cloud"]
    else:
        assert not isinstance(plan, Plan) and "maximum context length is 1000 tokens" in plan.message


@pytest.mark.parametrize(("words", "late"), [(("TooLate",), True), (("Unreachable",), False)])
def test_a_slow_house_is_waited_for_where_no_cloud_may_follow(words: tuple[str, ...], late: bool) -> None:
    one = machine(house(), cloud(), to_cloud_on=words)
    one.begin(0.0)
    one.sent(0.0)
    assert (one.expired(60.0) is not None) is late


def test_a_cloud_that_refuses_is_nobody_else() -> None:
    away = cloud()
    one = machine(house(), away, path="/chat/completions")
    away.failed(away.endpoints[0], Failure(Outcome.AUTH, "answered 401", 401), 0.0, 0.0, False)
    one.begin(0.0)
    one.sent(0.0)
    assert one.expired(60.0) is None, "nobody else could answer"
