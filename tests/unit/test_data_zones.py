"""Zones that rules allow together: everybody can tighten, nobody can loosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.data_zones import ZoneRule, allowed, is_zone, told

NAMES = st.sampled_from(["house", "eu", "us", "world"])
RULES = st.lists(st.builds(ZoneRule, st.just("somebody"), st.frozensets(NAMES)), max_size=5)


def test_nobody_says_anything() -> None:
    assert allowed([]) is None


@given(RULES, RULES)
def test_more_rules_never_allow_more(some: list[ZoneRule], more: list[ZoneRule]) -> None:
    before, after = allowed(some), allowed([*some, *more])
    assert before is None or (after is not None and after <= before)
    assert after == allowed([*more, *some]), "the order of who speaks is nobody's advantage"


@given(RULES, NAMES)
def test_a_zone_is_allowed_if_each_rule_names_it(rules: list[ZoneRule], zone: str) -> None:
    found = allowed(rules)
    assert (found is None or zone in found) == all(zone in rule.zones for rule in rules)


def test_the_objects_are_told() -> None:
    rules = [ZoneRule("the cluster", frozenset({"house", "eu"})), ZoneRule("route files", frozenset())]
    assert told(rules) == "the cluster allows eu, house and route files allows none"


@pytest.mark.parametrize("name", ["house", "azure-frankfurt", "a", "0", "a" * 32])
def test_names_of_zones(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize("name", ["", "House", "-eu", "eu-", "e u", "eu.us", "eu\n", "a" * 33, "é"])
def test_no_names_of_zones(name: str) -> None:
    assert not is_zone(name)
