"""Turns at a device: one at a time, nobody waits for ever, and no more swaps than minAwakeSeconds allows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from genset.desired.pool import PoolMember, has_turn

HOLD, START, LOADS, DRAINS = 20.0, 60.0, 5, 3  # seconds
NAMES = ("a", "b", "c")


@dataclass
class Device:
    """A pool whose members load, serve and drain as pods do, decided once a second."""

    broken: frozenset[str] = frozenset()
    now: float = 0.0
    members: dict[str, PoolMember] = field(
        default_factory=lambda: {name: PoolMember(name, HOLD, START) for name in NAMES}
    )
    gone_at: dict[str, float] = field(default_factory=dict)
    granted: list[tuple[str, float]] = field(default_factory=list)

    def second(self, asked: frozenset[str]) -> None:
        self.now += 1
        for name in NAMES:
            self.decide(name, name in asked)
        for name, member in self.members.items():
            if member.turn_since is not None and member.serves_since is None and name not in self.broken:
                if self.now - member.turn_since >= LOADS:
                    self.members[name] = replace(member, serves_since=self.now)
            elif member.occupies and self.now >= self.gone_at.get(name, float("inf")):
                self.members[name] = replace(member, occupies=False, serves_since=None)
                del self.gone_at[name]

    def decide(self, name: str, asked: bool) -> None:
        """A holder that nobody asks rests; one that waits keeps its place."""
        member = self.members[name]
        others = [other for other in self.members.values() if other.name != name]
        wanted = asked or member.waits_since is not None
        if wanted and has_turn(member, others, self.now):
            if member.turn_since is None:
                self.granted.append((name, self.now))
                self.gone_at.pop(name, None)
                member = replace(member, turn_since=self.now, waits_since=None, occupies=True, serves_since=None)
        elif member.turn_since is not None:
            self.gone_at[name] = self.now + DRAINS
            member = replace(member, turn_since=None)
        elif wanted and member.waits_since is None:
            member = replace(member, waits_since=self.now)
        self.members[name] = member


asked = st.lists(st.frozensets(st.sampled_from(NAMES)), min_size=1, max_size=300)
broken = st.frozensets(st.sampled_from(NAMES), max_size=1)


@given(asked=asked, broken=broken)
def test_at_most_one_has_pods_on_the_device(asked: list[frozenset[str]], broken: frozenset[str]) -> None:
    device = Device(broken)
    for wishes in asked:
        device.second(wishes)
        on_it = [name for name, member in device.members.items() if member.occupies]
        assert len(on_it) <= 1, f"{on_it} share the device at {device.now}"


@given(asked=asked, broken=broken)
def test_nobody_waits_longer_than_everybody_elses_turn(asked: list[frozenset[str]], broken: frozenset[str]) -> None:
    device, longest = Device(broken), (len(NAMES) - 1) * (START + HOLD + LOADS + DRAINS + 3)
    for wishes in asked:
        device.second(wishes)
        for member in device.members.values():
            assert member.waits_since is None or device.now - member.waits_since <= longest, f"{member.name} starves"


def test_two_that_are_always_asked_swap_as_seldom_as_they_may() -> None:
    device = Device()
    for _ in range(600):
        device.second(frozenset("ab"))
    turns = [name for name, _ in device.granted]
    assert set(pairwise(turns)) == {("a", "b"), ("b", "a")}, "they take turns"
    begins = [since for _, since in device.granted]
    assert min(b - a for a, b in pairwise(begins)) >= HOLD + LOADS
    assert len(turns) >= 600 // (HOLD + LOADS + DRAINS + 3), "and each gets its own"


def test_whoever_is_asked_alone_keeps_the_device() -> None:
    device = Device()
    for _ in range(600):
        device.second(frozenset("a"))
    assert [name for name, _ in device.granted] == ["a"]


def test_what_serves_already_keeps_the_turn_although_another_waits() -> None:
    """An operator that has just started hears of the others first."""
    waiting = PoolMember("b", HOLD, START, waits_since=1.0)
    assert has_turn(PoolMember("a", HOLD, START, serves=True), [waiting], 2.0)
    assert not has_turn(waiting, [PoolMember("a", HOLD, START, occupies=True)], 2.0)
    assert not has_turn(PoolMember("a", HOLD, START, serves=True), [PoolMember("b", HOLD, START, turn_since=1.0)], 2.0)
