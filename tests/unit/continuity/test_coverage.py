"""Coverage is a pure function: what each loss does to each route."""

from __future__ import annotations

import time

import pytest

from genset.continuity.coverage import LossKind, Survival, coverage, losses, worst
from tests.unit.continuity.cases import Case, cloud, house, route, world
from tests.unit.continuity.table import TABLE


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.what)
def test_a_loss_does_what_the_table_says(case: Case) -> None:
    found = {verdict.loss: verdict for verdict in coverage(case.world)["r"]}.get(case.loss)
    if case.outcome is None:
        assert found is None
        return
    assert found is not None, f"{case.loss.words} does not touch the route"
    told = (found.outcome, found.tier, found.lacks, found.percent)
    assert told == (case.outcome, case.tier, case.lacks, case.percent), found.why
    assert case.why in found.why


def test_the_table_is_long_and_says_each_thing_once() -> None:
    assert len(TABLE) >= 60
    assert len({case.what for case in TABLE}) == len(TABLE)
    assert {case.outcome for case in TABLE} == {*Survival, None}
    assert {case.loss.kind for case in TABLE} == set(LossKind)


def test_each_loss_is_told_once() -> None:
    found = losses(
        world(
            cloud("a", "x", "eu"),
            cloud("b", "x", "eu"),
            house("h", "n1 n2"),
            routes=[route("a b > h")],
            routers="n2 n3",
        )
    )
    assert [loss.words for loss in found] == [
        "Cloud",
        "House",
        "Provider x",
        "Zone eu",
        "Node n1",
        "Node n2",
        "Node n3",
    ]


def test_what_no_route_uses_cannot_be_lost() -> None:
    assert [loss.words for loss in losses(world(cloud("a"), cloud("b"), routes=[route("a")]))] == [
        "Cloud",
        "Provider a",
        "Zone world",
    ]


def test_the_worst_outcome_counts() -> None:
    found = coverage(world(cloud("a"), house("h"), routes=[route("a > h")]))["r"]
    assert worst(found) is Survival.DEGRADED
    assert worst([]) is Survival.SURVIVES


def test_a_large_policy_is_reckoned_at_once() -> None:
    targets = [cloud(f"c{n}", f"account{n}", f"zone{n % 16}") for n in range(100)]
    targets += [house(f"h{n}", f"n{n} n{n + 1}", 10.0) for n in range(28)]
    names = [target.name for target in targets]
    routes = [route(" > ".join(names[(n + k) % 128] for k in range(8)), 10.0, name=f"r{n}") for n in range(256)]
    began = time.process_time()
    found = coverage(world(*targets, routes=routes))
    assert len(found) == 256
    assert time.process_time() - began < 5.0, "a reconcile waits for it"
