"""Continuity is what a policy wants to survive, and what it does survive by its coverage."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import LATER, ApiModel
from genset.continuity.coverage import MOST_PERCENT, LossKind, Survival

MOST_TOLD = 512  # losses of all routes together, the worst first
MOST_ROUTES_TOLD = 256  # as many as a policy may have


class Continuity(ApiModel):
    """What the policy wants to survive."""

    required: bool = Field(
        default=False,
        description="Every route has to survive each single loss, perhaps degraded: that of the way out, of the house, of a "
        "provider's account, of a data zone, of a node. If one does not, condition Covered is False and says which.",
        json_schema_extra=LATER,
    )
    allow_live_drills: bool = Field(
        default=False,
        description="Drills may have a share of real requests take the drilled way (drills[].impact: Live). None is lost by "
        "that; some are slower, or answered by a later tier.",
        json_schema_extra=LATER,
    )


class LossCoverage(ApiModel):
    """What one loss does to one route."""

    kind: LossKind = Field(
        strict=False,
        description="What is lost. Cloud: the way out. House: all of its models. Provider: one account. Zone: one data zone. "
        "Node: one node of the cluster.",
    )
    name: str | None = Field(default=None, max_length=256, description="Which account, data zone or node.")
    outcome: Survival = Field(
        strict=False,
        description="Survives: as before. Degraded: a later tier answers, or less is possible, or slower. Lost: nobody answers.",
    )
    tier: int | None = Field(default=None, ge=1, description="Tier that answers then, counted from 1.")
    lacks: list[str] | None = Field(
        default=None,
        max_length=16,
        description="What nobody can do any more: capabilities; context: long prompts; sensitive: requests that may not leave "
        "the house.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    capacity_percent: int | None = Field(
        default=None,
        ge=0,
        le=MOST_PERCENT,
        description="Tokens a second that what is left makes, in percent of what the last hour asked for; absent if a cloud is "
        "left, if nothing was measured, or if nothing was asked for.",
    )
    why: str = Field(max_length=256, description="Why.")


class RouteCoverage(ApiModel):
    """What single losses do to one route."""

    route: str = Field(max_length=63, description="Name of the route.")
    outcome: Survival = Field(strict=False, description="The worst of its losses.")
    losses: list[LossCoverage] = Field(
        max_length=MOST_TOLD,
        description="Losses that touch it, the worst first; the whole policy tells at most 512.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
