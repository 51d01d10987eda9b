"""What routers do now is told by two readings of their metrics, a few seconds apart. Pure.

Reading is tolerant: a router of another release may lack a metric, which counts as nothing told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from genset.columns import aligned
from genset.histograms import quantile

SCHEMA: Final = "genset.dev/top/v1"  # of the JSON: fields are added, never changed
_HEADS: Final = (
    "NAMESPACE", "POLICY", "BACKEND", "STATE", "ANSWERS/S", "TOKENS/S", "FIRST TOKEN", "FAILED/S", "WAITING", "IN FLIGHT",
)  # fmt: skip
_STATES: Final = {0.0: "closed", 1.0: "half-open", 2.0: "open"}
_NOTHING: Final = "-"

Key = tuple[str, str, str]  # namespace, policy, backend; "" as a backend: of the policy's routers as such


@dataclass(frozen=True)
class MetricsReading:
    """A reading is one router's metrics at `at` seconds of a monotonic clock. `values`: by metric and labels but the backend."""

    namespace: str
    policy: str
    pod: str
    at: float
    values: Mapping[tuple[str, str, str], float]  # metric, backend, what else tells it apart


@dataclass
class BackendRates:
    """Rates say what all routers of a policy do with one backend. Rates are per second; `firstToken`: median, seconds."""

    namespace: str
    policy: str
    backend: str
    state: str = ""
    answers: float = 0.0
    tokens: float = 0.0
    failed: float = 0.0
    waiting: float = 0.0
    inFlight: float | None = None  # of the policy's routers: stands with its first backend
    firstToken: float | None = None
    buckets: dict[float, float] = field(default_factory=dict, repr=False)


_READ: Final = {  # metric → its label, besides the backend, that tells rows apart
    "genset_router_attempts_total": "outcome",
    "genset_router_tokens_total": "direction",
    "genset_router_first_token_seconds_bucket": "le",
    "genset_router_backend_waiting": "",
    "genset_router_breaker_state": "",
    "genset_router_in_flight": "",
}
_WHOLE: Final = "ok"


def read(namespace: str, policy: str, pod: str, at: float, text: str) -> MetricsReading:
    """Returns a reading of the text that a router's /metrics answers. Raises ValueError if it is none."""
    values: dict[tuple[str, str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if (apart := _READ.get(sample.name)) is not None:
                key = (sample.name, sample.labels.get("backend", ""), sample.labels.get(apart, ""))
                values[key] = values.get(key, 0.0) + sample.value
    return MetricsReading(namespace, policy, pod, at, values)


def between(earlier: Iterable[MetricsReading], later: Iterable[MetricsReading]) -> list[BackendRates]:
    """Returns what happened between two readings of each router; a router that one of them lacks tells no rates."""
    before = {(one.namespace, one.pod): one for one in earlier}
    loads: dict[Key, BackendRates] = {}
    for now in later:
        then = before.get((now.namespace, now.pod))
        seconds = now.at - then.at if then is not None else 0.0
        _add(loads, now, then.values if then is not None and seconds > 0 else None, seconds)
    found = sorted(
        (load for key, load in loads.items() if key[2]), key=lambda one: (one.namespace, one.policy, one.backend)
    )
    for load in found:
        load.firstToken = quantile(load.buckets, 0.5)
        if (whole := loads.pop((load.namespace, load.policy, ""), None)) is not None:
            load.inFlight = whole.inFlight
    return found


def _add(
    loads: dict[Key, BackendRates],
    now: MetricsReading,
    then: Mapping[tuple[str, str, str], float] | None,
    seconds: float,
) -> None:
    for (metric, backend, apart), value in now.values.items():
        key = (now.namespace, now.policy, backend)
        load = loads.setdefault(key, BackendRates(*key))
        if metric == "genset_router_breaker_state":
            worst = max(value, next((code for code, name in _STATES.items() if name == load.state), 0.0))
            load.state = _STATES.get(worst, _NOTHING)
        elif metric == "genset_router_backend_waiting":
            load.waiting += value
        elif metric == "genset_router_in_flight":
            load.inFlight = (load.inFlight or 0.0) + value
        elif then is not None:
            # A router that began anew counts from nothing.
            grown = max(value - then.get((metric, backend, apart), 0.0), 0.0)
            if metric == "genset_router_first_token_seconds_bucket":
                load.buckets[float(apart)] = load.buckets.get(float(apart), 0.0) + grown
            elif metric == "genset_router_tokens_total":
                load.tokens += grown / seconds if apart == "output" else 0.0
            elif apart == _WHOLE:
                load.answers += grown / seconds
            else:
                load.failed += grown / seconds


def screen(loads: Sequence[BackendRates]) -> str:
    """Returns the loads for people."""
    if not loads:
        return "No router runs: make a RoutePolicy, or correct --namespace."
    return "\n".join(aligned([_HEADS, *map(_cells, loads)], words=4))


def as_json(loads: Sequence[BackendRates]) -> str:
    """Returns the loads for programs."""
    rows = [{name: value for name, value in asdict(load).items() if name != "buckets"} for load in loads]
    return json.dumps({"schema": SCHEMA, "backends": rows}, ensure_ascii=False)


def _cells(load: BackendRates) -> tuple[str, ...]:
    first = _NOTHING if load.firstToken is None else f"{load.firstToken:.2f} s"
    in_flight = "" if load.inFlight is None else f"{load.inFlight:.0f}"
    rates = (f"{load.answers:.1f}", f"{load.tokens:.0f}", first, f"{load.failed:.1f}", f"{load.waiting:.0f}", in_flight)
    return (load.namespace, load.policy, load.backend, load.state or _NOTHING, *rates)
