"""The outage switches, with a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from genset.router.backends.outage import PROBE_SECONDS, TRUST_SECONDS, CloudSwitch, HouseSwitch, Switch

HOSTS = ("a.test", "b.test", "c.test")


def cloud(*hosts: str) -> CloudSwitch:
    one = CloudSwitch()
    one.set_hosts(hosts or HOSTS)
    return one


def fail(switch: Switch, host: str, at: float, began: float | None = None) -> None:
    switch.unreachable(host, at, at if began is None else began, "refused")


def down(at: float = 0.0, *hosts: str) -> CloudSwitch:
    """A switch that two hosts have opened."""
    one = cloud(*hosts)
    fail(one, "a.test", at)
    fail(one, "b.test", at)
    assert one.down
    return one


# What happens: (host, when), or ("answer", when the request began, when it was answered); and whether it is down then
OPENS: dict[str, tuple[Sequence[str], list[tuple[str | float, ...]], bool]] = {
    "two hosts at once": (HOSTS, [("a.test", 1.0), ("b.test", 1.0)], True),
    "two hosts within ten seconds": (HOSTS, [("a.test", 1.0), ("b.test", 11.0)], True),
    "two hosts, too far apart": (HOSTS, [("a.test", 1.0), ("b.test", 11.1)], False),
    "one host, again and again": (HOSTS, [("a.test", float(n)) for n in range(9)], False),
    "one host is all there is": (("a.test",), [("a.test", 1.0), ("a.test", 2.0), ("a.test", 3.0)], False),
    "a host of an older configuration": (HOSTS, [("gone.test", 1.0), ("a.test", 1.0)], False),
    "an answer between": (HOSTS, [("a.test", 1.0), ("answer", 1.5, 2.0), ("b.test", 3.0)], False),
    "an answer to a request from before": (HOSTS, [("a.test", 1.0), ("answer", 0.5, 2.0), ("b.test", 3.0)], True),
    "the first host again after the answer": (
        HOSTS,
        [("a.test", 1.0), ("answer", 1.5, 2.0), ("b.test", 3.0), ("a.test", 4.0)],
        True,
    ),
}


@pytest.mark.parametrize("name", OPENS)
def test_when_the_cloud_is_down(name: str) -> None:
    hosts, events, expected = OPENS[name]
    one = cloud(*hosts)
    for event in events:
        if event[0] == "answer":
            one.answered(float(event[2]), float(event[1]))
        else:
            fail(one, str(event[0]), float(event[1]))
    assert one.down is expected
    assert [flip.down for flip in one.news] == ([True] if expected else [])


def test_a_slow_failure_from_before_an_answer_is_no_news() -> None:
    one = cloud()
    fail(one, "a.test", 5.0)
    one.answered(6.0, 5.5)
    fail(one, "b.test", 7.0, began=5.4)
    fail(one, "a.test", 7.0, began=6.5)
    assert not one.down


def test_it_says_what_failed_and_keeps_saying_it() -> None:
    one = cloud()
    one.unreachable("b.test", 1.0, 1.0, "DNS has no address")
    one.unreachable("a.test", 2.0, 2.0, "refused")
    assert one.detail == "a.test: refused; b.test: DNS has no address"
    fail(one, "c.test", 3.0)
    assert one.detail == "a.test: refused; b.test: DNS has no address" and one.opened_at == 2.0


def test_probes_go_round_one_in_five_seconds() -> None:
    one = down(100.0)
    probes: list[tuple[float, str]] = []
    for tick in range(240):
        now = 100.0 + tick / 10
        if tick % 7 == 5:
            one.passed_over("c.test")
        if (host := one.due(now)) is not None:
            probes.append((round(now - 100.0, 1), host))
            one.probed(host, False)
    # A host that a request might have asked comes first, and at once.
    assert probes == [(0.5, "c.test"), (5.5, "a.test"), (10.5, "b.test"), (15.5, "c.test"), (20.5, "a.test")]


def test_a_host_that_no_request_might_ask_is_not_probed() -> None:
    one = down(100.0)
    one.passed_over("gone.test")
    probed = {one.due(100.0 + 5.0 * turn) for turn in range(1, 9)}
    assert probed == {"a.test", "b.test"}


def test_where_all_have_failed_the_first_probe_waits() -> None:
    one = down(100.0, "a.test", "b.test")
    assert one.due(100.0) is None and one.due(100.0 + PROBE_SECONDS) == "a.test"


def test_a_probe_that_gets_through_ends_it() -> None:
    one = down()
    one.probed("c.test", True)
    assert not one.down and one.due(99.0) is None and [flip.down for flip in one.news] == [True, False]
    one.probed("c.test", True)
    assert one.flips == 2
    fail(one, "a.test", 1.0)
    assert not one.down, "what failed before the end counts no more"


@pytest.mark.parametrize(("began", "ends"), [(9.9, False), (10.0, True), (12.0, True)])
def test_an_answer_ends_it_unless_it_was_under_way_before(began: float, ends: bool) -> None:
    one = down(10.0)
    one.answered(13.0, began)
    assert one.down is not ends


def test_a_configuration_with_one_host_left_ends_it() -> None:
    one = down()
    one.set_hosts(("b.test", "c.test"))
    assert one.down
    one.set_hosts(("c.test",))
    assert not one.down and "1 cloud hosts" in one.news[-1].detail


# States of the house's backends over time (d: down, u: up), -> whether the switch is open after each
HOUSE: dict[str, tuple[list[str], str]] = {
    "one of two": (["uu", "du", "uu"], "..."),
    "all of two": (["uu", "dd", "dd", "du"], ".DD."),
    "the only one": (["u", "d", "u", "d"], ".D.D"),
    "never seen up": (["d", "d", "u", "d"], "...D"),
    "at rest": (["u", "", "d", ""], "..D."),
    "no house at all": (["", "", ""], "..."),
}


@pytest.mark.parametrize("name", HOUSE)
def test_when_the_house_is_down(name: str) -> None:
    seen, expected = HOUSE[name]
    one, got = HouseSwitch(), ""
    for now, states in enumerate(seen):
        one.look(float(now), [(f"house-{n}", state == "d") for n, state in enumerate(states)])
        got += "D" if one.down else "."
    assert got == expected


def test_a_house_that_was_never_up_is_unknown() -> None:
    one = HouseSwitch()
    one.look(0.0, [("house", True)])
    assert not one.known and not one.down
    one.look(1.0, [("house", False)])
    assert one.known


def test_a_house_that_is_found_well_is_asked_at_once() -> None:
    one = HouseSwitch()
    one.look(0.0, [("house", False)])
    one.look(1.0, [("house", True)])
    one.reached("house")
    assert not one.down
    one.look(1.1, [("house", True)])
    assert one.down, "well for a moment only"


def test_an_answer_counts_more_than_probes() -> None:
    one = HouseSwitch()
    one.look(0.0, [("house", False)])
    one.look(1.0, [("house", True)])
    one.answered(2.0, 0.5)
    assert one.down, "that request was under way before"
    one.answered(2.0, 1.5)
    assert not one.down
    one.look(2.0 + TRUST_SECONDS - 0.1, [("house", True)])
    assert not one.down, "it has just answered, whatever its health path says"
    one.look(2.0 + TRUST_SECONDS, [("house", True)])
    assert one.down
