"""These functions make the JSON pages of the admin port: what is loaded, what is known of backends, who waits for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from genset.contracts.load import LoadReport
from genset.contracts.router_admin import ConfigReport, DemandReport, OutageReport, ServerReport, ShareReport
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Breaker
from genset.router.backends.endpoint import Endpoint
from genset.router.process.parts import Parts
from genset.times import rfc3339


def config_report(parts: Parts) -> ConfigReport:
    """Returns what the operator compares with the configuration that it wrote, and what it reports of outages."""
    table = parts.reception.table
    policy = table.config.policy if table else None
    now, shares = parts.shared.now(), parts.telemetry.metrics.shares
    return ConfigReport(
        hash=table.hash if table else "",
        credentials_hash=parts.credentials_hash,
        generation=policy.generation if policy else 0,
        namespace=policy.namespace if policy else "",
        name=policy.name if policy else "",
        site=parts.shared.configured.site.decode(),
        loaded_at=parts.loaded_at,
        error=parts.reception.problem,
        outages=(*parts.outages.told(), *_ledger_outage(parts)),
        unknown=frozenset(parts.outages.unknown()),
        budgets=parts.shared.budgets.reports() if parts.shared.budgets is not None else (),
        servers=tuple(_servers(parts)),
        drill=parts.drills.report,
        shares=tuple(ShareReport(route, *share.counted(now)) for route, share in shares.items()),
    )


def _ledger_outage(parts: Parts) -> Iterator[OutageReport]:
    """Yields the ledger's outage. It is no outage of the router's: requests go on, and so do drills."""
    if (found := parts.ledger.outage(parts.shared.wall())) is not None:
        yield found


def _servers(parts: Parts) -> Iterator[ServerReport]:
    for backend in _backends(parts):
        if (server := backend.standing.server) is not None:
            yield server
        elif (ends := backend.learned.retirement) is not None and not backend.local:
            sunset, deprecated = (rfc3339(at) if at is not None else "" for at in (ends.sunset, ends.deprecated_at))
            yield ServerReport(backend.name, answers=True, sunset=sunset, deprecated=deprecated)


def demand_report(parts: Parts) -> DemandReport:
    """Returns who asks for deployments that can rest. It is read every second: small, and cheap if nobody waits."""
    awaited = [exchange.machine.cold for exchange in parts.reception.exchanges if exchange.waits_for_waking]
    waiting = Counter(backend.wakes for backend in awaited if backend is not None and backend.wakes is not None)
    wakeable = [backend.wakes for backend in _backends(parts) if backend.wakes]
    return parts.demands.report(parts.shared.now(), parts.began, wakeable, waiting)


def load_report(parts: Parts) -> LoadReport:
    """Returns what routes give, and how fast backends write."""
    metrics = parts.telemetry.metrics
    return metrics.load.report(parts.shared.now(), metrics.given, metrics.paces())


def shown_state(parts: Parts) -> dict[str, Any]:
    """Returns what the router knows, without its keys.

    Failures are masked already, and too many to be searched each time.
    """
    shown: dict[str, Any] = orjson.loads(parts.shared.configured.mask.hide(orjson.dumps(state_view(parts))))
    for name, backend in shown["backends"].items():
        backend["failures"] = parts.shared.failures.view(name)
    return shown


def state_view(parts: Parts) -> dict[str, Any]:
    """Returns what the router now knows of its backends."""
    now = parts.shared.now()
    backends = _backends(parts)
    return {
        "draining": parts.shared.draining,
        "inFlight": parts.reception.gate.in_flight,
        "queued": parts.reception.gate.queued,
        "connections": len(parts.shared.connections),
        "outages": [outage.to_document() for outage in (*parts.outages.down(), *_ledger_outage(parts))],
        "accessLog": parts.telemetry.journal.view(),
        "ledger": parts.ledger.view(),
        "backends": {backend.name: _backend_view(backend, now) for backend in backends},
    }


def _backend_view(backend: Backend, now: float) -> dict[str, Any]:
    return {
        "kind": backend.config.kind,
        "admits": backend.admits(now) and not backend.refusals.known,
        "whyNot": "" if backend.admits(now) and not backend.refusals.known else backend.why_not(now),
        "detail": "; ".join(refusal.detail for refusal in backend.refusals.all(now)),
        "breaker": _breaker_view(backend.breaker, now),
        "queued": len(backend.line),
        "endpoints": [
            {
                "address": endpoint.name,
                "healthy": endpoint.healthy,
                "inFlight": endpoint.in_flight,
                "idleConnections": len(endpoint.idle),
                **_adapters_view(backend, endpoint),
                "breaker": _breaker_view(endpoint.breaker, now),
            }
            for endpoint in backend.endpoints
        ],
    }


def _adapters_view(backend: Backend, endpoint: Endpoint) -> dict[str, Any]:
    """Returns which of the backend's adapters an endpoint has loaded, if it has any; None: it has not told yet."""
    if not backend.config.adapters:
        return {}
    loaded = endpoint.loaded
    return {"adapters": None if loaded is None else [name for name in backend.config.adapters if name in loaded]}


def _breaker_view(breaker: Breaker, now: float) -> dict[str, Any]:
    state = breaker.view(now)
    return {
        "state": str(state),
        "cause": str(breaker.cause),
        "openForSeconds": round(max(0.0, breaker.open_until - now), 1),
    }


def _backends(parts: Parts) -> Iterable[Backend]:
    table = parts.reception.table
    return table.backends.values() if table is not None else ()
