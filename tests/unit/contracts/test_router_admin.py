"""What is read of a router's admin port: whatever comes instead of a page is no page, and half a page is none either."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genset.contracts.router_admin import ConfigReport, DemandReport, DeploymentDemand, OutageReport, ServerReport

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
COUNT = st.integers(0, 2**53)
SECONDS = st.floats(0, 1e9)
OUTAGES = st.one_of(
    st.builds(OutageReport, st.just("Cloud"), TEXT, TEXT),
    st.builds(OutageReport, st.just("Backend"), TEXT, TEXT, TEXT.filter(bool), TEXT),
)
CONFIGS = st.builds(
    ConfigReport, TEXT, TEXT, COUNT, TEXT, TEXT, TEXT, TEXT, st.one_of(st.none(), TEXT.filter(bool)),
    st.lists(OUTAGES, max_size=3).map(tuple), st.frozensets(TEXT, max_size=3),
    st.lists(st.builds(ServerReport, TEXT, st.booleans(), COUNT, TEXT), max_size=3).map(tuple),
)  # fmt: skip
DEMANDS = st.builds(
    DemandReport,
    SECONDS,
    st.dictionaries(TEXT, st.builds(DeploymentDemand, st.one_of(st.none(), SECONDS), COUNT, COUNT), max_size=3),
)


@given(CONFIGS)
def test_what_a_router_serves_is_read_as_it_was_written(report: ConfigReport) -> None:
    assert ConfigReport.from_json(report.to_json()) == report


@given(DEMANDS)
def test_who_asks_is_read_as_it_was_written(report: DemandReport) -> None:
    assert DemandReport.from_json(report.to_json()) == report


@pytest.mark.parametrize("body", [b"", b"unknown path\n", b"[]", b"null", b"{}", b'{"hash": 1}', b"\xff"])
def test_what_is_no_page(body: bytes) -> None:
    assert ConfigReport.from_json(body) is None and DemandReport.from_json(body) is None


@pytest.mark.parametrize(
    "page",
    [
        {"deployments": {}},  # it is not known how far back it reaches
        {"upSeconds": -1, "deployments": {}},
        {"upSeconds": True, "deployments": {}},
        {"upSeconds": 5, "deployments": []},
        {"upSeconds": 5, "deployments": {"house": 1}},
    ],
)
def test_a_router_that_cannot_be_understood_is_not_one_that_nobody_asks(page: dict[str, Any]) -> None:
    assert DemandReport.from_json(orjson.dumps(page)) is None


def test_what_is_of_another_type_is_not_told_and_what_is_unknown_is_ignored() -> None:
    page = {
        "hash": "c7",
        "generation": "7",
        "error": 1,
        "outages": [1, {"scope": "Cloud", "new": 1}],
        "unknown": [2, "House"],
    }
    seen = OutageReport("Cloud")
    assert ConfigReport.from_json(orjson.dumps(page)) == ConfigReport(
        "c7", outages=(seen,), unknown=frozenset(["House"])
    )
    told = {"house": {"lastRequestSeconds": -2, "inFlight": True, "new": 1}}
    report = DemandReport.from_json(orjson.dumps({"upSeconds": 5, "deployments": told}))
    assert report == DemandReport(5, {"house": DeploymentDemand()})
