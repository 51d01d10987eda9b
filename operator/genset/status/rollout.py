"""A roll-out's state says how far a Deployment is, for both resources: counts from its status, and what is still
missing.

A count is believed only for the spec that its controller has seen (status.observedGeneration).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from genset.api.modeldeployment import Reason
from genset.desired.context import Object
from genset.status.conditions import Verdict

_POD_NAME = re.compile(r'^(?:Error creating: )?pods "[^"]*" is ')  # random, so that each retry would be news


@dataclass(frozen=True)
class RolloutState:
    """These are the pods of one Deployment.

    `current`: the Deployment asks for what the resource wants, and its controller knows.
    """

    wanted: int
    exists: bool = False
    asked: bool = False  # the Deployment asks for as many as are wanted
    current: bool = False
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    refusal: str = ""  # why pods cannot even be made: quota, admission, Pod Security

    @property
    def complete(self) -> bool:
        return self.current and self.updated == self.replicas == self.wanted and self.available >= self.wanted


def rollout(deployment: Object | None, wanted: int) -> RolloutState:
    """Returns the counts of a Deployment, or of none."""
    if deployment is None:
        return RolloutState(wanted)
    status: dict[str, Any] = deployment.get("status") or {}
    generation = int(deployment["metadata"].get("generation") or 0)
    asked = deployment["spec"].get("replicas") == wanted
    seen = int(status.get("observedGeneration") or 0) >= generation
    return RolloutState(
        wanted=wanted,
        exists=True,
        asked=asked,
        current=seen and asked,
        replicas=int(status.get("replicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        refusal=_refusal(status),
    )


def is_refused(deployment: Object | None) -> bool:
    """Returns whether pods cannot even be made. No watch tells when that ends: a quota grows, a namespace gets its ids."""
    return deployment is not None and bool(_refusal(deployment.get("status") or {}))


def _refusal(status: dict[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _POD_NAME.sub("", str(condition.get("message") or "")).strip()
    return ""


def incomplete(state: RolloutState, noun: str, coming: int = 0) -> Verdict | None:
    """Says what is missing from a roll-out; None if it is complete.

    `noun`: plural of what the pods are. `coming`: how many of them start for the first time.
    """
    if state.complete:
        return None
    if state.refusal:
        return Verdict("False", Reason.REPLICAS_MISSING, f"Pods are refused: {state.refusal}", needs_person=True)
    counts = f"{state.available} of {state.wanted} {noun} are available"
    if not state.exists or (state.available == 0 and state.wanted > 0):
        return Verdict("False", Reason.STARTING, counts)
    older = state.replicas - state.updated
    if not state.current or state.updated < state.wanted or older > 0:
        updated = f"{min(state.updated, state.wanted)} of {state.wanted} run the current template"
        leaving = f", {older} of an older one still to go" if older > 0 else ""
        return Verdict("False", Reason.ROLLING_OUT, f"{counts}, {updated}{leaving}")
    if state.updated > state.wanted:
        return Verdict("False", Reason.ROLLING_OUT, f"{counts}, {state.updated - state.wanted} more still to go")
    if coming >= state.wanted - state.available:
        return Verdict("False", Reason.STARTING, f"{counts}, {coming} starting")
    return Verdict("False", Reason.REPLICAS_MISSING, counts)
