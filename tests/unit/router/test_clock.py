"""The clock that deadlines are measured with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.router.clock import STILL_SECONDS, SWEEP_SECONDS, Clock


class Process:
    """A clock whose process runs or does not, as a test says."""

    def __init__(self) -> None:
        self.real = 1000.0
        self.told: list[float] = []
        self.clock = Clock(lambda: self.real, self.told.append)


def test_a_load_is_no_standstill() -> None:
    process = Process()
    process.clock.swept()
    process.real += SWEEP_SECONDS + STILL_SECONDS - 0.001
    assert process.clock.now() == process.real
    assert round(process.clock.swept(), 3) == STILL_SECONDS - 0.001
    assert not process.told


def test_before_the_first_sweep_time_passes_as_it_does() -> None:
    """Start-up may take long; nothing has a deadline yet."""
    process = Process()
    process.real += 100
    assert process.clock.now() == 1100.0
    assert process.clock.swept() == 0.0


def test_a_standstill_is_skipped_once_and_told_before_anybody_sees_the_time() -> None:
    process = Process()
    process.clock.swept()
    process.real += SWEEP_SECONDS + 30
    assert process.clock.now() == pytest.approx(1000 + SWEEP_SECONDS)
    assert process.told == [pytest.approx(30)]
    process.real += 0.05
    assert process.clock.now() == pytest.approx(1000 + SWEEP_SECONDS + 0.05)
    assert process.clock.swept() == pytest.approx(30.05), "the lag that bytes saw holds the standstill"
    assert len(process.told) == 1


def test_a_loop_that_has_much_to_do_is_not_standing_still() -> None:
    """The sweep is two seconds late, but the time was asked for all along."""
    process = Process()
    process.clock.swept()
    for _ in range(20):
        process.real += 0.1
        assert process.clock.now() == process.real
    assert process.clock.swept() == pytest.approx(2 - SWEEP_SECONDS)
    assert not process.told


def test_how_long_the_sweep_was_kept_waiting_by_work_alone() -> None:
    process = Process()
    process.clock.swept()
    process.real += SWEEP_SECONDS + 0.3
    process.clock.now()
    assert process.clock.busy == pytest.approx(0.3)
    process.real += 30  # and then it stood still
    process.clock.now()
    assert process.clock.busy == pytest.approx(0.3)
    process.clock.swept()
    assert process.clock.busy == 0.0


@given(st.lists(st.tuples(st.floats(0.001, 60), st.booleans()), max_size=30))
def test_it_never_goes_back_and_never_jumps(steps: list[tuple[float, bool]]) -> None:
    process = Process()
    process.clock.swept()
    last, lag = process.clock.now(), 0.0
    for seconds, sweeps in steps:
        process.real += seconds
        now = process.clock.now()
        assert last <= now <= last + SWEEP_SECONDS + STILL_SECONDS + 0.001
        last = now
        if sweeps:
            lag += process.clock.swept()
    assert round(process.real - sum(process.told), 6) == round(process.clock.now(), 6)
    assert lag <= process.real - 1000
