"""These machines are requests before backends of the house and of a provider. No sockets, no time."""

from __future__ import annotations

from typing import Any

from genset.contracts.backend_config import BackendConfig, BalancingConfig, DnsEndpoints, LocalTarget, UrlTarget
from genset.contracts.route_config import ColdStartConfig, FailoverConfig
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.machine.decisions import Candidate, Try
from genset.router.machine.facts import Facts
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.machine import RequestMachine
from genset.router.machine.trail import Step
from testbed.router_config import made


def house(
    name: str = "house", pods: int = 1, context: int | None = None, bound: int | None = None, **balancing: Any
) -> Backend:
    """Makes pods at 10.0.0.1, 10.0.0.2, ..., all of them found healthy; `bound`: requests that each one takes."""
    target = made(LocalTarget, dns=DnsEndpoints(host="house.test", port=80))
    balance = made(BalancingConfig, **{"maxInFlightPerEndpoint": bound, **balancing})
    config = made(
        BackendConfig, name=name, kind="local", model="m", context_tokens=context, local=target, balancing=balance
    )
    backend = Backend(config, Credentials({}, "nowhere"), lambda: 0.5)
    backend.pool.take(tuple(backend.pool.make(f"10.0.0.{n}", 80) for n in range(1, pods + 1)))
    for endpoint in backend.endpoints:
        backend.probed(endpoint, True, 0.0)
    return backend


def cloud(
    name: str = "cloud", context: int | None = None, bound: int | None = None, rule: str = "Anchor", **balancing: Any
) -> Backend:
    target = UrlTarget(base_url="http://cloud.test/v1", provider="openAICompatible")
    balance = made(BalancingConfig, **{"maxInFlightPerEndpoint": bound, **balancing})
    config = made(
        BackendConfig,
        name=name,
        kind="cloud",
        model="m",
        context_tokens=context,
        continuation=rule,
        url=target,
        balancing=balance,
    )
    return Backend(config, Credentials({}, "nowhere"), lambda: 0.5)


def machine(
    *backends: Backend,
    stream: bool = True,
    tokens: int = 100,
    deadline: float = 600.0,
    origin: str = "",
    path: str = "",
    body: bytes = b"",
    **more: Any,
) -> RequestMachine:
    facts = Facts(
        [Candidate(backend, tier, b"") for tier, backend in enumerate(backends)],
        FailoverSettings(made(FailoverConfig, **more)),
        deadline,
        streams=stream,
        input_tokens=tokens,
        random=lambda: 0.5,
        cold_start=made(ColdStartConfig),
        origin=origin,
        path=path,
        body=body,
    )
    return RequestMachine(facts)


def fail(outcome: Outcome, **more: Any) -> Failure:
    return Failure(outcome, "failed", **more)


def where(decision: object) -> str:
    assert isinstance(decision, Try), decision
    return f"{decision.candidate.backend.name}/{decision.endpoint.host}"


def committed(one: RequestMachine, now: float = 1.0) -> RequestMachine:
    """Gives the client its first token."""
    one.begin(0.0)
    one.sent(0.0)
    one.head()
    one.committed(now)
    return one


def steps(*told: str) -> list[Step]:
    """Returns a trail, made from what clients are told of it."""
    parts = [step.split(":") for step in told]
    return [Step(backend, word, int(took.removesuffix("ms"))) for backend, word, took in parts]
