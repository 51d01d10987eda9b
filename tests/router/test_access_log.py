"""The access log: a line per request with everything that happened, and no word of prompt or answer."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from genset.router.process.options import Bounds
from genset.router.telemetry.access_log import LogBounds
from genset.router.telemetry.log_line import FIELDS
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import client, steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Raw, Reset, Silence, Status, Step

CANARY = "canary-4f0b"  # in the prompt and in every answer
LEGS = (CANARY, CANARY.encode().hex(), CANARY.upper())


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_a_line_tells_of_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    upstreams = ScriptedUpstream(default=steps.server_error(501)), ScriptedUpstream(default=Answer(interval=0.01))
    async with (
        upstreams[0] as ill,
        upstreams[1] as well,
        RunningRouter(tmp_path, config(house(ill.base_url), cloud(well.base_url)), log=log) as router,
    ):
        answer = await router.ask(
            chat(), headers={"x-request-id": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        )
        assert answer.complete
    (line,) = lines(log)
    assert list(line) == list(FIELDS)
    told = {name: line[name] for name in ("id", "traceId", "operation", "route", "model", "stream", "status", "error")}
    assert told == {
        "id": "mine", "traceId": "a" * 32, "operation": "chat", "route": "route", "model": "counting", "stream": True,
        "status": 200, "error": "",
    }  # fmt: skip
    assert (line["backend"], line["tier"], line["reason"]) == ("cloud", 1, "provider_unsupported")
    assert line["endpoint"] == f"127.0.0.1:{well.port}" and line["detail"].startswith(
        'answered 501 "The server had an error'
    )
    assert [step.rsplit(":", 1)[0] for step in line["attempts"]] == ["house:unsupported", "cloud:ok"]
    assert line["continuations"] == 0 and line["waitedSeconds"] == 0
    assert 0 <= line["queueSeconds"] < line["firstTokenSeconds"] < line["seconds"] < 5
    assert 0.005 < line["timePerOutputTokenSeconds"] < 1 and line["outputTokens"] == 10


async def test_a_continued_answer_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    cut = Answer(words=20, brk=Break("fin", after_chunks=7))
    async with (
        ScriptedUpstream(default=cut) as one,
        ScriptedUpstream(default=Answer(words=20)) as two,
        RunningRouter(
            tmp_path, config(house(one.base_url), cloud(two.base_url, continuation="Prefill")), log=log
        ) as router,
    ):
        assert (await router.ask(chat())).complete
        text = (await router.admin("/metrics")).body.decode()
    assert 'genset_router_continuations_total{outcome="completed"} 1.0' in text
    (line,) = lines(log)
    assert (line["continuations"], line["status"], line["error"], line["backend"]) == (1, 200, "", "cloud")
    assert [step.rsplit(":", 1)[0] for step in line["attempts"]] == ["house:interrupted", "cloud:ok"]
    assert line["outputTokens"] == 20


async def test_the_wait_for_a_place_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    limits = {"maxInFlight": 1}
    async with (
        ScriptedUpstream(default=Answer(first_delay=0.3)) as local,
        RunningRouter(tmp_path, config(house(local.base_url), limits=limits), log=log) as router,
    ):
        await asyncio.gather(*(router.ask(chat()) for _ in range(2)))
    first, second = lines(log)
    assert first["queueSeconds"] < 0.1 and 0.2 < second["queueSeconds"] < second["seconds"]


async def test_a_client_that_left_and_one_that_no_route_took(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        ScriptedUpstream(default=Silence()) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), log=log) as router,
    ):
        async with client.stream(router.chat_url, chat()) as leaving:
            await local.until(lambda: len(local.requests) == 1)
            leaving.leave()
        await until(lambda: not router.exchanges)
        await router.ask(chat(model="nobody" * 100))
    gone, unknown = lines(log)
    assert (gone["status"], gone["error"], gone["attempts"][0][:15]) == (499, "caller_gone", "house:cancelled")
    assert (unknown["status"], unknown["error"], unknown["route"]) == (404, "policy_model_not_found", "")
    assert len(unknown["model"]) == 128 and unknown["attempts"] == []


def whole(content: Any) -> Status:
    message = {"role": "assistant", "content": content}
    return Status(200, {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def stream(*events: bytes) -> Raw:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return Raw(head + b"".join(b"data: %b\n\n" % event for event in events))


SAID = CANARY.encode()
DELTA = b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}' % SAID
LEAKS: list[Step] = [
    Answer(texts=(CANARY,)),
    Answer(texts=(CANARY, CANARY), brk=Break("fin", after_chunks=1)),
    Answer(texts=(CANARY, CANARY), brk=Break("end", after_chunks=1, send=steps.in_band_error(CANARY, CANARY))),
    Answer(texts=(CANARY,), brk=Break("end", after_chunks=0, send=steps.in_band_error(CANARY, CANARY))),
    whole(CANARY),
    whole([CANARY]),
    Status(200, {"error": {"message": CANARY, "type": CANARY, "code": CANARY}}),
    Status(200, {"error": CANARY}),
    *(Status(code, steps.error_body(CANARY, CANARY, CANARY), {"x": CANARY}) for code in (400, 401, 404, 429, 500, 503)),
    Status(400, CANARY),
    Status(302, CANARY, {"location": f"http://{CANARY}/"}),
    Raw(SAID + b"\r\n\r\n"),
    Raw(b"HTTP/1.1 200 %b\r\n%b\r\n\r\n" % (SAID, SAID)),
    stream(SAID),
    stream(DELTA, SAID),
    stream(DELTA, b'"%b"' % SAID),
    stream(DELTA, b'{"choices":["%b"]}' % SAID),
    stream(DELTA, b'{"choices":[{"index":"%b"}]}' % SAID),
    stream(DELTA, b'{"choices":[{"index":0,"delta":"%b","finish_reason":"%b"}]}' % (SAID, SAID)),
    stream(b'{"choices":[{"index":0,"delta":{"content":{"%b":1},"tool_calls":"%b"},"finish_reason":"stop"}]}' % (SAID, SAID)),
    Reset(),
]  # fmt: skip


def is_of_errors(step: Step) -> bool:
    """Whether the backend says an error's words inside a 200."""
    return isinstance(step, Answer) and step.brk is not None and bool(step.brk.send)


@pytest.mark.parametrize("step", LEAKS, ids=[f"{type(step).__name__}-{n}" for n, step in enumerate(LEAKS)])
@pytest.mark.parametrize("asked", [True, False], ids=["stream", "whole"])
async def test_no_word_of_prompt_or_answer_gets_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: Step, asked: bool
) -> None:
    """Whatever backends send, in whatever place: not in the log of requests, the router's own, /-/state and metrics.

    But for the words of errors, which a person needs: they stand in the line's `detail` and in the failures of /-/state.
    """
    log = tmp_path / "log"
    caplog.set_level("DEBUG", "genset")
    async with (
        ScriptedUpstream(default=step) as one,
        ScriptedUpstream(default=step) as two,
        RunningRouter(tmp_path, config(house(one.base_url), cloud(two.base_url)), log=log) as router,
    ):
        body = chat(stream=asked, messages=[{"role": "user", "content": CANARY}], user=CANARY)
        await router.ask(body, headers={"authorization": f"Bearer {CANARY}", "x-conversation-id": CANARY}, within=15)
        shown = [(await router.admin(path)).body.decode() for path in ("/metrics", "/-/config")]
        state = (await router.admin("/-/state")).json
    (line,) = lines(log)
    assert CANARY not in line["detail"].partition(' "')[0], "the router's own words hold the backend's"
    if not isinstance(step, Status) and not is_of_errors(step):
        assert CANARY not in line["detail"]
        assert CANARY not in str(state)
    for backend in state["backends"].values():
        for failure in backend["failures"]:
            assert CANARY not in failure["detail"] and "x" not in failure["headers"]
            for told in ("words", "body", "headers"):
                del failure[told]
    shown += [json.dumps({**line, "detail": ""}), json.dumps(state), caplog.text]
    for text in shown:
        assert not any(leg in text for leg in LEGS), text


async def test_a_reader_that_sleeps_costs_lines_and_no_request(tmp_path: Path) -> None:
    bounds = Bounds(log=LogBounds(batches=1))
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with (
            ScriptedUpstream(default=Answer(words=1)) as local,
            RunningRouter(tmp_path, config(house(local.base_url)), log=pipe, bounds=bounds) as router,
        ):
            loop = asyncio.get_running_loop()
            slowest, asked = 0.0, 0
            while not router.metrics.log_lines_dropped:
                began = loop.time()
                answers = await asyncio.gather(*(router.ask(chat(stream=False)) for _ in range(20)))
                slowest = max(slowest, loop.time() - began)
                asked += len(answers)
                assert all(answer.complete for answer in answers)
                assert asked < 5000, "a full pipe was never noticed"
            assert slowest < 20, "whoever waits for a pipe that nobody reads waits for ever"
            text = (await router.admin("/metrics")).body.decode()
            assert f"genset_router_log_lines_dropped_total {float(router.metrics.log_lines_dropped)}" in text
            whole, _, rest = os.read(reader, 1_000_000).rpartition(b"\n")
            assert whole and all(json.loads(line)["status"] == 200 for line in whole.splitlines()), rest
    finally:
        os.close(reader)
