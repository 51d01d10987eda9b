"""What the probes of a drill met becomes its numbers, and these a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.continuity.drills.judge import not_in_peace, verdict
from genset.continuity.drills.measure import FaultWindow, Probe, combined, measure, usual_tiers
from genset.contracts.drill import DrillPhase, DrillReport, Measured, ObjectiveConfig

WINDOW = FaultWindow(10.0, 20.0, 10.4)
OBJECTIVE = ObjectiveConfig(rto_seconds=2, lost=0)


def probe(began: float, took: float | None = 0.1, backend: str = "cloud", tier: int = 0, **more: object) -> Probe:
    """Makes a probe whose first token came after `took` seconds, and its end a little later; None: there was no answer."""
    first = None if took is None else began + took
    made = Probe("all", began, first, (first or began) + 0.05, first is not None, backend, tier)
    return replace(made, **more)  # type: ignore[arg-type]


PEACE = [probe(1.0), probe(2.0), probe(3.0)]
BACK = [probe(20.5, backend="house", tier=1), probe(21.0)]


def other(began: float, took: float | None = 0.1, **more: object) -> Probe:
    return probe(began, took, "house", 1, **more)


CASES = {
    "nothing is lost": ([other(10.5, 0.2), other(11.5)], {"rto": 0.7, "degraded": 2, "lost": 0, "first_byte_p99": 0.2}),
    "the first are lost": ([other(10.1, None), other(10.2, None), other(11, 0.5)], {"rto": 1.5, "lost": 2}),
    "lost again in the middle": ([other(10.1), other(12, None), other(13)], {"rto": 3.1, "lost": 1}),
    "lost to the end": ([other(10.1), other(19, None)], {"rto": None, "lost": 1}),
    "no answer without a token": ([other(10.1, whole=True, first=None), other(11)], {"rto": 1.1, "lost": 1}),
    "a part is no answer": ([other(10.1, whole=False), other(11)], {"cut": 1, "lost": 0, "rto": 1.1}),
    "in work when it began, and cut": ([probe(9.9, ended=12.0, whole=False)], {"cut": 1, "requests": 1, "rto": None}),
    "a client's that went back would have been lost": (
        [other(10.1, 0.1, live=True), probe(10.2, 0.3, live=True, spared=True), other(11, live=True)],
        {"live": 3, "spared": 1, "lost": 0, "cut": 0, "rto": 1.1, "degraded": 2},
    ),
    "in work when it began, written on": (
        [probe(9.9, ended=12.0, backend="house", tier=1, continued=True), other(11)],
        {"continued": 1, "cut": 0, "degraded": 2, "rto": 1.1},
    ),
    "the one that is asked first answers on": ([probe(10.5), probe(11)], {"degraded": 0, "rto": 0.6}),
    "a first token of before the fault is no first byte after it": (
        [probe(9.9, 0.05, ended=12.0), other(11, 0.4)],
        {"first_byte_p50": 0.4},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_measured(name: str) -> None:
    struck, expected = CASES[name]
    found = measure([*PEACE, *struck, *BACK], WINDOW, ["cloud"])
    assert {field: getattr(found, field) for field in expected} == expected
    assert found.detection == 0.4 and found.give_back == 1.1


def test_it_is_given_back_only_once_each_route_is() -> None:
    second = [replace(one, route="second") for one in PEACE]
    found = [*PEACE, *second, other(11), *BACK]
    assert measure(found, WINDOW, ["cloud"]).give_back is None
    assert measure([*found, replace(probe(25.0), route="second")], WINDOW, ["cloud"]).give_back == 5.1
    assert measure([*PEACE, other(11)], WINDOW, ["cloud"]).give_back is None, "nobody has asked since"


def test_the_usual_tier_is_that_of_most() -> None:
    assert usual_tiers([*PEACE, other(4.0)], 10.0) == {"all": 0}
    assert usual_tiers([probe(1, None), other(2)], 10.0) == {"all": 1}
    assert usual_tiers([probe(9.99)], 10.0) == {}, "it had not ended"


def test_of_several_routers_the_worst_counts() -> None:
    one = Measured(10, 0, 1, 2, 3, 0.1, 0.1, 0.2, 0.5, 4.0)
    two = Measured(5, 1, 0, 0, 1, None, 0.2, 0.1, 0.7, 3.0)
    assert combined([one, two]) == Measured(15, 1, 1, 2, 4, None, 0.2, 0.2, 0.7, 4.0)


VERDICTS = {
    "passed": (Measured(10, rto=2.0, give_back=9.0), 5, DrillPhase.PASSED, ""),
    "too late": (Measured(10, rto=2.1, give_back=9.0), 5, DrillPhase.MISSED, "after 2.1 s, and 2 s are wanted"),
    "never": (Measured(10, rto=None, give_back=9.0), 5, DrillPhase.MISSED, "not answered again"),
    "one lost": (Measured(10, lost=1, rto=1.0, give_back=9.0), 5, DrillPhase.MISSED, "1 requests were lost"),
    "one cut": (Measured(10, cut=1, rto=1.0, give_back=9.0), 5, DrillPhase.MISSED, "1 cut"),
    "not given back": (Measured(10, rto=1.0), 5, DrillPhase.MISSED, "did not answer again"),
    "nobody met it": (Measured(10, rto=0.1, give_back=1.0), 0, DrillPhase.ABORTED, "no request met the fault"),
    "too few to say": (Measured(2, rto=0.1, give_back=1.0), 2, DrillPhase.ABORTED, "only 2 requests"),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_what_is_judged(name: str) -> None:
    measured, met, phase, words = VERDICTS[name]
    found, why = verdict(measured, OBJECTIVE, met)
    assert found is phase and words in why


def test_a_broken_server_makes_no_drill_look_good() -> None:
    """Taken away is only what was there: a cloud that has been down for weeks would survive every drill."""
    routes = {"all"}
    assert not_in_peace(PEACE, routes, ["cloud"], 5.0) == ""
    assert "did not answer route all" in not_in_peace(PEACE[:2], routes, ["cloud"], 5.0)
    assert "did not answer route all" in not_in_peace([other(1), other(2), other(3)], routes, ["cloud"], 5.0)
    assert "were not answered" in not_in_peace([*PEACE, probe(4.0, None)], routes, ["cloud"], 5.0)
    assert "route second" in not_in_peace(PEACE, {"all", "second"}, ["cloud"], 5.0)
    assert not_in_peace([probe(1, 0.1, first=None, whole=True)] * 3, routes, ["cloud"], 5.0), "empty answers are none"


TIMES = st.floats(0, 30).map(lambda value: round(value, 2))
PROBES = st.lists(
    st.builds(
        lambda began, took, backend, whole, route: replace(
            probe(began, took, backend, int(backend == "house")), whole=whole and took is not None, route=route
        ),
        TIMES,
        st.none() | st.floats(0, 5).map(lambda value: round(value, 2)),
        st.sampled_from(["cloud", "house"]),
        st.booleans(),
        st.sampled_from(["all", "second"]),
    ),
    max_size=30,
)


@given(PROBES)
@example([probe(10.0, None)])
@example([probe(10.0, 0.0), probe(10.0, None)])
def test_numbers_fit_together(probes: list[Probe]) -> None:
    found = measure(probes, WINDOW, ["cloud"])
    under = [one for one in probes if WINDOW.began <= one.began < WINDOW.lifted]
    assert found.lost + found.cut + found.degraded <= found.requests
    assert found.requests >= len(under)
    if under and all(one.answered for one in under):
        assert found.rto is not None and found.rto <= max((one.first or 0) - WINDOW.began for one in under) + 0.001
    if found.rto is None:
        assert not under or any(not one.answered for one in under)
    assert (found.first_byte_p50 or 0) <= (found.first_byte_p99 or 0)
    assert combined([found]) == found
    report = DrillReport("x", "Fault", "", found, "")
    assert DrillReport.from_document(report.to_document()) == report


@given(PROBES, st.integers(0, 29))
def test_one_more_lost_request_never_helps(probes: list[Probe], place: int) -> None:
    """Whoever loses an answer more is judged no better."""
    if not probes:
        return
    worse = list(probes)
    worse[place % len(probes)] = replace(worse[place % len(probes)], first=None, whole=False)
    before, after = measure(probes, WINDOW, ["cloud"]), measure(worse, WINDOW, ["cloud"])
    passes = [verdict(one, OBJECTIVE, 1)[0] is DrillPhase.PASSED for one in (before, after)]
    assert passes != [False, True]
