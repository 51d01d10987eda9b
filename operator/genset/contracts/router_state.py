"""The state of a router is what its admin port tells of the backends as they are now (`/-/state`), for people and the console.

Reading is tolerant: what is absent or of another type counts as not told. See docs/adr/0012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from genset.contracts.reading import count, items, parsed, text

STATE_PATH: Final = "/-/state"
MOST_BACKENDS: Final = 256  # that are read; a policy has fewer
MOST_ENDPOINTS: Final = 1024  # of one backend


@dataclass(frozen=True)
class EndpointState:
    """This is one address of a backend. `healthy`: what probes say; None without any. `breaker`: closed, half-open, open."""

    address: str
    healthy: bool | None = None
    in_flight: int = 0
    breaker: str = ""


@dataclass(frozen=True)
class BackendState:
    """This is what a router knows of a backend. `why_not` says why it does not ask it, if it does not."""

    kind: str = ""
    admits: bool = False
    why_not: str = ""
    detail: str = ""
    breaker: str = ""
    queued: int = 0
    endpoints: tuple[EndpointState, ...] = ()

    @property
    def in_flight(self) -> int:
        """Returns how many requests run at all of its addresses."""
        return sum(one.in_flight for one in self.endpoints)


@dataclass(frozen=True)
class RouterState:
    """This is what a router does now. `ledger_failing` says why the ledger takes no records, if it takes none."""

    in_flight: int = 0
    queued: int = 0
    connections: int = 0
    draining: bool = False
    ledger_failing: str = ""
    backends: Mapping[str, BackendState] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: bytes) -> RouterState | None:
        """Reads the state; None for anything else."""
        told = parsed(body)
        backends = told.get("backends")
        if not isinstance(backends, dict):
            return None
        return cls(
            count(told.get("inFlight")),
            count(told.get("queued")),
            count(told.get("connections")),
            told.get("draining") is True,
            text(_object(told.get("ledger")).get("failing")),
            {name: _backend(_object(one)) for name, one in list(backends.items())[:MOST_BACKENDS]},
        )


def _backend(told: Mapping[str, Any]) -> BackendState:
    endpoints = items(told.get("endpoints"))[:MOST_ENDPOINTS]
    return BackendState(
        text(told.get("kind")),
        told.get("admits") is True,
        text(told.get("whyNot")),
        text(told.get("detail")),
        text(_object(told.get("breaker")).get("state")),
        count(told.get("queued")),
        tuple(_endpoint(one) for one in endpoints if isinstance(one, dict)),
    )


def _endpoint(told: Mapping[str, Any]) -> EndpointState:
    breaker, healthy = text(_object(told.get("breaker")).get("state")), told.get("healthy")
    probed = healthy if isinstance(healthy, bool) else None
    return EndpointState(text(told.get("address")), probed, count(told.get("inFlight")), breaker)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
