"""Turns are who has the device of each pool in this session, and who waits for it since when.

A turn is taken in the same moment in which it is decided, before the reconcile that acts on it has written anything: two
reconciles that run side by side cannot both have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from genset.api.autoscaling import ModelPool
from genset.api.modeldeployment import ModelDeployment
from genset.controllers.keys import Key
from genset.desired import pool
from genset.desired.autoscale import ScalingDecision
from genset.desired.pool import PoolMember

PoolKey = tuple[str, str]  # namespace and name


@dataclass(frozen=True)
class _Turn:
    key: Key
    since: float


class Turns:
    """Turns are those of all pools. `now` gives seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._turns: dict[PoolKey, _Turn] = {}
        self._waits: dict[Key, float] = {}

    def since(self, key: Key, name: str) -> float | None:
        """Returns since when a deployment has the turn of a pool; None if it has not."""
        turn = self._turns.get((key.namespace, name))
        return turn.since if turn is not None and turn.key == key else None

    def waits_since(self, key: Key) -> float | None:
        return self._waits.get(key)

    def due(self, member: PoolMember, others: Iterable[PoolMember], decision: ScalingDecision) -> ScalingDecision:
        """Returns what is left of a decision by demand: whoever has no turn rests, and waits if he is asked for."""
        others = tuple(others)
        holder = next((one.name for one in (member, *others) if one.turn_since is not None), "")
        if decision.awake and pool.has_turn(member, others, self._now()):
            return replace(decision, holder=member.name)
        # Whoever gives his turn back waits only for requests that come from now on.
        waits = decision.awake and member.turn_since is None
        return ScalingDecision(False, holder="" if holder == member.name else holder, waits=waits)

    def taken(self, key: Key, name: str, decision: ScalingDecision, *, blocked: bool) -> ScalingDecision:
        """Takes the turn for a decision to be awake. `blocked`: somebody may have it who has not been met."""
        place = (key.namespace, name)
        held = self._turns.get(place)
        if decision.awake and held is None and blocked:
            decision = ScalingDecision(False, replicas=0, bounds=decision.bounds, waits=True)
        if decision.awake and held is None:
            self._turns[place] = _Turn(key, self._now())
        if decision.waits:
            self._waits.setdefault(key, self._now())
        else:
            self._waits.pop(key, None)
        return decision

    def acted(self, key: Key, resource: ModelDeployment, decision: ScalingDecision) -> None:
        """Takes what a reconcile has done: the turn ends with the decision to rest, and with another pool."""
        own = pool_of(resource)
        for place, turn in list(self._turns.items()):
            if turn.key == key and (not decision.awake or own is None or own.name != place[1]):
                del self._turns[place]

    def drop(self, key: Key) -> None:
        """Forgets a deployment that is gone."""
        self._waits.pop(key, None)
        self._turns = {place: turn for place, turn in self._turns.items() if turn.key != key}


def pool_of(resource: ModelDeployment) -> ModelPool | None:
    """Returns the pool of a deployment; None if it has a device of its own."""
    scaling = resource.spec.autoscaling
    return scaling.pool if scaling is not None else None
