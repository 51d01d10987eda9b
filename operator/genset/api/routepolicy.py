"""A RoutePolicy is a router that speaks the OpenAI API, and says where it sends each request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genset.api.access import Access
from genset.api.backend import Backend
from genset.api.base import (
    DNS_LABEL,
    RESOURCE_NAME_CEL,
    ApiModel,
    CelRule,
    ObjectMeta,
    is_resource_name,
    rules,
)
from genset.api.budgets import BUDGET_RULES, MOST_BUDGETS, BudgetSpec
from genset.api.children import MetadataTemplate
from genset.api.continuity import Continuity
from genset.api.data_zones import DataZones
from genset.api.drills import DRILL_RULES, MOST_DRILLS, Drill
from genset.api.egress import Egress
from genset.api.local_share import LocalShare
from genset.api.match import Match
from genset.api.routepolicy_status import MOST_BACKENDS, MOST_ROUTES, RoutePolicyStatus
from genset.api.router import RouterSpec
from genset.api.sensitive import Sensitive, refuse_too_many
from genset.data_zones import HOUSE, WORLD

#: Default of failover.toCloudOn. Repeated in the router's contract, which imports nothing of the API.
TO_CLOUD_ON = ("Unreachable", "Cold", "Full", "TooLate", "ServerError", "TooLong")


class ConditionType(StrEnum):
    """Condition types of a RoutePolicy, in the order in which they become true."""

    ACCEPTED = "Accepted"  # the spec makes sense
    RESOLVED_REFS = "ResolvedRefs"  # every deployment, Secret and key that it names exists
    PROGRAMMED = "Programmed"  # every running router serves this generation
    READY = "Ready"  # programmed, and all wanted routers are available
    STALLED = "Stalled"  # only a person can help; absent otherwise
    WARNINGS = "Warnings"  # something in the spec does nothing; absent otherwise
    UPGRADE_PENDING = "UpgradePending"  # routers of an earlier release serve on; absent otherwise
    PRICES_KNOWN = "PricesKnown"  # False while nobody knows what a cloud costs; absent otherwise
    PROOF_STALE = "ProofStale"  # True while a drill was not passed for too long; absent without drills
    LOCAL_SHARE_MET = "LocalShareMet"  # False while a route is below its localShare.target; absent if none has one
    COVERED = "Covered"  # every route survives each single loss; absent unless continuity.required


class Reason(StrEnum):
    """Reasons of the conditions, each with what it tells."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    PREDECESSOR_LEAVING = "PredecessorLeaving"
    APPLY_REJECTED = "ApplyRejected"
    CONTESTED = "Contested"  # somebody else keeps on changing a child
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    NAMESPACE_NOT_MANAGED = "NamespaceNotManaged"  # the operator may not write here: its administrator labels it
    NO_BACKEND_IN_ZONE = "NoBackendInZone"  # a route has no backend in the data zones that its requests may go to
    RESOLVED_REFS = "ResolvedRefs"
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SECRET_KEY_INVALID = "SecretKeyInvalid"  # the key's content cannot serve its use, e.g. a CA that is no PEM
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # its owner does not let its values go to this server
    PROGRAMMED = "Programmed"
    PENDING = "Pending"  # routers have not all acknowledged yet
    ROUTER_UNREACHABLE = "RouterUnreachable"
    CONFIG_REJECTED = "ConfigRejected"  # a router kept the last good configuration
    NO_ROUTERS = "NoRouters"
    READY = "Ready"
    STARTING = "Starting"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    SANDBOX_FAILED = "SandboxFailed"  # a node cannot make a pod's sandbox: no container starts
    SIDECAR_NOT_READY = "SidecarNotReady"  # a container that is not genset's keeps a pod from serving
    STARTUP_TIMEOUT = "StartupTimeout"  # a router was ended because it had not started in time
    CRASH_LOOP = "CrashLoop"
    REPLICAS_MISSING = "ReplicasMissing"
    ROLLING_OUT = "RollingOut"
    # Warnings
    UNREACHABLE_ROUTE = "UnreachableRoute"  # an earlier one takes every request
    DUPLICATE_BACKEND = "DuplicateBackend"  # in two tiers of one route
    WITHOUT_EFFECT = "WithoutEffect"  # a route's setting for what its tiers do not have
    UNUSED_BACKEND = "UnusedBackend"  # named by no route
    NAMESPACE_UNREAD = "NamespaceUnread"  # what it says of data zones is not known
    WAY_OUT_OPEN = "WayOutOpen"  # beside the proxy that should be the only one
    MODEL_RETIRING = "ModelRetiring"  # a cloud's answers announce the end of its model
    PRICE_UNKNOWN = "PriceUnknown"  # of a cloud, by neither the policy nor the release nor its answers
    # LocalShareMet
    LOCAL_SHARE_MET = "LocalShareMet"
    LOCAL_SHARE_BELOW = "LocalShareBelow"  # a route's localShare.target
    # Covered
    EVERY_LOSS_SURVIVED = "EveryLossSurvived"
    LOSS_NOT_SURVIVED = "LossNotSurvived"  # a single loss ends a route
    # ProofStale
    PROOF_FRESH = "ProofFresh"
    PROOF_TOO_OLD = "ProofTooOld"
    # UpgradePending
    IN_USE = "InUse"  # onUpgrade WhenIdle: until nobody is served
    WAITS_ITS_TURN = "WaitsItsTurn"  # another one of the namespace takes the upgrade first


class WhenFull(StrEnum):
    """What a request does when every endpoint of a candidate works on as many requests as it may."""

    NEXT_TIER = "NextTier"
    WAIT = "Wait"


class ColdStartMode(StrEnum):
    """What a request does while a backend wakes."""

    BRIDGE = "Bridge"
    HOLD = "Hold"


class ToCloudOn(StrEnum):
    """What of the house may send a request on to a cloud."""

    UNREACHABLE = "Unreachable"
    COLD = "Cold"
    FULL = "Full"
    TOO_LATE = "TooLate"
    SERVER_ERROR = "ServerError"
    TOO_LONG = "TooLong"
    UNSUPPORTED = "Unsupported"


_TIERS = 8  # of a route


class TierBackend(ApiModel):
    """A backend's share in its tier."""

    name: str = Field(min_length=1, max_length=63, description="Name of a backend of this policy.")
    weight: int = Field(
        default=1, ge=0, le=1000, description="Share of the tier's requests. 0: only when the others cannot."
    )


class Tier(ApiModel):
    """Backends of equal preference."""

    backends: list[TierBackend] = Field(
        min_length=1,
        max_length=8,
        description="Backends of the tier.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


TOTAL_SECONDS = 600  # longest time of a request, unless its route says otherwise
_TOTAL_CEL = f"(has(self.totalSeconds) ? self.totalSeconds : {TOTAL_SECONDS})"  # items of lists have no defaults in CEL


@rules(
    CelRule(
        f"!has(self.firstTokenSeconds) || self.firstTokenSeconds <= {_TOTAL_CEL}",
        "failover.firstTokenSeconds cannot exceed totalSeconds",
        lambda f: f.first_token_seconds is None or f.first_token_seconds <= f.total_seconds,
    ),
    CelRule(
        f"!has(self.stallSeconds) || self.stallSeconds <= {_TOTAL_CEL}",
        "failover.stallSeconds cannot exceed totalSeconds",
        lambda f: f.stall_seconds is None or f.stall_seconds <= f.total_seconds,
    ),
)
class Failover(ApiModel):
    """When an attempt is given up, and how many there may be."""

    first_token_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Longest wait for the first token of an attempt, from the request or from the last sign of life "
        "(headers, comments, events without a token; 120 s of these at most). Default: 15 for a cloud; 15 plus the time to "
        "read the prompt (500 tokens/s) for the house; until totalSeconds if no other backend could be asked.",
    )
    stall_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Longest silence inside a stream; 120 s if nothing but signs of life comes. Default: 15 for a cloud, "
        "10 for the house; until totalSeconds if nobody else could write on.",
    )
    total_seconds: int = Field(
        default=TOTAL_SECONDS, ge=1, le=86_400, description="Longest time of a request, over all its attempts."
    )
    max_attempts: int = Field(default=4, ge=1, le=16, description="Attempts of a request, over all backends.")
    continue_streams: bool = Field(
        default=True,
        description="Whether another backend writes on when a stream of plain text breaks. false: the client gets an "
        "error inside the stream, as it always does for tool calls and structured output.",
    )
    rebuild_answers: bool = Field(
        default=True,
        description="Whether answers that are no streams are asked for as streams and rebuilt, so that firstTokenSeconds "
        "and stallSeconds hold for them, too. false: they are asked for and passed on as they are; totalSeconds holds.",
    )
    to_cloud_on: list[Annotated[ToCloudOn, Field(strict=False)]] | None = Field(
        default=None,
        max_length=7,
        description="What a model of the house has to have met before a cloud further down the tiers is asked. Unreachable: "
        "no endpoint, no connection, or a lost one. Cold: it is at rest. Full: no place, 429, 503. TooLate: no first token, "
        "or a silence. ServerError: 5xx, an answer that is none, a refusal of the router's own key or model. TooLong: the "
        "prompt is more than its context holds. Unsupported: it refuses what the request asks for (a picture, a tool, a "
        f"field). Empty: never. Default: {', '.join(TO_CLOUD_ON)}; so what the house refuses as wrong goes nowhere else.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class ColdStart(ApiModel):
    """What a request does that finds a backend at rest. Only deployments with autoscaling ever rest."""

    mode: ColdStartMode = Field(
        default=ColdStartMode.BRIDGE,
        strict=False,
        description="Bridge: the next tier answers until the backend is ready; if there is none that can, the request "
        "waits as with Hold. Hold: the request waits for the backend; a stream is kept alive by comments.",
    )
    seconds: int = Field(
        default=300, ge=1, le=3600, description="Longest wait for a backend to wake; then the next tier."
    )


class Route(ApiModel):
    """One rule: which requests, and in which order of preference they are answered."""

    name: str = Field(
        pattern=DNS_LABEL,
        min_length=1,
        max_length=63,
        examples=["all"],
        description="Name of the route.",
    )
    match: Match = Field(default_factory=Match, description="Which requests. Default: all.")
    tiers: list[Tier] = Field(
        min_length=1,
        max_length=_TIERS,
        description="Order of preference: a later tier answers when no earlier one can.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    failover: Failover = Field(default_factory=Failover, description="Deadlines and attempts.")
    cold_start: ColdStart = Field(default_factory=ColdStart, description="What to do while a backend wakes.")
    when_full: WhenFull = Field(
        default=WhenFull.NEXT_TIER,
        strict=False,
        description="When all endpoints of a backend are at balancing.maxInFlightPerEndpoint. NextTier: the next backend "
        "that has a place answers; only if none has, the request waits. Wait: it waits for a place before it goes on to "
        "the next backend. A wait that is over ends with 429 and Retry-After.",
    )
    data_zones: DataZones = Field(
        default=None,
        description="Zones in which the route's requests may be answered; of those that the policy, the namespace and the "
        "cluster allow. Default: all of these.",
    )
    sensitive: Sensitive | None = Field(
        default=None, description="What in a request keeps it in the house. Default: nothing is looked for."
    )
    response: RouteResponse | None = Field(default=None, description="How answers look. Default: model Actual.")
    local_share: LocalShare | None = Field(
        default=None,
        description="How much of the answers the house should give, watched and told. Default: not watched.",
    )


class ResponseModel(StrEnum):
    """Which name answers tell as their model."""

    ACTUAL = "Actual"
    ASKED = "Asked"


class RouteResponse(ApiModel):
    """How answers look."""

    model: ResponseModel = Field(
        strict=False,
        description="The name of the model that answers tell. Actual: the one that the backend gave, so that nobody gets "
        "another model unseen. Asked: the one that the request named, for clients that refuse another one.",
    )


def _waits_have_bounds(spec: RoutePolicySpec) -> bool:
    bounded = {b.name for b in spec.backends if b.balancing.max_in_flight_per_endpoint is not None}
    return all(
        route.when_full != WhenFull.WAIT or any(b.name in bounded for tier in route.tiers for b in tier.backends)
        for route in spec.routes
    )


def zone_of(backend: Backend) -> str:
    """Returns the data zone of a backend."""
    return backend.data_zone or (HOUSE if backend.deployment is not None else WORLD)


def _zones_have_backends(spec: RoutePolicySpec) -> bool:
    if len(spec.backends) > _ZONED:
        return True
    zones = {backend.name: zone_of(backend) for backend in spec.backends}
    rules = [frozenset(said) for said in (spec.data_zones,) if said is not None]
    for route in spec.routes:
        own = [*rules, frozenset(route.data_zones)] if route.data_zones is not None else rules
        found = (zones.get(backend.name, WORLD) for tier in route.tiers for backend in tier.backends)
        if own and not any(all(zone in said for said in own) for zone in found):
            return False
    return True


def _backends_known(spec: RoutePolicySpec) -> bool:
    known = {backend.name for backend in spec.backends}
    return all(b.name in known for route in spec.routes for tier in route.tiers for b in tier.backends)


# A list of names is made once, by wrapping it into a list of one: what stands inside a comprehension is computed for each
# of its elements. An API server spends a million units on one rule, which the tiers of 256 routes exceed: hence
# one rule for each two tiers.
_TIERS_A_RULE = 2
_ZONED = 24  # backends up to which the API server itself looks for one in a route's zones
_BOUNDED = 40  # backends with a bound up to which the API server itself looks; with more a condition tells


def _tiers_name_backends(first: int) -> CelRule:
    indices = list(range(first, first + _TIERS_A_RULE))
    return CelRule(
        f"[self.backends.map(x, x.name)].all(n, self.routes.all(r, {indices}.all(i, r.tiers.size() <= i || "
        "r.tiers[i].backends.all(b, b.name in n))))",
        "every backend of a tier must be one of spec.backends: correct the name, or add the backend",
        _backends_known,
    )


@rules(
    *map(_tiers_name_backends, range(0, _TIERS, _TIERS_A_RULE)),
    CelRule(
        "[self.backends.filter(x, has(x.balancing) && has(x.balancing.maxInFlightPerEndpoint)).map(x, x.name)].all(n, "
        f"n.size() > {_BOUNDED} || self.routes.all(r, !has(r.whenFull) || r.whenFull != 'Wait' || "
        "r.tiers.exists(t, t.backends.exists(b, b.name in n))))",
        "whenFull Wait needs balancing.maxInFlightPerEndpoint on a backend of the route: without a bound none is full",
        _waits_have_bounds,
    ),
    CelRule(
        f"self.backends.size() > {_ZONED} || self.routes.all(r, (!has(self.dataZones) && !has(r.dataZones)) || "
        f"[self.backends.filter(x, [has(x.dataZone) ? x.dataZone : has(x.deployment) ? '{HOUSE}' : '{WORLD}'].all(z, "
        "(!has(self.dataZones) || z in self.dataZones) && (!has(r.dataZones) || z in r.dataZones))).map(x, x.name)].all(n, "
        "r.tiers.exists(t, t.backends.exists(b, b.name in n))))",
        "a route has no backend in its data zones, so that it could answer nothing: add a backend whose dataZone is one of "
        "spec.dataZones and of the route's dataZones, or widen them",
        _zones_have_backends,
    ),
    *BUDGET_RULES,
    *DRILL_RULES,
)
class RoutePolicySpec(ApiModel):
    """Where requests go."""

    @model_validator(mode="before")
    @classmethod
    def _few_expressions(cls, value: Any) -> Any:
        if isinstance(value, dict):
            refuse_too_many(value.get("routes"))
        return value

    backends: list[Backend] = Field(
        min_length=1,
        max_length=MOST_BACKENDS,
        description="Targets that the routes name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    routes: list[Route] = Field(
        min_length=1,
        max_length=MOST_ROUTES,
        description="Rules, in order: the first that matches a request wins. With the backends they make a configuration that "
        "a ConfigMap has to hold, compressed if need be: 1 MiB.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    data_zones: DataZones = Field(
        default=None,
        description="Zones in which requests may be answered; routes may narrow them further, and so do namespace and "
        "cluster. Default: all. See docs/data-zones.md.",
    )
    egress: Egress | None = Field(
        default=None, description="Proxy on the way out, and record of what leaves the house. Default: neither."
    )
    access: Access | None = Field(
        default=None,
        description="Who may ask, and what each may have. Default: anybody who reaches the router, everything.",
    )
    continuity: Continuity | None = Field(
        default=None,
        description="What the policy wants to survive. Default: nothing; status.coverage tells it all the same.",
    )
    drills: list[Drill] = Field(
        default_factory=list,
        max_length=MOST_DRILLS,
        description="Exercises that take backends away in peace, from their own requests, and perhaps a share of real ones. "
        "Default: none.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    budgets: list[BudgetSpec] = Field(
        default_factory=list,
        max_length=MOST_BUDGETS,
        description="What may be spent. Default: anything.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    router: RouterSpec = Field(default_factory=RouterSpec, description="The router's pods.")
    metadata_template: MetadataTemplate | None = Field(
        default=None, description="Labels and annotations of every object of the policy."
    )


@rules(
    CelRule(
        RESOURCE_NAME_CEL,
        "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as "
        "their name",
        lambda resource: is_resource_name(resource.metadata.name),
    )
)
class RoutePolicy(ApiModel):
    """A router and its rules."""

    api_version: Literal["genset.dev/v1alpha1"] = "genset.dev/v1alpha1"
    kind: Literal["RoutePolicy"] = "RoutePolicy"
    metadata: ObjectMeta
    spec: RoutePolicySpec
    status: RoutePolicyStatus | None = None
