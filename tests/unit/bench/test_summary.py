"""From runs to rows, goals and the table: a benchmark that flatters is worse than none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.failover import CaseResult, FailoverResult
from bench.goals import goals
from bench.measure import Run, Used
from bench.report import errors, failover_table, instrument, table, verdicts, write_section
from bench.scenarios import CHUNKS, CROWD, MANY, RATE, SCENARIOS, SHORT, UNTOUCHED, WHOLE
from bench.summary import DIRECT, Round, rows

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
        others={PEER: 1.0, LOAD: 1.0},
    )
    return replace(base, **values)  # type: ignore[arg-type]


def one(peer: str, number: int = 0, **whole: object) -> Round:
    quiet = {"busy": {PEER: 0.2, LOAD: 0.6}, "used": {**run("").used, "peer": Used(1.0, 60 * 2**20)}}
    runs = {name: run(scenario.mode, **quiet) for name, scenario in SCENARIOS.items()}
    for name in (WHOLE, SHORT, UNTOUCHED):
        runs[name] = run("saturate", **whole)
    return Round(peer, number, runs, idle_rss_bytes=40 * 2**20, load_core=LOAD, peer_core=PEER)


def changed(base: Round, scenario: str, **values: object) -> Round:
    return replace(base, runs={**base.runs, scenario: replace(base.runs[scenario], **values)})  # type: ignore[arg-type]


def test_values_of_a_row() -> None:
    row = rows([one("genset")])[0]
    assert row.whole.median == 10_000
    assert row.cpu_per_request.median == pytest.approx(100.0)
    assert row.cpu_per_chunk.median == pytest.approx(1e6 / 150_000)
    assert (row.many_rate.median, row.many_lag.median, row.crowd_lag.median) == (30_000, 3, 3)
    assert (row.idle_mib.median, row.crowd_mib.median, row.errors) == (40, 60, {})


def test_median_over_good_windows_only() -> None:
    full = {"used": {**run("").used, "load": Used(3.2, 0)}}
    found = rows(
        [
            one("genset", 0, per_second=10_000.0),
            one("genset", 1, per_second=99_000.0, **full),
            one("genset", 2, per_second=12_000.0),
        ]
    )[0]
    assert (found.whole.median, found.whole.counted) == (11_000, 2)


@pytest.mark.parametrize(
    ("busy", "load_seconds", "peer_seconds", "flaw"),
    [
        ({PEER: 1.0, LOAD: 0.6}, 1.5, 5.0, None),
        ({PEER: 1.0, LOAD: 0.95}, 3.2, 5.0, "load generator and upstream filled their core"),
        ({PEER: 1.0, LOAD: 0.95}, 1.5, 5.0, "others on the load generator's core"),
        ({PEER: 1.0, LOAD: 0.6}, 1.5, 3.0, "others on the peer's core"),
        ({PEER: 0.62, LOAD: 0.6}, 1.5, 3.0, None),
    ],
)
def test_flaws(busy: dict[int, float], load_seconds: float, peer_seconds: float, flaw: str | None) -> None:
    used = {"load": Used(load_seconds, 0), "upstream": Used(1.5, 0), "peer": Used(peer_seconds, 0)}
    found = one("genset", used=used, busy=busy)
    assert found.flaw(WHOLE) == flaw
    assert rows([found])[0].whole.flawed == (flaw is not None)


def test_what_no_program_was_charged_with_is_not_held_against_a_window() -> None:
    """Interrupts and waking from idle: the kernel's work for the loopback."""
    busy = {PEER: 1.0, LOAD: 0.75}
    assert one("genset", busy=busy).flaw(WHOLE) == "others on the load generator's core"
    assert one("genset", busy=busy, others={PEER: 0.02, LOAD: 0.02}).flaw(WHOLE) is None
    assert one("genset", busy=busy, others={}).flaw(WHOLE) is not None, "unknown is no excuse"


@pytest.mark.parametrize(
    ("own_lag", "lag", "flawed"),
    [(4.0, 6.0, False), (6.0, 20.0, True), (6.0, 60.0, False), (300.0, 1000.0, True), (None, 60.0, True)],
)
def test_a_load_that_keeps_its_schedule_is_no_limit_however_full_its_core_is(
    own_lag: float | None, lag: float, flawed: bool
) -> None:
    full = {"load": Used(3.2, 0), "upstream": Used(1.6, 0), "peer": Used(5.0, 0)}
    busy = {PEER: 1.0, LOAD: 1.0}
    found = changed(one("genset"), MANY, used=full, busy=busy, own_lag=own_lag, lag={"p99": lag})
    assert (found.flaw(MANY) is not None) == flawed


def test_latency_is_what_the_peer_adds_in_the_same_round() -> None:
    direct = changed(one(DIRECT), RATE, latency={"p50": 0.5, "p99": 2.0})
    slow = changed(one("genset"), RATE, latency={"p50": 0.75, "p99": 2.5})
    _, row = rows([direct, slow])
    assert (row.added_p50.median, row.added_p99.median) == (0.25, 0.5)
    assert rows([slow])[0].added_p50.median is None, "without a direct round nothing is known"


def test_failures_are_told_where_they_happen() -> None:
    broken = changed(one("genset"), MANY, errors={"closed": 2}, short=3)
    row = rows([broken])[0]
    assert row.errors == {MANY: {"closed": 2, "incomplete": 3}}
    assert row.many_lag.failures == 5
    assert "- genset, 1,200 streams of 100 chunks/s: 2 closed, 3 incomplete" in errors([row])
    assert "| 3.0, 5 errors |" in table([row], {})


def test_a_scenario_that_a_peer_cannot_do_is_an_honest_cell() -> None:
    nothing = replace(one("litellm"), runs={**one("litellm").runs, CROWD: Run.nothing("streams", "unfinished")})
    row = rows([nothing])[0]
    assert (row.crowd_lag.median, row.crowd_mib.median) == (None, None)
    assert "1 errors" in table([row], {})
    skipped = replace(nothing, number=1, runs={name: r for name, r in nothing.runs.items() if name != CROWD})
    assert rows([nothing, skipped])[0].errors == {CROWD: {"unfinished": 1}}


def test_a_window_that_mostly_failed_is_not_done_again() -> None:
    assert run("streams", requests=0, errors={"unfinished": 1200}).hopeless
    assert not run("streams", requests=1199, errors={"unfinished": 1}).hopeless


def test_goals() -> None:
    ours = one("genset", per_second=25_000.0, requests=125_000)
    held = {goal.text: goal.held for goal in goals(rows([one(DIRECT), ours, one("envoy"), one("vllm-router")]))}
    assert held == {
        "requests/s, whole answers, times envoy's": True,
        "requests/s, short streams, times envoy's": True,
        "requests/s, whole answers passed on, times envoy's": True,
        "chunks per CPU second, times envoy's": False,
        "added latency p99, ms above envoy's": True,
        "requests/s, whole answers, times vllm-router's": True,
        "requests/s, short streams, times vllm-router's": True,
        "requests/s, whole answers passed on, times vllm-router's": True,
        "700 streams: lag p99, vllm-router's times ours": False,
        "1,200 streams: errors": True,
        "1,200 streams: share of the offered chunks that arrived in time": False,
        "2,000 streams: MiB resident": True,
    }
    assert goals(rows([one("envoy")])) == []


def test_cheaper_chunks_and_smaller_lag_are_better() -> None:
    cheap = changed(one("genset"), CHUNKS, used={**run("").used, "peer": Used(0.5, 0)})
    quick = changed(cheap, MANY, lag={"p99": 1.0}, chunks_per_second=119_000.0)
    late = changed(quick, MANY, chunks_per_second=80_000.0)
    theirs = changed(one("vllm-router"), MANY, chunks_per_second=118_000.0)
    judged = {goal.text: goal for goal in goals(rows([quick, one("envoy"), theirs]))}
    assert not any("1,200 streams: lag" in goal.text for goal in goals(rows([late, theirs]))), "most had not begun"
    assert judged["chunks per CPU second, times envoy's"].measured == pytest.approx(2.0)
    assert judged["1,200 streams: lag p99, vllm-router's times ours"].measured == pytest.approx(3.0)
    failed = changed(quick, MANY, errors={"closed": 1})
    assert "- 1,200 streams: errors: 1.00, wanted at most 0: missed" in verdicts(goals(rows([failed])))


def test_failover_is_judged() -> None:
    found = FailoverResult(
        (
            CaseResult("refused", "refused", "connection refused", 100, 0, 0.4, 6.0, 7.0),
            CaseResult("fin", "cut", "stream ended between two events", 100, 1, 0.6, 6.0, 7.0),
        )
    )
    assert "| connection refused | 0.40 | 6.00 | 7.00 | 100 | 0 |" in failover_table(found)
    judged = goals([], found)
    assert [goal.held for goal in judged] == [False, True, False], "6 ms, 6 ms, and one answer was lost"


def test_the_reference_at_its_best_is_judged_too() -> None:
    ours = one("genset", per_second=25_000.0, requests=125_000)
    lean = one("vllm-router-lean", per_second=20_000.0, requests=100_000)
    judged = {goal.text: goal.held for goal in goals(rows([ours, one("vllm-router"), lean]))}
    assert judged["requests/s, whole answers, times vllm-router's"]
    assert not judged["requests/s, whole answers, times vllm-router-lean's"]


def test_table_shows_ratios_and_doubt() -> None:
    flawed = one("aiohttp", per_second=5_000.0, busy={PEER: 1.0, LOAD: 1.0})
    text = table(rows([one("genset"), flawed]), {"genset": "0.1.0", "aiohttp": "3.13"})
    assert "| genset 0.1.0 | 10,000 |" in text
    assert "| aiohttp 3.13 | 5,000 ! (0.50×) |" in text


def test_the_instrument_shows_its_own_limit() -> None:
    text = instrument([one(DIRECT), one("genset")])
    assert "| 1,200 streams of 100 chunks/s | 60 | 60 | 10.0 + 10.0 |" in text


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


def test_output_of_a_run_that_ended_before_its_window_is_understood() -> None:
    line = {
        "mode": "streams", "seconds": 0, "requests": 0, "per_second": 0, "errors": {"status 500": 3}, "connections": 3,
        "streams": {"wanted": 3, "complete": 0, "short": 0, "begun_in": 0, "chunks": 0, "per_second": 0,
                    "lag_ms": {"p50": 0, "p90": 0, "p99": 0, "max": 0}},
        "watched": None, "cores": None,
    }  # fmt: skip
    assert Run.parse(json.dumps(line)).failures == 3


def test_output_of_the_load_generator_is_understood() -> None:
    line = {
        "mode": "streams", "seconds": 3.0, "requests": 300, "per_second": 0, "errors": {"closed": 1}, "connections": 300,
        "streams": {"wanted": 300, "complete": 298, "short": 1, "begun_in": 1.1, "chunks": 90_000, "per_second": 30_000.0,
                    "lag_ms": {"p50": 0.5, "p90": 1, "p99": 2, "max": 3}, "turn_ms": {"p50": 0.25, "p99": 0.5},
                    "upstream_late_ms": {"p50": 0.1, "p99": 0.75}},
        "watched": {"load": {"cpu_seconds": 0.9, "rss_bytes": 1, "processes": 1},
                    "peer": {"cpu_seconds": 1.2, "rss_bytes": 2, "processes": 3}},
        "cores": {"0": {"busy": 0.5, "others": 0.1, "steal": 0.0}, "1": {"busy": 0.9, "others": 0.2, "steal": 0.1}},
    }  # fmt: skip
    found = Run.parse(json.dumps(line))
    assert (found.chunks, found.complete, found.failures, found.lag["p99"]) == (90_000, 298, 2, 2)
    assert found.own_lag == pytest.approx(1.25)
    assert (found.busy, found.others, found.begun_in) == ({0: 0.5, 1: 0.9}, {0: 0.1, 1: 0.2}, 1.1)
    assert found.share("load", "peer", "absent") == pytest.approx(0.7)
