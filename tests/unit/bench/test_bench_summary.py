"""From runs to rows, goals and the table: a benchmark that flatters is worse than none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import Run, Used
from bench.report import table, verdicts, write_section
from bench.summary import DIRECT, Round, goals, rows

PEER, LOAD = 1, 0


def run(mode: str, **values: object) -> Run:
    base = Run(
        mode=mode,
        seconds=5.0,
        requests=50_000,
        per_second=10_000.0,
        errors={},
        latency={"p50": 0.5, "p99": 2.0},
        chunks=150_000,
        chunks_per_second=30_000.0,
        complete=300,
        short=0,
        lag={"p99": 3.0},
        used={"load": Used(1.5, 0), "upstream": Used(1.5, 0), "peer": Used(5.0, 50 * 2**20)},
        busy={PEER: 1.0, LOAD: 0.6},
    )
    return replace(base, **values)  # type: ignore[arg-type]


def one(peer: str, number: int = 0, **saturate: object) -> Round:
    quiet = {"busy": {PEER: 0.2, LOAD: 0.3}, "used": {**run("").used, "peer": Used(1.0, 60 * 2**20)}}
    return Round(
        peer=peer,
        number=number,
        saturate=run("saturate", **saturate),
        rate=run("rate", **quiet),
        streams=run("streams", **quiet),
        idle_rss_bytes=40 * 2**20,
        load_core=LOAD,
        peer_core=PEER,
    )


def test_values_of_a_row() -> None:
    row = rows([one("genset")])[0]
    assert row.requests_per_second.median == 10_000
    assert row.cpu_per_request.median == pytest.approx(100.0)
    assert row.cpu_per_chunk.median == pytest.approx(1e6 / 150_000)
    assert (row.idle_mib.median, row.streams_mib.median, row.failures) == (40, 60, 0)


def test_median_over_good_windows_only() -> None:
    full = {PEER: 1.0, LOAD: 0.95}
    found = rows(
        [
            one("genset", 0, per_second=10_000.0),
            one("genset", 1, per_second=99_000.0, busy=full),
            one("genset", 2, per_second=12_000.0),
        ]
    )[0]
    assert (found.requests_per_second.median, found.requests_per_second.counted) == (11_000, 2)


@pytest.mark.parametrize(
    ("busy", "peer_seconds", "flaw"),
    [
        ({PEER: 1.0, LOAD: 0.6}, 5.0, None),
        ({PEER: 1.0, LOAD: 0.95}, 5.0, "load generator's core full"),
        ({PEER: 1.0, LOAD: 0.6}, 3.0, "others on the peer's core"),
        ({PEER: 0.62, LOAD: 0.6}, 3.0, None),
    ],
)
def test_flaws(busy: dict[int, float], peer_seconds: float, flaw: str | None) -> None:
    found = one("genset", used={"peer": Used(peer_seconds, 0)}, busy=busy)
    assert found.flaw(found.saturate) == flaw
    assert rows([found])[0].requests_per_second.flawed == (flaw is not None)


def test_latency_is_what_the_peer_adds_in_the_same_round() -> None:
    direct = one(DIRECT)
    slow = replace(one("genset"), rate=replace(direct.rate, latency={"p50": 0.75, "p99": 2.5}))
    _, row = rows([direct, slow])
    assert (row.added_p50.median, row.added_p99.median) == (0.25, 0.5)
    assert rows([slow])[0].added_p50.median is None, "without a direct round nothing is known"


def test_failures_are_counted_wherever_they_happen() -> None:
    broken = replace(one("genset"), streams=run("streams", errors={"closed": 2}, short=3))
    assert rows([broken])[0].failures == 5


def test_goals() -> None:
    ours = one("genset", per_second=25_000.0, requests=125_000)
    theirs = one("vllm-router")
    held = {goal.text: goal.held for goal in goals(rows([ours, theirs]))}
    assert held == {
        "requests/s, times vllm-router's": True,
        "requests per CPU second, times vllm-router's": True,
        "chunks per CPU second, times vllm-router's": True,
    }
    worse = goals(rows([one("genset", per_second=15_000.0, requests=75_000), theirs]))
    assert [goal.held for goal in worse] == [False, False, True]
    assert "1.50, wanted at least 2: missed" in verdicts(worse)
    assert goals(rows([ours])) == []


def test_the_reference_at_its_best_is_judged_too() -> None:
    ours = one("genset", per_second=25_000.0, requests=125_000)
    lean = one("vllm-router-lean", per_second=20_000.0, requests=100_000)
    judged = {goal.text: goal.held for goal in goals(rows([ours, one("vllm-router"), lean]))}
    assert judged["requests/s, times vllm-router's"]
    assert not judged["requests/s, times vllm-router-lean's"]


def test_table_shows_ratios_and_doubt() -> None:
    flawed = one("aiohttp", per_second=5_000.0, busy={PEER: 1.0, LOAD: 1.0})
    text = table(rows([one("genset"), flawed]), {"genset": "0.1.0", "aiohttp": "3.13"})
    assert "| genset 0.1.0 | 10,000 |" in text
    assert "| aiohttp 3.13 | 5,000 ! (0.50×) |" in text


def test_section_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- router: written by `make bench` -->\nold\n<!-- end of router -->\nafter\n")
    write_section("router", "new", page)
    write_section("router", "newer", page)
    assert page.read_text() == (
        "before\n<!-- router: written by `make bench` -->\nnewer\n<!-- end of router -->\nafter\n"
    )
    with pytest.raises(ValueError, match="no section operator"):
        write_section("operator", "new", page)


def test_output_of_the_load_generator_is_understood() -> None:
    line = {
        "mode": "streams", "seconds": 3.0, "requests": 300, "per_second": 0, "errors": {"closed": 1}, "connections": 300,
        "streams": {"wanted": 300, "complete": 298, "short": 1, "chunks": 90_000, "reads": 1, "per_second": 30_000.0,
                    "lag_ms": {"p50": 0.5, "p90": 1, "p99": 2, "max": 3}},
        "watched": {"load": {"cpu_seconds": 0.9, "rss_bytes": 1, "processes": 1},
                    "peer": {"cpu_seconds": 1.2, "rss_bytes": 2, "processes": 3}},
        "cores": {"0": {"busy": 0.5, "steal": 0.0}, "1": {"busy": 0.9, "steal": 0.1}},
    }  # fmt: skip
    found = Run.parse(json.dumps(line))
    assert (found.chunks, found.complete, found.failures, found.lag["p99"]) == (90_000, 298, 2, 2)
    assert found.busy == {0: 0.5, 1: 0.9}
    assert found.share("load", "peer", "absent") == pytest.approx(0.7)
