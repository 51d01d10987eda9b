"""A server's own metrics say whether it is idle; what says nothing is in use."""

from __future__ import annotations

import math

import pytest

from genset.engines.base import WorkMetrics
from genset.status.work import ServerWork, read

METRICS = WorkMetrics("/metrics", running=("running", "waiting"), done=("tokens_total", "prompts_total"))


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (b"running 0\nwaiting 0\ntokens_total 5\nprompts_total 2\n", ServerWork(False, 7)),
        (b"running 1\nwaiting 0\n", ServerWork(True, 0)),
        (b"running 0\nwaiting 3\n", ServerWork(True, 0)),
        (b'running 0\nwaiting 0\ntokens_total{a="x y"} 5\ntokens_total{a="z"} 6 1700000000\n', ServerWork(False, 11)),
        (b"# HELP running of\n# TYPE running gauge\nrunning 0\nwaiting 0.0\n", ServerWork(False, 0)),
        (b"running 0\nwaiting 0\nrunning_more 9\ntokens_total_bucket 9\n", ServerWork(False, 0)),
        (b"running 0\n", None),
        (b"", None),
        (b"\xff\xfe<html>", None),
    ],
)
def test_read(page: bytes, told: ServerWork | None) -> None:
    assert read(page, METRICS) == told


def test_what_is_no_number_is_never_the_same_twice() -> None:
    found = read(b"running 0\nwaiting 0\ntokens_total NaN\n", METRICS)
    assert found is not None and math.isnan(found.done)
    assert found != read(b"running 0\nwaiting 0\ntokens_total NaN\n", METRICS)
    broken = read(b"running none\nwaiting 0\n", METRICS)
    assert broken is not None and broken.busy
