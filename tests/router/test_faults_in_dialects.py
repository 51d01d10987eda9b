"""The fault exam in the APIs of Anthropic's and OpenAI's newer clients: the same faults, the same trails, their own words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Final

import pytest

from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, config, until
from tests.router.test_faults import FAULTS, Fault, backends_of
from tests.support.router.dialects import DIALECTS

#: Status and code of OpenAI's form -> status and type of Anthropic's.
MESSAGES: Final = {
    "429 upstream_rate_limited": "429 rate_limit_error",
    "400 context_length_exceeded": "400 invalid_request_error",
    "400 content_filter": "400 invalid_request_error",
    "400 invalid_value": "400 invalid_request_error",
    "502 upstream_unreachable": "502 api_error",
    "504 upstream_timeout": "504 timeout_error",
}
#: The way to a backend is the same for every API; each of these takes seconds.
ROWS: Final = [name for name, fault in FAULTS.items() if not fault.way]


@pytest.mark.parametrize("name", ROWS)
async def test_what_a_client_sees_of_each_fault(tmp_path: Path, name: str) -> None:
    runs = [(dialect, stream) for dialect in DIALECTS for stream in (True, False)]
    await asyncio.gather(*(exam(tmp_path / f"{run[0]}-{run[1]}", FAULTS[name], *run) for run in runs))


async def exam(folder: Path, fault: Fault, name: str, stream: bool) -> None:
    folder.mkdir()
    log, dialect = folder / "log", DIALECTS[name]
    wanted = fault.whole_sees or fault.sees if not stream else fault.sees
    if name == "messages":
        wanted = MESSAGES.get(wanted, wanted)
    async with contextlib.AsyncExitStack() as stack:
        backends, files = await backends_of(stack, fault)
        content, bounds = config(*backends, failover=fault.failover), Bounds(attempts=Timeouts(usage=1.0))
        router = await stack.enter_async_context(RunningRouter(folder, content, files, log=log, bounds=bounds))
        for _ in range(fault.requests):
            async with asyncio.timeout(fault.seconds + 3):
                seen = dialect.seen(await router.ask(dialect.body(stream=stream), dialect.path))
            assert seen.verdict == wanted, (name, stream, seen)
            assert fault.text.startswith(seen.text) if seen.verdict == "told" else seen.text in ("", fault.text)
            assert seen.verdict != "whole" or seen.text == fault.text, (name, stream, seen)
        await until(lambda: not router.exchanges and not router.running_out, what="the end")
    first = json.loads(log.read_text().splitlines()[0])
    trail = " ".join(step.rsplit(":", 1)[0] for step in first["attempts"])
    assert trail == (fault.whole_trail or fault.trail if not stream else fault.trail), (name, stream)
    assert first["request"] == f"POST {dialect.path}"
