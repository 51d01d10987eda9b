"""The number of copies that follows a load: never outside its bounds, quickly up, slowly down, and no flapping."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genset.api.autoscaling import Autoscaling
from genset.desired.autoscale import ScalingDecision, TotalDemand, counted
from genset.desired.recommend import RISE_SECONDS, Recommendations, recommended
from genset.desired.schedule import ScalingBounds

FALL = 60


class Fleet:
    """One deployment, looked at once a second."""

    def __init__(self, least: int = 0, most: int = 10, target: int = 4, current: int = 1) -> None:
        self.scaling = Autoscaling.model_validate(
            {"min": 0, "max": 1000, "targetInFlight": target, "stabilizationSeconds": FALL}
        )
        self.bounds = ScalingBounds(least, most)
        self.now = 0.0
        self.current = current
        self.history = Recommendations(current, self.now)

    def sees(self, load: int, *, seconds: int = 1, known: bool = True, awake: bool = True) -> int:
        for _ in range(seconds):
            self.now += 1
            demand = TotalDemand(busy=load > 0, load=load, known_since=0.0 if known else None)
            decision = counted(
                self.scaling,
                ScalingDecision(awake),
                self.bounds,
                demand,
                self.history,
                current=self.current,
                now=self.now,
            )
            assert decision.replicas is not None
            self.current = decision.replicas
        return self.current


def test_it_follows_a_rise_at_once_and_a_fall_after_the_window() -> None:
    fleet = Fleet()
    assert fleet.sees(17, seconds=int(RISE_SECONDS) + 1) == 5
    assert fleet.sees(3, seconds=FALL - 2) == 5, "the load of the last minute counts"
    assert fleet.sees(3, seconds=3) == 1


def test_a_peak_that_is_gone_at_once_starts_nothing() -> None:
    fleet = Fleet()
    assert [fleet.sees(40), fleet.sees(2), fleet.sees(40), fleet.sees(2)] == [1, 1, 1, 1]


def test_a_load_that_swings_keeps_what_its_peaks_take() -> None:
    fleet = Fleet()
    fleet.sees(16, seconds=10)
    seen = {fleet.sees(load, seconds=5) for _ in range(20) for load in (4, 16)}
    assert seen == {4}


def test_while_a_router_does_not_tell_no_copy_goes() -> None:
    fleet = Fleet(current=6)
    assert fleet.sees(1, seconds=5 * FALL, known=False) == 6
    assert fleet.sees(36, seconds=10, known=False) == 9, "what is known may be too little, and asks for more"


def test_a_new_operator_keeps_what_it_finds() -> None:
    assert Fleet(current=7).sees(4, seconds=FALL - 1) == 7


def test_at_rest_there_are_the_fewest_and_a_schedule_may_allow_none() -> None:
    assert Fleet(least=2).sees(0, awake=False) == 2
    assert Fleet(most=0).sees(50) == 0


@given(load=st.integers(0, 500), target=st.integers(1, 50), current=st.integers(0, 50))
def test_a_recommendation_carries_the_load(load: int, target: int, current: int) -> None:
    copies = recommended(load, target, current)
    assert copies * target * 1.1 >= load, "no copy has more than a tenth above its target"
    assert copies == current or (copies - 1) * target < load, "and none is there for nothing"
    assert recommended(load + 1, target, 0) >= recommended(load, target, 0), "more load never takes fewer"
    assert recommended(load, target, copies) == copies, "what is settled stays"


loads = st.lists(st.integers(0, 60), min_size=1, max_size=200)


@given(loads=loads, least=st.integers(0, 4), room=st.integers(1, 10), start=st.integers(0, 14))
def test_never_outside_of_the_bounds(loads: list[int], least: int, room: int, start: int) -> None:
    fleet = Fleet(least=least, most=least + room, current=start)
    assert all(max(least, 1) <= fleet.sees(load) <= least + room for load in loads)


@given(loads=loads)
def test_none_goes_within_the_window_after_one_came(loads: list[int]) -> None:
    fleet, came, before = Fleet(), float("-inf"), 1
    for load in loads:
        after = fleet.sees(load)
        if after > before:
            came = fleet.now
        if after < before:
            assert fleet.now - came >= FALL - RISE_SECONDS, "a copy that just came is gone again"
        before = after


@given(loads=loads, more=st.integers(1, 20))
def test_more_load_at_all_times_never_has_fewer_copies(loads: list[int], more: int) -> None:
    """From the same beginning; a tenth of tolerance may keep one copy more or less."""
    less, greater = Fleet(), Fleet()
    for load in loads:
        assert greater.sees(load + 4 * more) >= less.sees(load) - 1
