"""Drills are said here: what is taken away in peace, when, and what has to be true of it; and what became of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from genset.api.base import DNS_LABEL, ApiModel, CelRule, rules
from genset.api.cloud import ProviderName
from genset.api.cron import Cron, TimeZone
from genset.contracts.drill import LONGEST_SECONDS, MOST_PER_SECOND, DrillPhase, Fault

MOST_DRILLS = 16  # of a policy
FOR_SECONDS = 30
PER_SECOND = 2
PROMPT = "ping"
RTO_SECONDS = 30
MAX_AGE_DAYS = 35
LIVE_SHARE = 5
LIVE_LOST = 1
LIVE_ERROR_RATE = 5


class DrillSide(StrEnum):
    """A side of the policy."""

    CLOUD = "Cloud"
    HOUSE = "House"


@rules(
    CelRule(
        "[has(self.side), has(self.provider), has(self.backend)].filter(x, x).size() == 1",
        "drills: take names exactly one of side, provider and backend",
        lambda take: sum(one is not None for one in (take.side, take.provider, take.backend)) == 1,
    )
)
class DrillTake(ApiModel):
    """What is taken away: one of these."""

    side: DrillSide | None = Field(
        default=None, strict=False, description="Cloud: every cloud. House: every model of the house."
    )
    provider: ProviderName | None = Field(
        default=None, examples=["openai"], description="Every cloud of this provider (cloud.provider)."
    )
    backend: str | None = Field(
        default=None,
        pattern=DNS_LABEL,
        min_length=1,
        max_length=63,
        examples=["frontier"],
        description="One backend of the policy, by its name.",
    )


class DrillProbes(ApiModel):
    """The requests of a drill: small chats, in turn to each route whose first choice is taken away."""

    per_second: int = Field(
        default=PER_SECOND,
        ge=1,
        le=MOST_PER_SECOND,
        description="How many a second, from each router. They cost what requests do.",
    )
    prompt: str = Field(
        default=PROMPT, min_length=1, max_length=4096, description="What is asked; the answer has 16 tokens."
    )


class DrillObjective(ApiModel):
    """What a run has to show to be passed."""

    rto_seconds: int = Field(
        default=RTO_SECONDS,
        ge=1,
        le=LONGEST_SECONDS,
        description="Longest time from the fault to the first token after which nothing is lost any more.",
    )
    lost: int = Field(
        default=0, ge=0, le=100_000, description="Most requests without an answer, or with a part of one."
    )


class DrillImpact(StrEnum):
    """Whose requests a drill concerns."""

    PROBES = "Probes"
    LIVE = "Live"


class DrillStop(ApiModel):
    """What ends a live drill before its time, at each router by itself."""

    lost: int = Field(
        default=LIVE_LOST,
        ge=1,
        le=100_000,
        description="So many requests of clients found nobody but what is taken away, and went back to it.",
    )
    error_rate: int = Field(
        default=LIVE_ERROR_RATE,
        ge=1,
        le=100,
        description="So many percent of them, and of at least ten, found nobody, or were given up by their clients before the "
        "first token.",
    )


@rules(
    CelRule(
        "has(self.schedule) || !has(self.timeZone)",
        "drills: timeZone is that of schedule: give one, or remove it",
        lambda drill: drill.schedule is not None or drill.time_zone is None,
    ),
    CelRule(
        "(has(self.impact) && self.impact == 'Live') || (!has(self.share) && !has(self.stopWhen))",
        "drills: share and stopWhen are those of impact Live: set it, or remove them",
        lambda drill: drill.impact is DrillImpact.LIVE or (drill.share is None and drill.stop_when is None),
    ),
)
class Drill(ApiModel):
    """An exercise: backends are taken away while everything is well, from its own requests or from a share of real ones, too."""

    name: str = Field(
        pattern=DNS_LABEL,
        min_length=1,
        max_length=40,
        examples=["cloud-gone"],
        description="Name in status, Events and records.",
    )
    schedule: Cron | None = Field(
        default=None,
        description="When it runs: minute, hour, day of the month, month and day of the week, as cron reads them. Default: only "
        "when somebody asks for it (genset drill run).",
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description="Whose clock schedule means, by its name in the time zone database. Default: UTC.",
    )
    take: DrillTake = Field(description="What is taken away.")
    fault: Fault = Field(
        default=Fault.REFUSED,
        strict=False,
        description="What its connections meet. Refused: they are refused, open ones reset. Blackhole: nothing comes back. "
        "RateLimited: 429. SlowFirstToken: a head, and no token. CutStream: streams break off. Suspended: the account is. "
        "ModelGone: the model is unknown. OverBudget: the account's quota is used up.",
    )
    impact: DrillImpact | None = Field(
        default=None,
        strict=False,
        description="Probes (the default): only requests of the drill's own meet the fault. Live: a share of real requests does, "
        "too, which continuity.allowLiveDrills has to allow. None of them is lost by that.",
    )
    share: int | None = Field(
        default=None,
        ge=1,
        le=100,
        examples=[5],
        description=f"Live: percent of the requests whose first choice is taken away. Default: {LIVE_SHARE}.",
    )
    stop_when: DrillStop | None = Field(
        default=None,
        description=f"Live: what ends it by itself, as a real outage does. Default: lost {LIVE_LOST}, errorRate "
        f"{LIVE_ERROR_RATE}.",
    )
    for_seconds: int = Field(default=FOR_SECONDS, ge=5, le=LONGEST_SECONDS, description="How long the fault lasts.")
    probes: DrillProbes = Field(default_factory=DrillProbes, description="Its requests.")
    objective: DrillObjective = Field(default_factory=DrillObjective, description="What a run has to show.")
    max_age_days: int = Field(
        default=MAX_AGE_DAYS,
        ge=1,
        le=3660,
        description="Condition ProofStale is True when the last run that was passed is older.",
    )


def _taken_known(spec: Any) -> bool:
    known = {backend.name for backend in spec.backends}
    return all(drill.take.backend is None or drill.take.backend in known for drill in spec.drills)


def _may_be_live(spec: Any) -> bool:
    return spec.continuity is not None and bool(spec.continuity.allow_live_drills)


#: Rules of a policy's spec.
DRILL_RULES = (
    CelRule(
        "!has(self.drills) || [self.backends.map(x, x.name)].all(n, self.drills.all(d, !has(d.take.backend) || "
        "d.take.backend in n))",
        "drills: take.backend must be one of spec.backends: correct the name, or add the backend",
        _taken_known,
    ),
    CelRule(
        "!has(self.drills) || (has(self.continuity) && has(self.continuity.allowLiveDrills) && "
        "self.continuity.allowLiveDrills) || self.drills.all(d, !has(d.impact) || d.impact != 'Live')",
        "drills: impact Live takes real requests along: set continuity.allowLiveDrills, or leave impact out",
        lambda spec: _may_be_live(spec) or all(drill.impact is not DrillImpact.LIVE for drill in spec.drills),
    ),
)


def _seconds(what: str) -> Any:
    return Field(default=None, ge=0, description=what)


class DrillCounts(ApiModel):
    """What became of the requests that ran under the fault, at all routers together."""

    asked: int = Field(default=0, ge=0, description="All of them.")
    lost: int = Field(default=0, ge=0, description="Those without an answer.")
    cut: int = Field(default=0, ge=0, description="Those with a part of one.")
    continued: int = Field(default=0, ge=0, description="Those that another backend wrote on.")
    degraded: int = Field(default=0, ge=0, description="Those that a later tier answered.")
    live: int | None = Field(default=None, ge=0, description="Those of clients; absent if impact is not Live.")
    spared: int | None = Field(
        default=None,
        ge=0,
        description="Those of clients that nobody else answered: they went back to what was taken away, and in an outage "
        "they would have been lost.",
    )


class DrillResult(ApiModel):
    """How a run has ended. Of times, the worst of all routers counts."""

    id: str = Field(max_length=80, description="Names the run in records of usage and evidence.")
    began: str = Field(description="When (RFC 3339).", json_schema_extra={"format": "date-time"})
    ended: str = Field(description="When (RFC 3339).", json_schema_extra={"format": "date-time"})
    outcome: DrillPhase = Field(
        strict=False,
        description="Passed. Missed: the objective was not met. Aborted: it says nothing, and message says why.",
    )
    message: str = Field(default="", max_length=1024, description="What was missed, or why it was aborted.")
    requests: DrillCounts | None = Field(default=None, description="What became of them; absent if it was aborted.")
    detection_seconds: float | None = _seconds(
        "From the fault until what is taken away was passed over; absent: it never was."
    )
    first_byte_p50_seconds: float | None = _seconds("Wait for the first token under the fault, of half of them.")
    first_byte_p99_seconds: float | None = _seconds("The same of 99 in 100.")
    rto_seconds: float | None = _seconds(
        "From the fault to the first token after which nothing was lost any more; absent: there was none."
    )
    give_back_seconds: float | None = _seconds(
        "From the end of the fault to the first token of what was taken away, on every route; absent: there was none."
    )


class DrillRunning(ApiModel):
    """A run that is going on."""

    id: str = Field(max_length=80, description="Names the run.")
    began: str = Field(description="When (RFC 3339).", json_schema_extra={"format": "date-time"})
    phase: DrillPhase = Field(strict=False, description="Baseline, Fault or Recovery: of the router that is least far.")
    generation: int = Field(ge=0, description="Of the spec that it began with; another one ends it.")
    leader: str = Field(max_length=64, description="Life of the operator that began it; another one ends it.")
    routers: list[str] = Field(
        default_factory=list,
        max_length=128,
        description="Routers that run it; one that goes away ends it.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class DrillStatus(ApiModel):
    """How a drill is."""

    name: str = Field(max_length=40, description="Name of the drill.")
    since: str = Field(description="Since when it is known (RFC 3339).", json_schema_extra={"format": "date-time"})
    next: str | None = Field(
        default=None, description="When it runs next (RFC 3339).", json_schema_extra={"format": "date-time"}
    )
    running: DrillRunning | None = Field(default=None, description="The run that is going on.")
    last: DrillResult | None = Field(default=None, description="The last run.")
    last_good: str | None = Field(
        default=None,
        description="When the last run ended that was passed (RFC 3339).",
        json_schema_extra={"format": "date-time"},
    )
    missed: str | None = Field(
        default=None,
        description="The last time of its schedule at which it could not run (RFC 3339).",
        json_schema_extra={"format": "date-time"},
    )
    requested: str = Field(default="", max_length=128, description="The request of somebody that was heard last.")
