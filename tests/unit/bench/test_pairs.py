"""From turns to ratios: what a turn's neighbours did to it does not decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.measure import Run, Used
from bench.pairs import compared
from bench.scenarios import CHUNKS, WHOLE
from bench.summary import Round

CALM = Run(
    mode="saturate", seconds=1.0, requests=1_000, per_second=1_000.0, errors={}, latency={}, chunks=0, chunks_per_second=0.0,
    complete=0, short=0, lag={}, used={"load": Used(0.3, 0), "upstream": Used(0.3, 0), "peer": Used(0.9, 0)},
    busy={0: 0.6, 1: 0.9}, others={0: 0.0, 1: 0.0},
)  # fmt: skip
DISTURBED = {"busy": {0: 0.6, 1: 1.0}, "others": {0: 0.0, 1: 0.4}, "used": {**CALM.used, "peer": Used(0.5, 0)}}


def turn(number: int, scenario: str = WHOLE, **runs: Run) -> dict[str, Round]:
    return {peer: Round(peer, number, {scenario: run}, 0, load_core=0, peer_core=1) for peer, run in runs.items()}


def at(rate: float, **more: object) -> Run:
    return replace(CALM, per_second=rate, **more)  # type: ignore[arg-type]


def test_ratios_are_of_one_turn() -> None:
    turns = [
        turn(0, ours=at(3_000), other=at(2_000)),
        turn(1, ours=at(300), other=at(200)),
        turn(2, ours=at(99), other=at(66)),
    ]
    (found,) = compared(turns, WHOLE, ["ours", "other"])
    assert found.ratios == [1.5, 1.5, 1.5] and found.flawed == 0
    assert str(found) == "whole: ours to other: 1.500 (half of 3 turns from 1.500 to 1.500)"


def test_disturbed_turns_count_only_where_there_is_no_other() -> None:
    calm = [turn(n, ours=at(2_000), other=at(1_000)) for n in range(2)]
    disturbed = [
        turn(2, ours=at(500, **DISTURBED), other=at(1_000)),
        turn(3, ours=at(1_000), other=at(900, errors={"cut": 1})),
    ]
    (found,) = compared([*calm, *disturbed], WHOLE, ["ours", "other"])
    assert found.ratios == [2.0, 2.0] and found.flawed == 2
    (found,) = compared(disturbed, WHOLE, ["ours", "other"])
    assert found.ratios == [0.5, pytest.approx(10 / 9)] and "2 turns were disturbed" in str(found)


def test_streams_are_compared_by_what_a_chunk_costs() -> None:
    cheap, dear = (
        at(0, mode="streams", chunks=3_000, used={**CALM.used, "peer": Used(cost, 0)}, busy={}, others={0: 0, 1: 0})
        for cost in (0.2, 0.3)
    )
    (found,) = compared([turn(n, CHUNKS, ours=cheap, other=dear) for n in range(2)], CHUNKS, ["ours", "other"])
    assert found.ratios == [pytest.approx(1.5)] * 2


def test_a_peer_that_passed_nothing_is_no_division_by_zero() -> None:
    (found,) = compared([turn(0, ours=at(1_000), other=at(0.0, errors={"refused": 9}))], WHOLE, ["ours", "other"])
    assert found.ratios == [] and "fewer than two turns" in str(found)
