"""A client that leaves, at every state of its request: what runs upstream is cancelled at once, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genset.router.machine.decisions import Phase
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import Exchange, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, OnAccept, Silence, Step
from testbed.upstream.tls import Authority

AT_ONCE = 1.0  # seconds, on a machine with other work to do
FINISHED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


@dataclass(frozen=True)
class State:
    """How a request gets into a state, and what shows that it is there.

    `first`, `second`: what the backends do. `asked`: how many requests each has then. `text`: words that the client has.
    `busy`: another request that has the only place. `silent`: the first backend takes connections and no handshake.
    """

    name: str
    first: Step = field(default_factory=Answer)
    second: Step | None = None
    asked: tuple[int, int] = (1, 0)
    text: int = 0
    busy: bool = False
    silent: bool = False
    more: dict[str, Any] = field(default_factory=dict)  # of the first backend
    limits: dict[str, Any] = field(default_factory=dict)
    ready: Callable[[Any], bool] = lambda exchange: True
    stream_only: bool = False
    runs: bool = True  # something runs upstream that is to be cancelled


LONG = Answer(words=1000, interval=0.02)
CUT = Answer(words=20, brk=Break("fin", after_chunks=3))

STATES = [
    State("queued in the router", LONG, busy=True, limits={"maxInFlight": 1}, runs=False),
    State("waiting for a backend", LONG, busy=True,
          more={"balancing": {"maxInFlightPerEndpoint": 1, "queueSeconds": 60}}, ready=lambda e: e._waiting is not None,
          runs=False),
    State("connecting", silent=True, asked=(0, 0), ready=lambda e: e._call._task is not None, runs=False),
    State("pausing before the same backend", steps.rate_limited(retry_after=2),
          ready=lambda e: e._call._timer is not None, runs=False),
    State("waiting for headers", Silence(headers=False)),
    State("waiting for the first token", Silence()),
    State("in the stream", LONG, text=3, stream_only=True),
    State("in an answer that is rebuilt", LONG),
    State("after the finish_reason", Answer(words=3, finish_reason=None, brk=Break("stall", after_chunks=3, send=FINISHED)),
          text=3, stream_only=True, ready=lambda e: e.machine.phase == Phase.FINISH),
    State("at the second backend", steps.server_error(501), LONG, asked=(1, 1)),
    State("while another writes on, before its first token", CUT, Silence(), asked=(1, 1), text=3, stream_only=True),
    State("while another writes on", CUT, Answer(words=1000, interval=0.02), asked=(1, 1), text=6, stream_only=True),
]  # fmt: skip

CASES = [
    pytest.param(state, stream, reset, id=f"{state.name}-{'stream' if stream else 'whole'}-{'rst' if reset else 'fin'}")
    for state in STATES
    for stream in (True, False)
    for reset in (False, True)
    if stream or not state.stream_only
]


@pytest.mark.parametrize(("state", "stream", "reset"), CASES)
async def test_what_runs_upstream_is_cancelled_at_once(tmp_path: Path, state: State, stream: bool, reset: bool) -> None:
    log = tmp_path / "log"
    async with AsyncExitStack() as stack:
        authority = Authority()
        accept = OnAccept("silent") if state.silent else None
        first = await stack.enter_async_context(
            ScriptedUpstream(default=state.first, tls=authority if state.silent else None, every_accept=accept)
        )
        backends = [house(first.base_url, url={"caFile": "ca"} if state.silent else {}, **state.more)]
        second = await stack.enter_async_context(ScriptedUpstream(default=state.second or Answer()))
        if state.second is not None:
            backends.append(cloud(second.base_url, continuation="Prefill"))
        content = config(*backends, limits=state.limits)
        files = {"ca": authority.ca_pem} if state.silent else None
        router = await stack.enter_async_context(RunningRouter(tmp_path, content, files, log=log))
        other: Exchange | None = None
        if state.busy:
            other = await stack.enter_async_context(client.stream(router.chat_url, chat()))
            await other.until_text(1)
        known = set(router.exchanges)

        async with client.stream(router.chat_url, chat(stream=stream)) as leaving:
            if state.text:
                await leaving.until_text(state.text)
            await until(lambda: bool(router.exchanges - known), what="the request")
            (exchange,) = router.exchanges - known
            asked = (len(first.requests), len(second.requests))
            await until(
                lambda: (len(first.requests), len(second.requests)) == state.asked, what=f"{state.asked}, not {asked}"
            )
            await until(lambda: state.ready(exchange), what=f"the state `{state.name}`")
            leaving.leave(reset=reset)
            await until(lambda: exchange not in router.exchanges, within=AT_ONCE, what="the end of the request")

            last = second if state.asked[1] else first
            if state.runs:
                await last.until(lambda: last.requests[-1].client_left_at is not None, within=AT_ONCE)
        if other is not None:
            other.leave()
        await until(lambda: not router.exchanges, within=AT_ONCE)
        assert router.gate.in_flight == router.gate.queued == 0
        table = router.table
        assert table is not None
        for backend in table.backends.values():
            assert [endpoint.in_flight for endpoint in backend.endpoints] == [0], f"{backend.name} holds a place"
            assert not backend.line, "somebody who has left still stands in line"
        if state.first is LONG or isinstance(state.first, Silence):
            assert table.backends["house"].breaker.state.name == "CLOSED", (
                "a client that left was held against a backend"
            )
        await until(lambda: not router.running_out)
        assert (await router.admin("/-/healthy")).status == 200
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["status"], line["error"]) for line in lines} == {(499, "caller_gone")}
    assert len(lines) == 1 + state.busy
