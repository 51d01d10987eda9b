"""COLD in the state machine: backends at rest, by route setting. Without sockets and without time."""

from __future__ import annotations

from typing import Literal

import pytest

from genset.contracts.backend_config import BackendConfig, DnsEndpoints, LocalTarget, UrlTarget
from genset.contracts.route_config import ColdStartConfig, FailoverConfig
from genset.contracts.router_admin import DemandReport, DeploymentDemand
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import State
from genset.router.backends.credentials import Credentials
from genset.router.backends.demand import Demands
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.machine.decisions import COLD, INTERRUPTED, Answer, Candidate, Decision, Interrupt, Try, Wait
from genset.router.machine.facts import Facts
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.machine import RequestMachine
from testbed.router_config import made

HOLD, BRIDGE = "Hold", "Bridge"


def house(name: str = "house", pods: int = 0, wakes: bool = True) -> Backend:
    dns = DnsEndpoints(host=f"{name}.test", port=80)
    target = made(LocalTarget, dns=dns, wakes=name if wakes else None)
    backend = Backend(
        made(BackendConfig, name=name, kind="local", model="m", local=target), Credentials({}, "nowhere"), lambda: 0.5
    )
    if pods:
        arrive(backend, 0.0, pods)
    return backend


def arrive(backend: Backend, now: float, pods: int = 1) -> None:
    """Pods become ready: DNS lists them and their first probe is good."""
    backend.pool.take(tuple(backend.pool.make(f"10.0.0.{n}", 80) for n in range(1, pods + 1)))
    for endpoint in backend.endpoints:
        backend.probed(endpoint, True, now)


def cloud(name: str = "cloud", broken: bool = False) -> Backend:
    target = UrlTarget(base_url="http://cloud.test/v1", provider="openAICompatible")
    config = made(BackendConfig, name=name, kind="cloud", model="m", url=target)
    backend = Backend(config, Credentials({}, "nowhere"), lambda: 0.5)
    for _ in range(3 if broken else 0):
        backend.breaker.failure(0.0, 0.0)
    return backend


def machine(
    *tiers: Backend | list[Backend],
    mode: Literal["Hold", "Bridge"] = "Hold",
    seconds: float = 60,
    deadline: float = 600,
    stream: bool = True,
    attempts: int = 4,
) -> RequestMachine:
    candidates = [
        Candidate(backend, tier, b"")
        for tier, members in enumerate(tiers)
        for backend in (members if isinstance(members, list) else [members])
    ]
    facts = Facts(
        candidates,
        FailoverSettings(made(FailoverConfig, max_attempts=attempts)),
        deadline,
        streams=stream,
        input_tokens=10,
        random=lambda: 0.5,
        cold_start=made(ColdStartConfig, mode=mode, seconds=seconds),
    )
    return RequestMachine(facts)


def said(decision: Decision) -> str:
    """A decision in a word: the backend that is called, or what else there is."""
    if isinstance(decision, Try):
        return decision.candidate.backend.name
    if isinstance(decision, Wait):
        return f"waits until {decision.until:g}"
    assert isinstance(decision, Answer | Interrupt)
    return decision.answer.kind.word if isinstance(decision, Answer) else f"in-band {decision.kind.word}"


def test_what_a_request_does_that_finds_a_backend_at_rest() -> None:
    rows: list[tuple[str, RequestMachine, str]] = [
        ("hold", machine(house(), cloud()), "waits until 62"),
        ("hold, with a deadline before", machine(house(), cloud(), deadline=20), "waits until 20"),
        ("hold, a warm backend in the same tier", machine([house(), house("other", 1)], cloud()), "other"),
        ("hold, at rest further down", machine(cloud(), house()), "cloud"),
        ("hold, the first tier is broken", machine(cloud(broken=True), house(), cloud("second")), "waits until 62"),
        ("bridge", machine(house(), cloud(), mode=BRIDGE), "cloud"),
        ("bridge, to another house", machine(house(), house("other", 1), mode=BRIDGE), "other"),
        ("bridge, nobody else", machine(house(), mode=BRIDGE), "waits until 62"),
        ("bridge, all at rest", machine(house(), house("other"), mode=BRIDGE), "waits until 62"),
        ("bridge, the others are broken", machine(house(), cloud(broken=True), mode=BRIDGE), "waits until 62"),
        ("not one that wakes", machine(house(wakes=False), cloud()), "cloud"),
        ("nobody at all", machine(house(wakes=False)), "router_no_backend"),
    ]
    for what, request, expected in rows:
        assert said(request.begin(2.0)) == expected, what


def test_evidence_says_cold() -> None:
    request = machine(house(), cloud(), mode=BRIDGE)
    request.begin(0.0)
    assert request.reason == COLD


def test_a_held_request_goes_on_as_soon_as_an_endpoint_is_ready() -> None:
    local = house()
    request = machine(local, cloud())
    assert said(request.begin(0.0)) == "waits until 60"
    assert request.cold is local
    assert said(request.resume(30.0)) == "waits until 60", "the wait does not begin anew"
    arrive(local, 31.0)
    assert said(request.resume(31.0)) == "house"


@pytest.mark.parametrize(("tiers", "expected"), [(1, "router_no_backend"), (2, "cloud")])
def test_a_wait_that_is_over_goes_on_to_the_next_tier(tiers: int, expected: str) -> None:
    request = machine(*[house(), cloud()][:tiers])
    assert said(request.begin(0.0)) == "waits until 60"
    assert said(request.resume(60.0)) == expected


def test_one_wait_for_all_that_rest() -> None:
    request = machine(house(), house("second"), cloud())
    assert said(request.begin(0.0)) == "waits until 60"
    assert said(request.resume(60.0)) == "cloud"


def test_the_deadline_ends_a_wait() -> None:
    request = machine(house(), deadline=10)
    request.begin(0.0)
    assert said(request.resume(10.0)) == "router_deadline"


def test_a_bridged_request_that_fails_elsewhere_waits_for_the_waking_one() -> None:
    local = house()
    request = machine(local, cloud(), mode=BRIDGE)
    assert said(request.begin(0.0)) == "cloud"
    assert said(request.failed(1.0, Failure(Outcome.TOO_LATE, "slow"))) == "waits until 61"
    arrive(local, 2.0)
    assert said(request.resume(2.0)) == "house"


def test_while_it_waits_a_better_tier_may_return() -> None:
    other = cloud(broken=True)
    request = machine(other, house(), mode=BRIDGE)
    assert said(request.begin(0.0)) == "waits until 60"
    assert said(request.resume(30.0)) == "cloud", "its breaker is half-open by now"


LOST = [Outcome.UNREACHABLE, Outcome.INTERRUPTED, Outcome.UNAVAILABLE]


@pytest.mark.parametrize("outcome", LOST)
@pytest.mark.parametrize(("mode", "expected"), [(HOLD, "waits until 60"), (BRIDGE, "cloud")])
def test_a_request_whose_endpoint_is_put_to_rest_under_it(
    outcome: Outcome, mode: Literal["Hold", "Bridge"], expected: str
) -> None:
    """It was on its way when the last replica went: it meets Hold or Bridge like any other."""
    local = house(pods=1)
    request = machine(local, cloud(), mode=mode)
    decision = request.begin(0.0)
    while said(decision) == "house" and request.attempts < 3:  # 503 is asked once more
        request.connecting()
        decision = request.failed(0.0, Failure(outcome, "refused"))
    assert said(decision) == expected
    assert local.pool.rests


def test_a_stream_that_breaks_waits_for_the_backend_that_can_write_on() -> None:
    local = house(pods=1)
    request = machine(local, mode=BRIDGE)
    request.begin(0.0)
    request.sent(0.0)
    request.head()
    request.committed(1.0)
    assert said(request.broke(2.0, Failure(Outcome.INTERRUPTED, "cut"), INTERRUPTED)) == "waits until 62"
    arrive(local, 5.0)
    assert said(request.resume(5.0)) == "house"


def test_attempts_stay_bounded_where_endpoints_come_and_go() -> None:
    local = house(pods=1)
    request = machine(local, attempts=3)
    decision = request.begin(0.0)
    for now in range(1, 4):
        assert said(decision) == "house"
        decision = request.failed(float(now), Failure(Outcome.UNREACHABLE, "refused"))
        if now < 3:
            assert isinstance(decision, Wait)
            arrive(local, float(now))
            decision = request.resume(float(now))
    assert said(decision) == "provider_unreachable"


def test_waking_needs_no_proof() -> None:
    """A backend that was at rest is used with its first good probe, whatever its last requests met."""
    local = house(pods=1)
    for _ in range(3):
        local.broke(local.endpoints[0], 1.0, 1.0, False, endpoint_only=True)
    assert local.breaker.state is State.OPEN and local.pool.rests
    arrive(local, 30.0)
    assert local.admit(30.0) is local.endpoints[0]


def test_a_doubted_endpoint_returns_by_its_probes() -> None:
    local = house(pods=1)
    endpoint = local.endpoints[0]
    local.broke(endpoint, 1.0, 1.0, False, endpoint_only=True)
    assert local.pool.rests and local.why_not(1.0) == COLD
    local.probed(endpoint, True, 2.0)
    assert local.pool.rests, "one good probe may be the last word of a server that is going away"
    local.probed(endpoint, True, 3.0)
    assert local.admit(3.0) is endpoint


def test_a_lost_request_leaves_a_backend_with_other_endpoints_awake() -> None:
    local = house(pods=2)
    local.broke(local.endpoints[0], 1.0, 1.0, False, endpoint_only=True)
    assert not local.pool.rests
    assert local.admit(1.0) is local.endpoints[1]


def test_demand_is_told_by_deployment() -> None:
    demands = Demands()
    demand = demands.of("house")
    assert demands.report(10.0, 4.0, ["house", "house"], {}) == DemandReport(6.0, {"house": DeploymentDemand()})
    demand.entered(10.0)
    assert demands.of("house") is demand, "it outlives configurations"
    told = demands.report(12.0, 4.0, [], {"house": 3}).deployments["house"]
    assert told == DeploymentDemand(2.0, in_flight=1, waiting=3), "still in work: told although not wanted"
    demand.left(13.0)
    assert demands.report(13.0, 4.0, [], {}).deployments == {}
    assert demands.report(15.0, 4.0, ["house"], {}).deployments["house"].last_request_seconds == 2.0


def test_who_counts_as_asking() -> None:
    """A request that passes by reports demand; one that never came so far does not."""
    local, far = house(), house("far")
    request = machine(local, cloud(), far, mode=BRIDGE)
    request.begin(7.0)
    assert local.pool.demand is not None and far.pool.demand is not None
    assert (local.pool.demand.last, far.pool.demand.last) == (7.0, None)
    waiting = machine(local)
    waiting.begin(8.0)
    waiting.resume(9.0)
    assert local.pool.demand.last == 9.0, "it asks for as long as it waits"
