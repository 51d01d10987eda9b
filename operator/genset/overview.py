"""An overview is what one looks at first: models, policies, and what needs somebody, of the resources of a cluster. Pure.

It reads resources as the API server has them, of this release or another: what a status does not tell is shown as unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from genset import kinds
from genset.columns import aligned, printable

SCHEMA: Final = "genset.dev/overview/v1"  # of the JSON: fields are added, never changed
#: Reasons for which a model that does not serve is as it should be.
_AT_REST: Final = frozenset(("AtRest", "ScaledToZero", "WaitsForPool"))
#: Reasons that pass by themselves. Why there are no routers is told by the reason beside NoRouters.
_PASSING: Final = frozenset((
    "Starting", "RollingOut", "Downloading", "WaitingForVolume", "Pending", "NoRouters", "PredecessorLeaving", "InUse",
    "WaitsItsTurn",
))  # fmt: skip
_BAD_IF_TRUE: Final = frozenset(("Stalled", "Warnings", "UpgradePending", "ProofStale"))
_MODEL_HEADS: Final = ("NAMESPACE", "NAME", "MODEL", "ENGINE", "CLASS", "UP", "STATE")
_POLICY_HEADS: Final = ("NAMESPACE", "NAME", "ROUTERS", "STATE", "HOUSE SHARE", "SPENT", "DOWN")
_UNKNOWN: Final = "-"


@dataclass(frozen=True)
class ModelLine:
    """A model line is one ModelDeployment. `state` is Ready, or why it is not; `wanted` None: nobody has decided yet."""

    namespace: str
    name: str
    model: str
    engine: str
    sizeClass: str
    ready: int
    wanted: int | None
    state: str
    serves: bool


@dataclass(frozen=True)
class PolicyLine:
    """A policy line is one RoutePolicy. `down`: what its routers see as down now."""

    namespace: str
    name: str
    readyRouters: int
    routers: int | None
    state: str
    houseShare: str
    spent: str
    down: tuple[str, ...]
    serves: bool


@dataclass(frozen=True)
class Matter:
    """A matter is not as it should be. `what` names conditions, an outage or a budget; `message` says what to do.

    `passes`: it goes by itself.
    """

    kind: str
    namespace: str
    name: str
    what: str
    message: str
    passes: bool = False


@dataclass(frozen=True)
class Overview:
    """An overview of the resources that were looked at."""

    models: tuple[ModelLine, ...]
    policies: tuple[PolicyLine, ...]
    matters: tuple[Matter, ...]

    @property
    def serves(self) -> bool:
        """Returns whether everything serves that should."""
        return all(one.serves for one in self.models) and all(one.serves for one in self.policies)


def of(resources: Iterable[Mapping[str, Any]]) -> Overview:
    """Returns the overview of ModelDeployments and RoutePolicies; other kinds are left out."""
    found = sorted(resources, key=lambda one: (one["metadata"].get("namespace", ""), one["metadata"]["name"]))
    models = [one for one in found if one.get("kind") == kinds.MODEL_DEPLOYMENT.kind]
    policies = [one for one in found if one.get("kind") == kinds.ROUTE_POLICY.kind]
    return Overview(
        tuple(map(_model, models)),
        tuple(map(_policy, policies)),
        tuple(matter for one in (*models, *policies) for matter in _matters(one)),
    )


def screen(seen: Overview) -> str:
    """Returns the overview for people."""
    parts = [
        _part(
            f"MODELS: {_counted(seen.models)}",
            [_MODEL_HEADS, *map(_model_cells, seen.models)],
            "There is no ModelDeployment yet: `genset plan` says what fits your nodes, and prints one.",
        ),
        _part(
            f"POLICIES: {_counted(seen.policies)}",
            [_POLICY_HEADS, *map(_policy_cells, seen.policies)],
            "There is no RoutePolicy yet: see manifests/samples for one.",
        ),
    ]
    for title, passes in (("ON ITS WAY", True), ("NEEDS SOMEBODY", False)):
        if found := [one for one in seen.matters if one.passes == passes]:
            parts.append("\n".join([title, *map(_matter_line, found)]))
    if not seen.matters and (seen.models or seen.policies):
        parts.append("Nothing needs anybody.")
    return "\n\n".join(parts)


def as_json(seen: Overview) -> str:
    """Returns the overview for programs."""
    return json.dumps({"schema": SCHEMA, "serves": seen.serves, **asdict(seen)}, indent=2, ensure_ascii=False)


# Resources


def _model(resource: Mapping[str, Any]) -> ModelLine:
    status, spec = resource.get("status") or {}, resource.get("spec") or {}
    ready = _ready(resource)
    loaded = (status.get("weights") or {}).get("percent")
    state = ready.get("reason") or "not seen by an operator"
    if state == "Downloading" and loaded is not None:
        state = f"Downloading {loaded} %"
    return ModelLine(
        *_names(resource),
        model=str(status.get("model") or spec.get("model") or resource["metadata"]["name"]),
        engine=str(spec.get("engine", "")),
        sizeClass=str((status.get("size") or {}).get("class", "")),
        ready=int(status.get("readyReplicas") or 0),
        wanted=status.get("desiredReplicas"),
        state=state,
        serves=ready.get("status") == "True" or ready.get("reason") in _AT_REST,
    )


def _policy(resource: Mapping[str, Any]) -> PolicyLine:
    status = resource.get("status") or {}
    ready = _ready(resource)
    return PolicyLine(
        *_names(resource),
        readyRouters=int(status.get("readyReplicas") or 0),
        routers=status.get("replicas"),
        state=ready.get("reason") or "not seen by an operator",
        houseShare=str(status.get("houseShare", "")),
        spent=str(status.get("spent", "")),
        down=tuple(dict.fromkeys(_down(one) for one in status.get("outages") or ())),
        serves=ready.get("status") == "True",
    )


def _matters(resource: Mapping[str, Any]) -> Iterator[Matter]:
    status = resource.get("status") or {}
    at = (str(resource.get("kind")), *_names(resource))
    conditions = [one for one in status.get("conditions") or () if _is_bad(one)]
    if not status:
        yield Matter(*at, "no status", "No operator has looked at it: is one installed that serves its namespace?")
    told: dict[str, Matter] = {}
    for one in conditions:  # several often have the same reason: the last one knows most
        before = told.get(one["reason"])
        named = one["type"] if before is None else f"{before.what}, {one['type']}"
        told[one["reason"]] = Matter(*at, named, one.get("message", ""))
    for reason, matter in told.items():
        yield replace(matter, what=f"{matter.what}: {reason}", passes=reason in _PASSING)
    for outage in status.get("outages") or ():
        yield Matter(*at, f"outage, {_down(outage)}: {outage.get('reason', '')}", outage.get("message", ""))
    for budget in status.get("budgets") or ():
        if budget.get("state") in ("Warned", "Spent"):
            left = f"{budget['spent']} of {budget['amount']} {budget['currency']} are spent"
            yield Matter(
                *at, f"budget {budget['name']}: {budget['state']}", f"{left}; it begins anew at {budget['windowEnd']}."
            )


def _names(resource: Mapping[str, Any]) -> tuple[str, str]:
    return str(resource["metadata"].get("namespace", "")), str(resource["metadata"]["name"])


def _ready(resource: Mapping[str, Any]) -> Mapping[str, str]:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Ready"), {})


def _is_bad(condition: Mapping[str, str]) -> bool:
    if condition["type"] in _BAD_IF_TRUE:
        return condition["status"] == "True"
    return condition["status"] != "True" and condition["reason"] not in _AT_REST


def _down(outage: Mapping[str, Any]) -> str:
    scope, subject = str(outage.get("scope", "")), outage.get("account") or outage.get("backend")
    return f"{scope} {subject}" if subject else scope


# Words


def _counted(found: Sequence[ModelLine | PolicyLine]) -> str:
    serving = sum(one.serves for one in found)
    return (
        f"{len(found)}"
        if serving == len(found)
        else f"{len(found)}, {len(found) - serving} of them not as they should be"
    )


def _part(title: str, lines: Sequence[Sequence[str]], empty: str) -> str:
    return "\n".join([title, *(f"  {line}" for line in aligned(lines))]) if len(lines) > 1 else empty


def _model_cells(one: ModelLine) -> tuple[str, ...]:
    wanted = _UNKNOWN if one.wanted is None else str(one.wanted)
    return one.namespace, one.name, one.model, one.engine, one.sizeClass or _UNKNOWN, f"{one.ready}/{wanted}", one.state


def _policy_cells(one: PolicyLine) -> tuple[str, ...]:
    routers = f"{one.readyRouters}/{_UNKNOWN if one.routers is None else one.routers}"
    more = (one.houseShare, one.spent, ", ".join(one.down))
    return (one.namespace, one.name, routers, one.state, *(cell or _UNKNOWN for cell in more))


def _matter_line(one: Matter) -> str:
    return f"  {one.kind} {one.namespace}/{one.name}  {printable(one.what)}\n      {printable(one.message)}"
