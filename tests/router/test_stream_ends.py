"""Streams whose events come one by one, with time between them, over real sockets: what goes in comes out, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from genset.router.machine.patience import DEFAULT, Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import Response, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Segments, Status, Step

DONE = b"data: [DONE]\n\n"
STREAM = b"content-type: text/event-stream\r\n"
USAGE_COUNTS = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def event(choices: list[Any], **more: Any) -> bytes:
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + json.dumps({**base, **more}, separators=(",", ":")).encode() + b"\n\n"


def d(text: str, finish: Any = None) -> bytes:
    return event([{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


FINISH = event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event([], usage=USAGE_COUNTS)
CALL = event([{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}])


def streams(*parts: bytes | float, how: Any = "continue", head: bytes = STREAM, status: bytes = b"200 OK") -> Segments:
    """An answer in chunks: one for each part, unless it breaks off."""
    begin = b"HTTP/1.1 %b\r\n%btransfer-encoding: chunked\r\n\r\n" % (status, head)
    framed = [b"%x\r\n%b\r\n" % (len(part), part) if isinstance(part, bytes) else part for part in parts]
    return Segments((begin, *framed, *([b"0\r\n\r\n"] if how == "continue" else [])), how)


def whole(body: Any, head: bytes = b"content-type: application/json\r\n", status: bytes = b"200 OK") -> Segments:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Segments((b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, head, len(data), data),))


async def ask(
    tmp_path: Path,
    body: Any,
    *scripts: Iterable[Step],
    path: str = "/v1/chat/completions",
    timeouts: Timeouts = DEFAULT,
    shortcuts: bool = True,
) -> Response:
    """Of one cloud per script."""
    upstreams = [ScriptedUpstream(script=script) for script in scripts]
    for upstream in upstreams:
        await upstream.__aenter__()
    try:
        names = [cloud(upstream.base_url, f"c{number}") for number, upstream in enumerate(upstreams)]
        content = config(*names, failover={"maxAttempts": len(scripts)})
        async with RunningRouter(tmp_path, content, bounds=Bounds(attempts=timeouts), shortcuts=shortcuts) as router:
            return await router.ask(body, path)
    finally:
        for upstream in upstreams:
            await upstream.kill()


WAIT = 0.15
EXACT: dict[str, tuple[bytes | float, ...]] = {
    "the usual end": (d("a"), WAIT, d("b"), WAIT, FINISH, WAIT, USAGE, WAIT, DONE),
    "the end in two reads": (d("a"), WAIT, FINISH, 2 * WAIT, DONE),
    "an empty finish_reason in every event": (d("a", ""), WAIT, d("b", ""), WAIT, FINISH, WAIT, DONE),
    "stop in every event": (d("a", "stop"), WAIT, d("b", "stop"), WAIT, d("c", "stop"), WAIT, DONE),
    "text after the finish_reason": (d("a"), WAIT, FINISH, WAIT, d("b"), WAIT, d("c"), WAIT, FINISH, WAIT, DONE),
    "text after the finish_reason, and none again": (d("a"), FINISH, WAIT, d("b"), WAIT, DONE),
    "a tool call after the finish_reason": (d("a"), WAIT, FINISH, WAIT, CALL, WAIT, FINISH, WAIT, DONE),
    "usage before the finish_reason": (d("a"), WAIT, USAGE, WAIT, FINISH, WAIT, DONE),
    "ids and times to wait": (b"id: 1\n" + d("a"), WAIT, b"retry: 5\nid: 2\n" + FINISH, WAIT, DONE),
    "events cut in the middle": (
        d("a")[:30],
        WAIT,
        d("a")[30:] + FINISH[:9],
        WAIT,
        FINISH[9:],
        WAIT,
        DONE[:8],
        WAIT,
        DONE[8:],
    ),
    "half a character": (d("a"), WAIT, d("a").replace(b'"a"', rb'"\ud83d"'), WAIT, FINISH, WAIT, DONE),
    "an image": (event([{"index": 0, "delta": {"images": ["x" * 1_000_000]}}]), WAIT, FINISH, WAIT, DONE),
}


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("name", EXACT)
async def test_not_one_byte_of_ours_in_a_healthy_stream(tmp_path: Path, name: str, shortcuts: bool) -> None:
    parts = EXACT[name]
    answer = await ask(tmp_path, chat(), [streams(*parts)], shortcuts=shortcuts)
    assert answer.status == 200 and answer.ended == "clean"
    assert answer.body == b"".join(part for part in parts if isinstance(part, bytes))


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("name", EXACT)
async def test_the_same_answers_are_rebuilt(tmp_path: Path, name: str, shortcuts: bool) -> None:
    answer = await ask(tmp_path, chat(stream=False), [streams(*EXACT[name])], shortcuts=shortcuts)
    assert answer.status == 200, answer.body
    choice = answer.json["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert ("usage" in answer.json) == (USAGE in EXACT[name]), "nothing is made up"


@pytest.mark.parametrize("shortcuts", [True, False])
async def test_a_router_without_shortcuts_learns_nothing_of_its_answers(tmp_path: Path, shortcuts: bool) -> None:
    async with (
        ScriptedUpstream(script=[streams(d("a"), FINISH, USAGE, DONE)]) as upstream,
        RunningRouter(tmp_path, config(cloud(upstream.base_url)), shortcuts=shortcuts) as router,
    ):
        await router.ask(chat())
        (frames,) = router.table.backends["cloud"].learned.frames.values()
    assert frames.curious is not shortcuts


IGNORED = (b"data:\n\n", b"ping\n\n", b": c\n\n", b"event: x\ndata: \n\n", b"trace: 1\n\n")


async def test_what_the_standard_ignores_is_not_passed_on(tmp_path: Path) -> None:
    parts = [b"\xef\xbb\xbf"]
    for part in (d("a"), d("b"), FINISH, USAGE, DONE):
        parts += [*IGNORED, part]
    answer = await ask(tmp_path, chat(), [streams(*parts)])
    assert answer.body == d("a") + d("b") + FINISH + USAGE + DONE


async def test_the_first_token_has_one_time(tmp_path: Path) -> None:
    """It was that of [DONE] where that came in a read of its own, and so were the learned deadlines."""
    log = tmp_path / "access.log"
    async with (
        ScriptedUpstream(script=[streams(d("a"), 0.4, FINISH, 0.4, USAGE, 0.4, DONE)]) as upstream,
        RunningRouter(tmp_path, config(cloud(upstream.base_url)), log=log) as router,
    ):
        assert (await router.ask(chat())).body.endswith(DONE)
        known = router.table.backends["cloud"].deadlines.first_tokens
    line = json.loads(log.read_text().splitlines()[-1])
    assert line["firstTokenSeconds"] < 0.35
    assert len(known._values) == 1


SHORT_WAITS = Timeouts(finish=0.6, usage=1.2)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_wait_after_the_finish_is_a_silence(tmp_path: Path, stream: bool) -> None:
    parts = (d("a", "stop"), 0.4, d("b", "stop"), 0.4, d("c", "stop"), 0.4, d("d", "stop"), 0.8, USAGE, 0.3, DONE)
    answer = await ask(tmp_path, chat(stream), [streams(*parts)], timeouts=SHORT_WAITS)
    if stream:
        assert answer.body == b"".join(part for part in parts if isinstance(part, bytes))
    else:
        assert answer.json["choices"][0]["message"]["content"] == "abcd"
        assert answer.json["usage"] == USAGE_COUNTS


@pytest.mark.parametrize("stream", [True, False])
async def test_what_never_comes_is_left_out(tmp_path: Path, stream: bool) -> None:
    answer = await ask(tmp_path, chat(stream), [streams(d("a"), FINISH, how="stall")], timeouts=SHORT_WAITS)
    assert answer.status == 200 and b"usage" not in answer.body
    assert not stream or answer.body == d("a") + FINISH + DONE


@pytest.mark.parametrize("null", ["", 0, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_finish_reason_that_is_none_makes_nothing_whole(tmp_path: Path, stream: bool, null: Any) -> None:
    answer = await ask(tmp_path, chat(stream), [streams(d("a", null), 0.1, how="rst")])
    if stream:
        assert (
            answer.body.startswith(d("a", null))
            and DONE not in answer.body
            and b"upstream_stream_interrupted" in answer.body
        )
    else:
        assert answer.status == 502


async def test_text_after_a_finish_reason_that_breaks_off_is_a_break(tmp_path: Path) -> None:
    answer = await ask(tmp_path, chat(), [streams(d("a"), FINISH, 0.1, d("b"), 0.1, how="rst")])
    assert answer.body.startswith(d("a") + FINISH + d("b")) and DONE not in answer.body


# What is a stream

HEADS = (
    b"",
    b"content-type: text/plain\r\n",
    b"content-type: application/json\r\n",
    b"Content-Type: TEXT/EVENT-STREAM\r\n",
)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("begin", [b"", b"\n\n", b": hello\n\n", b"\xef\xbb\xbf", b"retry: 3\n\n"])
async def test_a_body_that_begins_like_a_stream_is_one(tmp_path: Path, head: bytes, stream: bool, begin: bytes) -> None:
    sent = begin + d("a") + FINISH + USAGE + DONE
    parts: list[bytes | float] = [sent[:1], 0.02, sent[1:4], 0.02, sent[4:]]
    answer = await ask(tmp_path, chat(stream), [streams(*parts, head=head)])
    assert answer.status == 200
    if stream:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.body.lstrip(b"\n") == d("a") + FINISH + USAGE + DONE
    else:
        assert answer.json["choices"][0]["message"]["content"] == "a"


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
WHOLE = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE_COUNTS}


@pytest.mark.parametrize("head", [b"content-type: application/json\r\n", STREAM, b""])
@pytest.mark.parametrize("status", [b"200 OK", b"201 Created"])
async def test_a_whole_answer_to_a_stream_request_becomes_a_stream(tmp_path: Path, head: bytes, status: bytes) -> None:
    answer = await ask(tmp_path, chat(), [whole(WHOLE, head, status)])
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream"
    assert answer.text == "hi" and answer.finish_reason == "stop" and answer.usage == USAGE_COUNTS and answer.done
    answer = await ask(tmp_path, {**chat(), "stream_options": None}, [whole(WHOLE, head, status)])
    assert answer.text == "hi" and answer.usage is None and answer.done


async def test_a_whole_legacy_completion_becomes_a_stream(tmp_path: Path) -> None:
    choices = [{"index": n, "text": text, "logprobs": None, "finish_reason": "stop"} for n, text in enumerate("ab")]
    body = {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": choices}
    asked = {"model": "counting", "prompt": "x", "n": 2, "stream": True}
    answer = await ask(tmp_path, asked, [whole(body)], path="/v1/completions")
    said = [json.loads(one.data)["choices"][0] for one in answer.events if one.data.startswith("{")]
    assert "".join(choice["text"] for choice in said) == "ab" and answer.body.endswith(DONE)


@pytest.mark.parametrize("status", [b"201 Created", b"202 Accepted"])
async def test_a_201_with_a_body_is_an_answer(tmp_path: Path, status: bytes) -> None:
    for head in (b"content-type: application/json\r\n", b"content-type: text/plain\r\n", b"", STREAM):
        answer = await ask(tmp_path, chat(stream=False), [whole(WHOLE, head, status)])
        assert answer.json == WHOLE and answer.headers["content-type"] == "application/json"
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
    asked = {"model": "counting", "input": "a"}
    assert (await ask(tmp_path, asked, [whole(vectors, status=status)], path="/v1/embeddings")).json == vectors
    answer = await ask(tmp_path, chat(), [streams(d("a"), FINISH, DONE, status=status)])
    assert answer.body == d("a") + FINISH + DONE


# A 200 that is none

NONE: dict[str, Any] = {
    "FastAPI's": {"detail": "Not authenticated"},
    "a code": {"code": 500},
    "object error": {"object": "error", "message": "no"},
    "empty": {},
    "no choice": {"choices": [], "data": []},
}


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize(
    "body", [chat(), chat(stream=False), {"model": "counting", "input": "a"}], ids=["stream", "whole", "vectors"]
)
async def test_a_200_that_is_no_answer_goes_on_to_the_next(tmp_path: Path, name: str, body: dict[str, Any]) -> None:
    path = "/v1/embeddings" if "input" in body else "/v1/chat/completions"
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]}
    good: Step = whole(vectors) if "input" in body else Answer(words=3)
    answer = await ask(tmp_path, body, [whole(NONE[name])], [good], path=path)
    assert answer.status == 200 and answer.headers["x-genset-backend"] == "c1"
    lone = await ask(tmp_path, body, [whole(NONE[name])], path=path)
    assert lone.status >= 400 and lone.json["error"]


@pytest.mark.parametrize("status", [200, 204])
async def test_an_answer_without_a_body_goes_on_to_the_next(tmp_path: Path, status: int) -> None:
    answer = await ask(tmp_path, chat(), [Status(status, "")], [Answer(words=3)])
    assert answer.headers["x-genset-backend"] == "c1" and answer.done


async def test_an_error_event_of_another_form_is_never_forwarded(tmp_path: Path) -> None:
    for chunk in ({"object": "error", "message": "no"}, {"detail": "no"}, {"code": 500}):
        bad = b"data: " + json.dumps(chunk).encode() + b"\n\n"
        first = await ask(tmp_path, chat(), [streams(bad, DONE)], [Answer(words=3)])
        assert first.headers["x-genset-backend"] == "c1" and first.done
        later = await ask(tmp_path, chat(), [streams(d("a"), 0.1, bad, DONE)])
        assert later.body.startswith(d("a")) and bad not in later.body and DONE not in later.body


async def test_a_client_whose_answer_broke_asks_again_on_the_same_connection(tmp_path: Path) -> None:
    """The body of the broken stream has ended; a close behind it would meet the client's next request."""
    async with (
        ScriptedUpstream(script=[Answer(brk=Break("fin", after_chunks=2))]) as upstream,
        RunningRouter(tmp_path, config(cloud(upstream.base_url), failover={"continueStreams": False})) as router,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        broken = await http.post(router.chat_url, json=chat())
        (before,) = router.connections
        whole = await http.post(router.chat_url, json=chat())
        assert list(router.connections) == [before]
    assert "upstream_stream_interrupted" in broken.text and "[DONE]" not in broken.text
    assert whole.text.endswith("data: [DONE]\n\n")
