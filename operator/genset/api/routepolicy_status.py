"""The status of a RoutePolicy says what its routers serve, and what they see as down."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from genset.api.base import ApiModel, Condition
from genset.api.budgets import MOST_BUDGETS
from genset.api.continuity import MOST_ROUTES_TOLD, RouteCoverage
from genset.api.drills import MOST_DRILLS, DrillStatus

MOST_BACKENDS = 128  # of a policy
MOST_ROUTES = 256  # of a policy


class OutageScope(StrEnum):
    """What is down."""

    CLOUD = "Cloud"  # the way out: no cloud host can be reached
    HOUSE = "House"  # every model of the house
    NODE = "Node"  # one node, with models or routers on it
    PROVIDER = "Provider"  # one account: all backends that show the same key to the same provider at the same host
    BACKEND = "Backend"  # one backend, which refuses the routers
    LEDGER = "Ledger"  # nobody keeps the books; requests go on


class OutageReason(StrEnum):
    """Why it is down. An Event of the same reason tells when it begins."""

    EGRESS_DOWN = "EgressDown"
    HOUSE_DOWN = "HouseDown"
    PROVIDER_SUSPENDED = "ProviderSuspended"
    BACKEND_AUTH_FAILED = "BackendAuthFailed"
    BACKEND_MODEL_NOT_FOUND = "BackendModelNotFound"
    MODEL_RETIRED = "ModelRetired"  # one that worked
    NODE_DOWN = "NodeDown"
    LEDGER_AWAY = "LedgerAway"


class Outage(ApiModel):
    """Something that routers see as down, or that refuses them."""

    scope: OutageScope = Field(
        strict=False,
        description="Cloud: all of it. House: all of it. Node: one node of the cluster. Provider: every backend of one account. "
        "Backend: the one named. Ledger: it takes no records.",
    )
    backend: str | None = Field(default=None, max_length=63, description="Name of the backend; scope Backend only.")
    node: str | None = Field(default=None, max_length=253, description="Name of the node; scope Node only.")
    account: str | None = Field(
        default=None, max_length=512, description="Provider, host and key of the account; scope Provider only."
    )
    backends: list[str] | None = Field(
        default=None,
        max_length=MOST_BACKENDS,
        description="Scope Provider: names of its backends. Scope Node: those whose models stood there.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    reason: OutageReason = Field(strict=False, description="Why; one of the documented constants.")
    message: str = Field(default="", max_length=1024, description="What it means for requests, and what to do.")
    since: str = Field(
        description="When the first router saw it (RFC 3339).", json_schema_extra={"format": "date-time"}
    )


class RouteShare(ApiModel):
    """What the house has given of a route's answers."""

    route: str = Field(max_length=63, description="Name of the route.")
    target: int = Field(ge=1, le=100, description="Percent that the house should give.")
    percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Percent that it has given in the route's window, as far as running routers remember; absent while there "
        "are too few answers to tell.",
    )


class BudgetState(StrEnum):
    """How a budget is. An Event tells when that changes."""

    OPEN = "Open"
    WARNED = "Warned"  # warnAtPercent is reached
    SPENT = "Spent"


class BudgetStatus(ApiModel):
    """What was spent of a budget in the window of now, by all routers; told anew with each percent."""

    name: str = Field(max_length=63, description="Name of the budget.")
    state: BudgetState = Field(
        strict=False,
        description="Open; Warned from warnAtPercent on; Spent, also if less is left than a request usually costs.",
    )
    amount: str = Field(max_length=16, description="What may be spent.")
    currency: str = Field(max_length=3, description="Currency of all amounts.")
    spent: str = Field(max_length=32, description="What was spent, to the cent.")
    left: str = Field(max_length=32, description="What is left, to the cent.")
    percent: int = Field(ge=0, description="Part of it that was spent, in whole percent.")
    projected: str = Field(
        default="",
        max_length=32,
        description="What would be spent at the end of the window if it went on as it has; absent in its first twentieth.",
    )
    window_begin: str = Field(
        description="When the window began (RFC 3339).", json_schema_extra={"format": "date-time"}
    )
    window_end: str = Field(
        description="When the budget begins anew (RFC 3339).", json_schema_extra={"format": "date-time"}
    )
    uncounted: int = Field(
        default=0, ge=0, description="Attempts whose cost nobody knows, and which are not in it, since routers started."
    )


class RoutePolicyStatus(ApiModel):
    """What the routers serve."""

    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this status speaks of.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Accepted, ResolvedRefs, Programmed, Ready; Stalled when only a person can help; Warnings when "
        "something in the spec does nothing; UpgradePending while routers of an earlier release serve on; PricesKnown "
        "while nobody knows what a cloud costs; LocalShareMet if a route has a localShare; Covered if continuity.required; "
        "ProofStale if there are drills.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    url: str = Field(default="", description="Base URL of the router inside the cluster, up to and with /v1.")
    data_zones: str = Field(
        default="",
        description="Data zones that cluster, namespace and policy allow together, with commas; all if nobody says anything. "
        "Routes may narrow them.",
    )
    config_hash: str = Field(default="", description="Hash of the configuration that routers should serve.")
    programmed_routers: int = Field(default=0, ge=0, description="Routers that serve it.")
    replicas: int = Field(default=0, ge=0, description="Router pods that exist.")
    ready_replicas: int = Field(default=0, ge=0, description="Router pods that are ready.")
    selector: str = Field(default="", description="Label selector of the router pods, for autoscalers.")
    spent: str = Field(
        default="", max_length=128, description="The budget of which most is spent: 412.50 of 500 USD (frontier-month)."
    )
    budgets: list[BudgetStatus] = Field(
        default_factory=list,
        max_length=MOST_BUDGETS,
        description="What was spent of each budget.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    outages: list[Outage] = Field(
        default_factory=list,
        max_length=MOST_BACKENDS + 2,
        description="What routers see as down now: the cloud, the house, suspended accounts, backends that refuse them.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    drills: list[DrillStatus] = Field(
        default_factory=list,
        max_length=MOST_DRILLS,
        description="What drills have shown, and when they run next.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    drill_evidence: str = Field(
        default="",
        max_length=64,
        description="Hash of the last drill's records, and of the run before it: what genset drill --verify comes to.",
    )
    local_share: list[RouteShare] = Field(
        default_factory=list,
        max_length=MOST_ROUTES,
        description="What the house has given of the answers of routes that have a localShare.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["route"]},
    )
    house_share: str = Field(default="", max_length=256, description="The same for people, as far as it fits.")
    coverage: list[RouteCoverage] | None = Field(
        default=None,
        max_length=MOST_ROUTES_TOLD,
        description="What each route survives, reckoned before anything is lost.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["route"]},
    )
