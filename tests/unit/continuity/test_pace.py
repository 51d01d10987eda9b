"""How fast models write, and what routes ask for: measured by completions and by traffic, kept without churn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus, PlaceStatus
from genset.contracts.load import BackendLoad, LoadReport
from genset.controllers.keys import Key
from genset.controllers.loads import LoadBook, loads
from genset.engines.base import answer_pace
from genset.router.backends.use import WritingPace
from genset.router.telemetry.load import SAMPLE_SECONDS, Load
from genset.status import capacity
from genset.status.pod import PodView
from testbed import resources

POLICY = Key(names.ROUTE_POLICY, "models", "p")


@pytest.mark.parametrize(
    ("answer", "seconds", "pace"),
    [
        ({"timings": {"predicted_n": 8, "predicted_per_second": 41.5}, "usage": {"completion_tokens": 8}}, 9.0, 41.5),
        ({"timings": {"predicted_n": 1, "predicted_per_second": 1e6}, "usage": {"completion_tokens": 1}}, 1.0, None),
        ({"usage": {"completion_tokens": 8}}, 2.0, 4.0),
        ({"usage": {"completion_tokens": 8}}, 0.0, None),
        ({"usage": {"completion_tokens": 2}}, 1.0, None),
        ({"usage": {"completion_tokens": "many"}}, 1.0, None),
        ({"timings": {"predicted_n": 8, "predicted_per_second": -1}}, 1.0, None),
        ([], 1.0, None),
        ("no JSON", 1.0, None),
    ],
    ids=str,
)
def test_a_completion_tells_its_pace(answer: Any, seconds: float, pace: float | None) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    assert answer_pace(body, seconds) == pace


def test_a_router_looks_back_an_hour() -> None:
    load = Load()
    assert load.report(0.0, {"r": 5}, {}) == LoadReport()
    for minute in range(121):
        now = minute * SAMPLE_SECONDS
        assert load.is_due(now)
        load.sample(now, {"r": minute * 600}, {"h": WritingPace(minute * 10, minute * 0.5)})
    found = load.report(
        121 * SAMPLE_SECONDS,
        {"r": 121 * 600, "new": 61 * 60},
        {"h": WritingPace(1210, 60.5), "few": WritingPace(3, 0.1)},
    )
    assert found.seconds == 61 * 60 and found.routes == {"r": 10.0, "new": 1.0}
    assert found.backends == {"h": BackendLoad(610, pytest.approx(20.0))}
    assert not load.is_due(120.5 * SAMPLE_SECONDS)


def test_the_report_goes_through_the_contract() -> None:
    told = LoadReport(60.0, {"r": 1.5}, {"h": BackendLoad(7, 12.25)})
    assert LoadReport.from_json(told.to_json()) == told
    assert LoadReport.from_json(b"[1]") == LoadReport() == LoadReport.from_json(b'{"routes": 7, "backends": []}')


def test_routers_are_added_up_and_told_in_steps() -> None:
    one, two, young = (
        LoadReport(600, {"r": 30.0}),
        LoadReport(3600, {"r": 25.0, "s": 0.0}),
        LoadReport(60, {"r": 900.0}),
    )
    found = loads([one, two, young])
    assert 55.0 <= found["r"] <= 55.0 * 1.25 and found["s"] == 0.0
    assert loads([LoadReport(3600, {"r": 54.5})]) == {"r": found["r"]}, "a little more is no news"


def test_a_pace_is_news_only_if_it_is_another_one() -> None:
    book, house = LoadBook(), {"h": "small", "h2": "small"}
    assert book.heard(
        POLICY, [LoadReport(60, {}, {"h": BackendLoad(10, 20.0), "h2": BackendLoad(10, 20.0)})], house
    ) == {"small"}
    assert book.pace("models", "small") == 20.0
    assert book.heard(POLICY, [LoadReport(60, {}, {"h": BackendLoad(10, 22.0)})], house) == set()
    assert book.heard(POLICY, [LoadReport()], house) == set() and book.pace("models", "small") == 20.0
    assert book.heard(POLICY, [LoadReport(60, {}, {"h": BackendLoad(10, 5.0)})], house) == {"small"}
    assert book.pace("models", "small") == 5.0 and book.pace("elsewhere", "small") is None
    book.heard(POLICY, [], {})
    assert book.pace("models", "small") is None


def deployment(*known: PlaceStatus) -> ModelDeployment:
    source = {"huggingFace": {"repo": "a/b", "file": "m.gguf"}}
    made = ModelDeployment.model_validate(resources.model_deployment("models", "small", source))
    return made.model_copy(update={"status": ModelDeploymentStatus(capacity=list(known))})


def pod(name: str, node: str, ready: bool = True) -> PodView:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return PodView.of({"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"conditions": conditions}})


def told(resource: ModelDeployment, pods: list[PodView], **paces: float) -> list[tuple[str, int, int, int | None]]:
    seen = {"" if name == "traffic" else name: pace for name, pace in paces.items()}
    found = capacity.status(resource, pods, seen) or []
    return [(one.node, one.replicas, one.slots, one.tokens_per_second) for one in found]


def place(node: str, pace: int | None) -> PlaceStatus:
    return PlaceStatus(node=node, replicas=1, slots=4, tokens_per_second=pace)


def test_replicas_are_told_by_node_with_their_pace() -> None:
    pods = [pod("a", "n1"), pod("b", "n1"), pod("c", "n2"), pod("d", "n3", ready=False)]
    assert told(deployment(), pods, a=41.7, b=38.2) == [("n1", 2, 8, 38), ("n2", 1, 4, None)]


def test_traffic_counts_before_completions() -> None:
    assert told(deployment(), [pod("a", "n1")], a=41.7, traffic=18.3) == [("n1", 1, 4, 18)]


@pytest.mark.parametrize(("seen", "kept"), [(21.0, 20), (25.9, 20), (15.0, 20), (40.0, 40), (9.0, 9), (0.4, 1)])
def test_what_is_like_it_is_no_news(seen: float, kept: int) -> None:
    assert told(deployment(place("n1", 20)), [pod("a", "n1")], a=seen) == [("n1", 1, 4, kept)]


def test_a_pace_outlives_the_operator_and_stands_for_a_new_node() -> None:
    assert told(deployment(place("n1", 20)), [pod("a", "n1"), pod("b", "n2")]) == [("n1", 1, 4, 20), ("n2", 1, 4, 20)]
