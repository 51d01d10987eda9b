"""The process stands still (a snapshot of its machine, no CPU to be had): nobody else is blamed for the time."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house, spawn, until
from testbed.upstream import client
from testbed.upstream.client import chat
from testbed.upstream.counting import counted
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

PATIENCE = {"firstTokenSeconds": 1, "stallSeconds": 1, "totalSeconds": 4.5}
STILL = 2.0  # longer than each of its deadlines but the last


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(Answer(words=15, interval=0.1), {}, id="a running stream"),
        pytest.param(Answer(words=5, first_delay=0.8), {}, id="a stream before its first token"),
        pytest.param(Answer(words=15, interval=0.1), {"stream": False}, id="a whole answer"),
    ],
)
async def test_a_machine_that_pauses_costs_no_backend_its_streams(
    tmp_path: Path, answer: Answer, body: dict[str, Any]
) -> None:
    """Router and model server stand still together, as on one virtual machine. The log tells how long the client waited."""
    lines = tmp_path / "access.log"
    async with ScriptedUpstream(default=answer) as local, ScriptedUpstream() as far:
        content = config(house(local.base_url), cloud(far.base_url), failover=PATIENCE)
        async with RunningRouter(tmp_path, content, log=lines) as router:
            asking = asyncio.ensure_future(router.ask(chat(**body)))
            await until(lambda: len(local.requests) > 0)
            await asyncio.sleep(0.3)
            time.sleep(STILL)  # noqa: ASYNC251 - what the test is about
            response = await asyncio.wait_for(asking, 10)
            assert response.text == counted(answer.words), response
            assert not far.requests, "the cloud was asked though the house did nothing wrong"
    told = json.loads(lines.read_text())
    (attempt,) = told["attempts"]
    assert attempt.startswith("house:ok"), told
    assert told["seconds"] > STILL, told


async def test_a_router_alone_that_is_stopped_goes_on_with_what_has_come(tmp_path: Path) -> None:
    """The model server wrote on while nobody read."""
    async with ScriptedUpstream(default=Answer(words=50, interval=0.1)) as local, ScriptedUpstream() as far:
        content = config(house(local.base_url), cloud(far.base_url), failover={**PATIENCE, "totalSeconds": 20})
        process, port, admin = await spawn(tmp_path, content)
        try:
            async with client.stream(f"http://127.0.0.1:{port}/v1/chat/completions", chat()) as running:
                await running.until_text(3)
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(STILL)
                process.send_signal(signal.SIGCONT)
                response = await asyncio.wait_for(running.whole(), 10)
            assert response.text == counted(50), response
            assert not far.requests, "the cloud was asked though the house did nothing wrong"
            lag = (await client.request(f"http://127.0.0.1:{admin}/metrics")).body.decode()
            late = next(line for line in lag.splitlines() if line.startswith("genset_router_loop_lag_seconds_sum"))
            assert float(late.split()[1]) > STILL - 0.5, late
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            await asyncio.wait_for(process.wait(), 10)


async def test_a_slow_client_is_not_blamed_either(tmp_path: Path) -> None:
    """It sends half of its request, and the rest after the pause."""
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        reader, writer = await asyncio.open_connection("127.0.0.1", router.router.listen_port)
        body = json.dumps(chat(stream=False)).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body[:10])
        await until(lambda: any(c.busy for c in router.connections))
        (connection,) = router.connections
        connection.mark -= 28  # seconds of silence; 30 are too many
        time.sleep(STILL)  # noqa: ASYNC251 - what the test is about
        await asyncio.sleep(1.2)  # the sweep looks at connections once a second
        writer.write(body[10:])
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        writer.close()
