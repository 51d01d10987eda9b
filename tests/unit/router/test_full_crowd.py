"""A crowd before full backends, in any order of events: bounds hold, nobody is overtaken, forgotten or left behind."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genset.router.backends.outcomes import Outcome
from genset.router.machine.decisions import Answer, Interrupt, Try, Wait
from tests.support.router.full_backends import FakeWire, cloud, house


class Crowd(RuleBasedStateMachine):
    """Requests that come, end, fail, break and leave, in any order, before a house of two pods and a bounded cloud."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wires: list[FakeWire] = []  # in the order of arrival; those that have ended are not here

    @initialize(wait=st.booleans(), seats=st.integers(0, 3))
    def open(self, wait: bool, seats: int) -> None:
        self.wait = wait
        self.backends = [house(pods=2, bound=2, maxQueued=seats), cloud(1, maxQueued=2)]

    def _settle(self, wire: FakeWire) -> None:
        if isinstance(wire.decision, Answer | Interrupt):
            self.wires.remove(wire)

    def _some(self, data: st.DataObject, state: type) -> FakeWire | None:
        there = [wire for wire in self.wires if isinstance(wire.decision, state)]
        return data.draw(st.sampled_from(there)) if there else None

    @rule(origin=st.sampled_from("aab"))
    def arrive(self, origin: str) -> None:
        wire = FakeWire(*self.backends, wait=self.wait, deadline=self.now + 60, origin=origin)
        self.wires.append(wire)
        waiting = {backend.name for backend in self.backends if backend.line and backend.is_full(self.now)}
        went = wire.begin(self.now)
        assert went not in waiting, "a new request overtook those who wait"
        self._settle(wire)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if wire := self._some(data, Try):
            wire.done(self.now)
            self.wires.remove(wire)

    @rule(data=st.data(), outcome=st.sampled_from([Outcome.UNREACHABLE, Outcome.SERVER_ERROR, Outcome.REJECTED]))
    def fail(self, data: st.DataObject, outcome: Outcome) -> None:
        if (wire := self._some(data, Try)) and not wire.machine.continuing:
            wire.failed(self.now, outcome, status=400)
            self._settle(wire)

    @rule(data=st.data())
    def break_off(self, data: st.DataObject) -> None:
        if wire := self._some(data, Try):
            wire.commit(self.now)
            wire.broke(self.now)
            self._settle(wire)

    @rule(data=st.data(), state=st.sampled_from([Try, Wait]))
    def leave(self, data: st.DataObject, state: type) -> None:
        if wire := self._some(data, state):
            wire.vacate()
            wire.machine.cancelled(self.now)
            self.wires.remove(wire)

    @rule()
    def turn(self) -> None:
        """Of the loop: those who were woken look."""
        for wire in [wire for wire in self.wires if wire.woken and isinstance(wire.decision, Wait)]:
            wire.resume(self.now)
            self._settle(wire)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def sweep(self, seconds: float) -> None:
        self.now += seconds
        for backend in self.backends:
            for endpoint in backend.endpoints:
                backend.probed(endpoint, True, self.now)
        for wire in [wire for wire in reversed(self.wires) if isinstance(wire.decision, Wait)]:
            wire.resume(self.now)
            self._settle(wire)

    @invariant()
    def bounds_hold_and_lines_are_true(self) -> None:
        waiting = [wire for wire in self.wires if isinstance(wire.decision, Wait)]
        for backend in self.backends if hasattr(self, "backends") else ():
            most = backend.config.balancing.max_in_flight_per_endpoint
            assert most is not None and all(0 <= endpoint.in_flight <= most for endpoint in backend.endpoints)
            assert sum(endpoint.in_flight for endpoint in backend.endpoints) == sum(
                wire.endpoint in backend.endpoints for wire in self.wires
            )
            line = backend.line
            assert len(line) == sum(wire.stands_in(line) for wire in waiting), "somebody who is gone stands in line"
            if line and backend.admit(self.now, first=True) is not None:
                first = next(wire for wire in self.wires if wire.is_first_in(line))
                assert first.woken, "there is a place, and the first in line was not told"

    def teardown(self) -> None:
        """Everybody ends: nothing is left behind."""
        for wire in self.wires:
            wire.vacate()
            wire.machine.cancelled(self.now)
        for backend in self.backends if hasattr(self, "backends") else ():
            assert not backend.line and all(endpoint.in_flight == 0 for endpoint in backend.endpoints)


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
