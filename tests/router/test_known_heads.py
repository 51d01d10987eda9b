"""Answers under a head that was sent before: nobody sees that the parser did not read them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import httptools
import pytest

from testbed.router import RunningRouter, config, house
from testbed.upstream.client import HttpConnection, Response, chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Raw, Step

PATH = "/v1/chat/completions"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def question(number: int, **more: Any) -> dict[str, Any]:
    """Another one every time, and of another length."""
    return chat(messages=[{"role": "user", "content": "x" * number}], **more)


def echo(received: Received) -> Step:
    """An answer in one write: the length of the question, streamed where it was asked for."""
    length = len(received.json["messages"][0]["content"])
    base = {"id": f"id-{length}", "object": "chat.completion", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    if not received.json.get("stream"):
        message = {"role": "assistant", "content": str(length)}
        body = json.dumps(base | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        return Raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body), "continue")
    choices = [{"delta": {"content": str(length)}}, {"delta": {}, "finish_reason": "stop"}]
    events = [base | {"choices": [{"index": 0, "finish_reason": None} | choice]} for choice in choices]
    lines = [json.dumps(event) for event in (*events, base | {"choices": [], "usage": usage})]
    framed = b"".join(b"%x\r\ndata: %b\n\n\r\n" % (len(line) + 8, line.encode()) for line in (*lines, "[DONE]"))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return Raw(b"%b%b0\r\n\r\n" % (head, framed), "continue")


def forget_the_parsers(router: RunningRouter) -> None:
    """Whoever asks that of an upstream connection from here on gets an exception."""
    for connection in router.table.backends["house"].endpoints[0].idle:
        with contextlib.suppress(httptools.HttpParserError):  # nobody asked; from here on it refuses everything
            connection.reader._parser.feed_data(b"HTTP/1.1 200")


WAYS = [
    pytest.param({"stream": True}, id="stream"),
    pytest.param({"stream": False}, id="rebuilt from a stream"),
    pytest.param({"stream": False, "best_of": 2}, id="passed on"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_every_question_gets_its_own_answer(tmp_path: Path, way: dict[str, Any]) -> None:
    async with (
        ScriptedUpstream(choose=echo) as upstream,
        RunningRouter(tmp_path, config(house(upstream.base_url))) as r,
    ):
        client = await HttpConnection.open(r.url)

        async def ask(number: int, **headers: str) -> Response:
            exchange = await client.start(PATH, question(number, **way), {"user-agent": "test", **headers})
            return await exchange.whole()

        for number in (1, 20, 300):
            assert (await ask(number)).text == str(number)
        forget_the_parsers(r)
        for number in (2, 4000, 3):
            answer = await ask(number)
            assert (answer.status, answer.text) == (200, str(number)), f"a client saw {answer}"
        client.close()
    assert [len(each.json["messages"][0]["content"]) for each in upstream.requests] == [1, 20, 300, 2, 4000, 3]
    assert upstream.accepted == 1, "the connection to the upstream was not kept"


async def test_each_request_has_its_own_head(tmp_path: Path) -> None:
    """Headers that changed are those of the new request, and a refusal of one does not stay with the next."""
    async with (
        ScriptedUpstream(choose=echo) as upstream,
        RunningRouter(tmp_path, config(house(upstream.base_url))) as r,
    ):
        client = await HttpConnection.open(r.url)
        for number, trace in enumerate([TRACE, TRACE, TRACE, TRACE.replace("b7", "c8"), "nonsense", "nonsense", TRACE]):
            headers = {"traceparent": trace, "x-request-id": f"mine-{number // 2}"}
            answer = await (await client.start(PATH, question(number), headers)).whole()
            assert answer.text == str(number)
            assert answer.headers["x-request-id"] == f"mine-{number // 2}"
            sent = upstream.requests[-1].headers
            assert sent["x-request-id"] == f"mine-{number // 2}"
            assert sent.get("traceparent") == (trace if trace != "nonsense" else None)
        client.close()
