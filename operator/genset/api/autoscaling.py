"""Autoscaling says how many copies of a model there are by demand and by the clock, and the status tells who decided."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from genset.api.base import LATER, ApiModel, CelRule, Name, rules
from genset.api.cron import Cron, TimeZone

STABILIZATION_SECONDS = 300  # the HorizontalPodAutoscaler's own default on the way down


@rules(
    CelRule(
        "has(self.min) || has(self.max)",
        "autoscaling.schedules: a schedule changes min, max or both: give one of them, or remove the schedule",
        lambda schedule: schedule.min is not None or schedule.max is not None,
    ),
)
class Schedule(ApiModel):
    """Other bounds from a time on: until any schedule of the list begins the next time."""

    cron: Cron = Field(
        examples=["0 7 * * 1-5"],
        description="When it begins: minute, hour, day of the month, month and day of the week (0 and 7 are Sunday), as cron "
        "reads them. If clocks are set forward over it, it begins with the first minute after the gap; if they are set "
        "back, it begins once.",
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description="Whose clock cron means, by its name in the time zone database. Default: UTC.",
    )
    min: int | None = Field(
        default=None, ge=0, le=1000, description="Copies while no request comes. Default: autoscaling.min."
    )
    max: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Most copies. 0: none, whoever asks. Default: autoscaling.max.",
    )


class Rest(StrEnum):
    """What a model at rest leaves behind."""

    SCALE = "Scale"  # as many pods as min
    SLEEP = "Sleep"  # one pod, whose server has freed its GPUs


class ModelPool(ApiModel):
    """A device that several deployments of the namespace share in turns."""

    name: Name = Field(
        max_length=63,
        examples=["gpu-0"],
        description="Name of the pool: at most one of the deployments that name it is awake.",
    )
    min_awake_seconds: int = Field(
        default=120,
        ge=5,
        le=86_400,
        description="How long the deployment serves at least once it has its turn. When another one of the pool is asked for, it "
        "makes way after that, even in the midst of requests; those in work are finished (rollout.drainSeconds).",
    )


@rules(
    CelRule(
        "self.min < self.max",
        "autoscaling.min must be below autoscaling.max; for a fixed number of copies give replicas instead",
        lambda scaling: scaling.min < scaling.max,
    ),
    CelRule(
        "!has(self.stabilizationSeconds) || has(self.targetInFlight)",
        "autoscaling.stabilizationSeconds is about copies that follow the load: give targetInFlight, too, or remove it",
        lambda scaling: scaling.stabilization_seconds is None or scaling.target_in_flight is not None,
    ),
    CelRule(
        "!has(self.schedules) || self.schedules.all(s, (has(s.min) ? s.min : self.min) <= (has(s.max) ? s.max : self.max))",
        "autoscaling.schedules: the min of a schedule must not be above its max; what it does not say is that of autoscaling",
        lambda scaling: all(least <= most for least, most in map(scaling.bounds, scaling.schedules)),
    ),
    CelRule(
        "!has(self.pool) || (self.min == 0 && (!has(self.schedules) || self.schedules.all(s, !has(s.min) || s.min == 0)))",
        "autoscaling.pool: deployments of a pool take turns, so each of them can rest: autoscaling.min and the min of its "
        "schedules must be 0",
        lambda scaling: scaling.pool is None or not (scaling.min or any(one.min for one in scaling.schedules)),
    ),
    CelRule(
        "!has(self.rest) || self.rest != 'Sleep' || (!has(self.pool) && self.min == 0 && (!has(self.schedules) || "
        "self.schedules.all(s, !has(s.min) || s.min == 0)))",
        "autoscaling.rest Sleep is instead of min copies that stay awake, and keeps its pod on the GPU: autoscaling.min and the "
        "min of its schedules must be 0, and pool absent",
        lambda scaling: (
            scaling.rest is not Rest.SLEEP
            or not (scaling.pool or scaling.min or any(one.min for one in scaling.schedules))
        ),
    ),
)
class Autoscaling(ApiModel):
    """Copies by demand. Routers tell of requests; the operator wakes the model, follows the load and puts it to rest."""

    min: int = Field(default=0, ge=0, le=1000, description="Copies while no request comes. 0 frees everything.")
    max: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Most copies: all of them from the first request on, unless targetInFlight is given.",
    )
    target_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        examples=[8],
        description="Requests in work or waiting, at all routers together, for each copy: while requests come there are as many "
        "copies as that takes.",
    )
    stabilization_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="How far back the load counts before a copy goes: there are as many as the highest load of that time "
        f"asked for. Default: {STABILIZATION_SECONDS}.",
    )
    idle_seconds: int = Field(
        default=600,
        ge=5,
        le=2_592_000,
        description="Silence after which the model is put to rest: no request at any router for so long, and none in "
        "work.",
    )
    schedules: list[Schedule] = Field(
        default_factory=list,
        max_length=32,
        description="Other bounds at other times. The one that began last is in force, of several that began together the "
        "last of the list; before any has begun autoscaling's own bounds are.",
        json_schema_extra=LATER,
    )
    rest: Rest = Field(
        default=Rest.SCALE,
        strict=False,
        description="Scale: a model at rest has min copies. Sleep: one copy stays, and its server frees the memory of its GPUs "
        "and keeps the weights in the pod's memory, which must hold them; it wakes in seconds. For vLLM with an accelerator.",
        json_schema_extra=LATER,
    )
    pool: ModelPool | None = Field(
        default=None,
        description="Deployments that share a device: at most one is awake, and the next request for another one swaps them.",
    )

    def bounds(self, schedule: Schedule | None) -> tuple[int, int]:
        """Returns the fewest and the most copies while a schedule, or none, is in force."""
        if schedule is None:
            return self.min, self.max
        return (
            self.min if schedule.min is None else schedule.min,
            self.max if schedule.max is None else schedule.max,
        )

    @property
    def most(self) -> int:
        """Returns how many copies there ever are."""
        return max(self.max, *(self.bounds(schedule)[1] for schedule in self.schedules), 0)


class ScalingReason(StrEnum):
    """Why there are as many pods as there are."""

    REPLICAS = "Replicas"  # spec.replicas says so, whoever has written it
    DEFAULT = "Default"  # nobody has said a number: one
    DEMAND = "Demand"  # requests come
    REST = "Rest"  # none came for idleSeconds
    SCHEDULE = "Schedule"  # a schedule allows none
    POOL = "WaitsForPool"  # requests come, and another one of its pool has the turn


class ScalingStatus(ApiModel):
    """Who decides how many pods there should be, and by what."""

    owner: str | None = Field(
        default=None,
        description="genset, with autoscaling; otherwise whoever has written spec.replicas, by the names in managedFields: "
        "kube-controller-manager stands for a HorizontalPodAutoscaler.",
    )
    reason: str = Field(default="", description=f"{', '.join(ScalingReason)}.")
    min: int | None = Field(default=None, ge=0, description="Autoscaling: fewest pods by the bounds in force.")
    max: int | None = Field(default=None, ge=0, description="Autoscaling: most pods by the bounds in force.")
    holder: str | None = Field(
        default=None, description="Pool: the deployment that has the device now; absent while nobody has."
    )
    schedule: str | None = Field(
        default=None, description="Autoscaling: the schedule in force, its cron and its time zone."
    )
