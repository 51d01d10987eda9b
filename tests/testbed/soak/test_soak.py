"""A short soak among the tests; `make soak` is the long one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from testbed.soak.run import Plan, soak


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.mark.timeout(180)
async def test_nothing_is_lost_and_nothing_grows_in_half_a_minute_of_faults(tmp_path: Path) -> None:
    summary = await soak(Plan(calibrate=4, warm_up=12, soak=45, full=False), tmp_path, lambda line: None)
    print("\n".join(summary.lines()))
    assert not summary.violations(), "\n".join(summary.lines())
    assert summary.tally.whole > 500, summary.tally
