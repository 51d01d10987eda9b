"""View models by tables: what is heard, and what a page says of it."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from starlette.datastructures import Headers

from genset.console import continuity, fleet, guards, heard, history, numbers, paging, request_trail, routes, words
from genset.console.heard import Heard, HeardRouter
from genset.contracts.router_state import RouterState
from genset.histograms import quantile


def everybody(_: str) -> bool:
    return True


def model(name: str, namespace: str = "law", **status: Any) -> heard.HeardModel:
    return heard.model({"metadata": {"name": name, "namespace": namespace}, "spec": {"engine": "x"}, "status": status})


def ready(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]}


def policy(*tiers: str, name: str = "assistant") -> heard.HeardPolicy:
    backends = [{"name": tier, "deployment": {"name": tier}} for tier in tiers]
    route = {"name": "all", "tiers": [{"backends": [{"name": tier}]} for tier in tiers]}
    spec = {"backends": backends, "routes": [route]}
    return heard.policy(
        {"metadata": {"name": name, "namespace": "law"}, "spec": spec, "status": ready("True", "Ready")}
    )


def router(**admits: bool) -> HeardRouter:
    told = {
        name: {"kind": "local", "admits": one, "whyNot": "" if one else "breaker_open"} for name, one in admits.items()
    }
    return HeardRouter(
        "law", "assistant", "r", "10.0.0.1", 1.0, state=RouterState.from_json(orjson.dumps({"backends": told}))
    )


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "–"), (812, "812 B"), (2048, "2.0 KiB"), (9 * 2**30, "9.0 GiB"), (2**50, "1024 TiB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0851, "85 ms"), (1.44, "1.4 s"), (75.0, "1 min"), (None, "–"), (7300, "2 h")]
)
def test_waits(seconds: float | None, shown: str) -> None:
    assert words.took(seconds) == shown


def test_what_needs_somebody_comes_first_and_nobody_sees_more_than_he_may() -> None:
    held = [
        model("a", **ready("True", "Ready")),
        model("b", **ready("False", "Downloading")),
        model("c", **ready("False", "NoNodeFits")),
        model("d", "other", **ready("False", "NoNodeFits")),
    ]
    page = fleet.page(Heard(1.0, held), lambda namespace: namespace == "law", paging.AskedPage())
    assert [(row.name, row.tone) for row in page.rows] == [("c", "bad"), ("b", "passing"), ("a", "well")]
    assert page.page.every == 3 and [one.name for one in page.matters] == ["c"]


@pytest.mark.parametrize(
    ("query", "page"), [({"page": "2"}, 2), ({"page": "-1"}, 1), ({"page": "9" * 9}, 1), ({"page": "²"}, 1)]
)
def test_pages_are_numbers(query: dict[str, str], page: int) -> None:
    try:
        assert paging.AskedPage.read(query).page == page
    except ValueError:
        pytest.fail(f"{query} is no page, and must not be an error")


@pytest.mark.parametrize(
    ("states", "answering", "tones"),
    [
        ([{"house": True, "cloud": True}], 1, ["well", "well"]),
        ([{"house": False, "cloud": True}], 2, ["bad", "well"]),
        ([{"house": False, "cloud": True}, {"house": True, "cloud": True}], 1, ["warned", "well"]),
        ([{"house": False, "cloud": False}], None, ["bad", "bad"]),
        ([], None, ["passing", "passing"]),
    ],
)
def test_which_tier_is_asked(states: list[dict[str, bool]], answering: int | None, tones: list[str]) -> None:
    found = routes.one(
        Heard(1.0, (), [policy("house", "cloud")], [router(**one) for one in states]), "law", "assistant"
    )
    assert found is not None
    (picture,) = found.row.routes
    assert picture.answering == answering
    assert [tier.backends[0].tone for tier in picture.tiers] == tones


def counted(answers: int, failed_over: int, tokens: int = 0) -> numbers.RouterNumbers:
    key = ("all", "cloud", "breaker_open")
    return numbers.RouterNumbers({"all": answers}, {}, {key: failed_over}, {"house": tokens})


def test_a_failover_is_marked_when_its_counter_moves_and_a_new_router_is_none() -> None:
    track, tiers = history.PolicyTrack(), routes.tiers_of(policy("house", "cloud"))
    assert not track.heard("r", counted(10, 3), tiers, 100.0), "what was before the console is not news"
    assert track.heard("r", counted(14, 4, 100), tiers, 101.0)
    assert not track.heard("r", counted(14, 4, 100), tiers, 112.0)
    assert [(mark.backend, mark.count) for mark in track.marks] == [("cloud", 1)]
    assert track.samples[0].answers == {"all": (3, 1)}
    assert track.heard("r", counted(2, 2), tiers, 113.0), "a router that began anew counts from nothing"
    assert track.tokens_per_second("house", 113.0) is None


def test_history_is_bounded() -> None:
    track, tiers = history.PolicyTrack(), routes.tiers_of(policy("house", "cloud"))
    for at in range(1000):
        track.heard("r", counted(at * 2, at), tiers, at * 20.0)
    assert len(track.marks) == history.MARKS and len(track.samples) == history.SAMPLES
    track.forget(["r"])
    assert not track.routers


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\xff\xfe" * 100,
        b"genset_router_requests_total{",
        b'genset_router_requests_total{route="a"} NaN',
        b"{" * 10_000,
    ],
)
def test_a_page_that_is_none_has_no_numbers(page: bytes) -> None:
    assert numbers.read(page) == numbers.RouterNumbers()


def test_a_page_of_a_million_lines_is_read_in_part() -> None:
    lines = b"".join(
        b'genset_router_requests_total{route="r%d",status="200",error=""} 1.0\n' % at for at in range(20_000)
    )
    assert len(numbers.read(lines).answers) == numbers.MOST_LINES


@pytest.mark.parametrize(("share", "seconds"), [(0.5, 0.1), (0.99, 0.98), (1.0, 1.0)])
def test_waits_are_read_from_buckets(share: float, seconds: float) -> None:
    counts = {0.1: 50.0, 1.0: 100.0, float("inf"): 100.0}
    assert quantile(counts, share) == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("given", ["a/b", "x" * 128, "00f1-7", "a=b@c"])
def test_ids_as_routers_take_them(given: str) -> None:
    assert request_trail.is_id(given)


@pytest.mark.parametrize("given", ["", "..", ".", "a b", "x" * 129, "é", "a?b", "<b>"])
def test_what_is_no_id(given: str) -> None:
    assert not request_trail.is_id(given)


def test_a_request_of_two_namespaces_under_one_id_is_shown_to_each_by_itself() -> None:
    """Clients choose ids: whoever takes another one's must not read its trail."""
    told = {"usage": [{"policy": f"{one}/p", "request": "r", "attempts": []} for one in ("law", "plant")], "egress": []}
    assert [one.policy for one in request_trail.trails(told, lambda namespace: namespace == "law")] == ["law/p"]
    assert request_trail.trails({"usage": [{"request": "r"}, "x", None], "egress": None}, everybody) == []


def test_an_empty_cluster_has_pages() -> None:
    empty = Heard(1.0)
    assert continuity.page(empty, everybody, paging.AskedPage()).coverage.found == 0
    assert routes.listing(empty, everybody, paging.AskedPage()).every == 0


def test_a_thousand_models_and_two_hundred_policies_are_a_page_like_any_other() -> None:
    models = [
        model(f"m{at}", **ready("True" if at % 3 else "False", "Ready" if at % 3 else "NoNodeFits"))
        for at in range(1000)
    ]
    policies = [policy("house", "cloud", name=f"p{at}") for at in range(200)]
    everything = Heard(time.time(), models, policies, [router(house=True, cloud=True)] * 400)
    page = fleet.page(everything, everybody, paging.AskedPage("m99"))
    assert (page.page.found, len(page.rows), page.more) == (11, 11, 334 - fleet.MATTERS)
    assert len(routes.listing(everything, everybody, paging.AskedPage(page=4)).rows) == 50


@pytest.mark.parametrize(
    ("host", "local"), [("localhost:8095", True), ("[::1]:80", True), ("console.corp", False), ("", False)]
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert guards.is_local(Headers({"host": host})) is local
