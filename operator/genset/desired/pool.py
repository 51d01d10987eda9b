"""A pool is deployments that share a device: at most one of them is awake, and they take turns.

A turn begins when a deployment is asked for, nobody else has the turn, and no pod of another member is left on the device.
It lasts for as long as only its holder is asked. Once another one waits it ends after `minAwakeSeconds` of serving, however
busy its holder is: that bounds the swaps, and nobody waits for ever. A holder that does not come up gives its turn back after
its start-up time. Whoever has waited longest is next. Pure; times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolMember:
    """A member is one deployment of a pool, as far as turns go."""

    name: str
    hold_seconds: float  # of serving, that its turn lasts at least
    startup_seconds: float  # that it may take to serve
    waits_since: float | None = None  # somebody asks for it in vain; None: nobody does
    turn_since: float | None = None  # None: it does not have the turn
    serves_since: float | None = None  # of this turn; None: no replica is ready yet
    occupies: bool = False  # pods of it are there, those that are going among them
    serves: bool = False  # it is awake as somebody else has decided, e.g. an operator before this one


def has_turn(member: PoolMember, others: Iterable[PoolMember], now: float) -> bool:
    """Returns whether a member that is asked for may be awake now."""
    others = tuple(others)
    if member.turn_since is not None:
        return not any(other.waits_since is not None for other in others) or not _over(member, now)
    if any(other.turn_since is not None for other in others):
        return False
    if member.serves or any(other.occupies for other in others):
        return member.serves
    mine = (now if member.waits_since is None else member.waits_since, member.name)
    return all(mine < (other.waits_since, other.name) for other in others if other.waits_since is not None)


def _over(member: PoolMember, now: float) -> bool:
    """Returns whether a turn has lasted long enough."""
    assert member.turn_since is not None
    if member.serves_since is None:
        return now - member.turn_since >= member.startup_seconds + member.hold_seconds
    return now - max(member.serves_since, member.turn_since) >= member.hold_seconds
