"""Answers in another form than was asked for, over real sockets: what the client wanted becomes of each, or a failure."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from genset.router.machine.patience import Timeouts
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Step
from tests.router.test_stream_ends import (
    DONE,
    FINISH,
    STREAM,
    USAGE,
    USAGE_COUNTS,
    WHOLE,
    ask,
    d,
    event,
    streams,
    whole,
)

BOM = b"\xef\xbb\xbf"
JSON = b"content-type: application/json\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


#: A whole answer's bytes on the wire, and the header that says so.
FORMS: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "gzip": (gzip.compress, b"content-encoding: gzip\r\n"),
    "deflate": (zlib.compress, b"content-encoding: deflate\r\n"),
    "raw deflate": (raw_deflate, b"content-encoding: deflate\r\n"),
    "zstd": (zstandard.compress, b"content-encoding: zstd\r\n"),
    "a byte order mark": (lambda data: BOM + data, b""),
    "blank lines": (lambda data: BOM + b"\r\n" * 2000 + data + b"\n", b""),
    "a byte order mark in gzip": (lambda data: gzip.compress(BOM + data), b"content-encoding: gzip\r\n"),
}


@pytest.mark.parametrize("head", [JSON, STREAM, b""])
@pytest.mark.parametrize("name", FORMS)
async def test_a_whole_answer_becomes_a_stream_however_it_is_packed(tmp_path: Path, name: str, head: bytes) -> None:
    pack, header = FORMS[name]
    data = pack(json.dumps(WHOLE).encode())
    third = len(data) // 3
    for step in (whole(data, head + header), streams(data[:third], 0.02, data[third:], head=head + header)):
        answer = await ask(tmp_path, chat(), [step])
        assert answer.status == 200 and answer.text == "hi" and answer.done and answer.usage == USAGE_COUNTS
        answer = await ask(tmp_path, chat(stream=False), [step])
        assert answer.text == "hi" and answer.status == 200


@pytest.mark.parametrize("name", FORMS)
async def test_a_whole_answer_continues_a_stream_however_it_is_packed(tmp_path: Path, name: str) -> None:
    pack, header = FORMS[name]
    words = [f"word{number} of a song that nobody stops singing, verse {number}; " for number in range(8)]
    message = {"role": "assistant", "content": "".join(words)}
    body = {**WHOLE, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    rest = whole(pack(json.dumps(body).encode()), JSON + header)
    answer = await ask(tmp_path, chat(), [streams(*map(d, words[:5]), 0.02, how="rst")], [rest])
    assert answer.complete and answer.text == "".join(words)


UNASKED: dict[str, dict[str, Any]] = {
    "stored": chat(stream=False, store=True),
    "with metadata": chat(stream=False, metadata={"a": "b"}),
    "with audio": chat(stream=False, audio={"voice": "x"}, modalities=["text", "audio"]),
}


@pytest.mark.parametrize("name", UNASKED)
@pytest.mark.parametrize("head", [STREAM, JSON, b""])
async def test_a_stream_to_who_asked_for_none_is_put_together(tmp_path: Path, name: str, head: bytes) -> None:
    parts = (d("a"), d("b"), FINISH, USAGE)
    for sent in ((*parts, DONE), parts, (BOM + b": hi\n\n", *parts, DONE), (gzip.compress(b"".join(parts)),)):
        packed = b"content-encoding: gzip\r\n" if len(sent) == 1 else b""
        answer = await ask(tmp_path, UNASKED[name], [streams(*sent, head=head + packed)])
        assert answer.status == 200 and answer.headers["content-type"] == "application/json"
        assert answer.text == "ab" and answer.usage == USAGE_COUNTS and answer.finish_reason == "stop"


async def test_a_legacy_stream_to_who_asked_for_none_is_put_together(tmp_path: Path) -> None:
    parts = [
        event([{"index": 0, "text": text, "finish_reason": reason}]) for text, reason in (("a", None), ("b", "stop"))
    ]
    asked = {"model": "counting", "prompt": "x", "echo": True}
    answer = await ask(tmp_path, asked, [streams(*parts, DONE)], path="/v1/completions")
    assert answer.json["choices"][0]["text"] == "ab" and answer.json["object"] == "text_completion"


@pytest.mark.parametrize("body", [UNASKED["stored"], {"model": "counting", "input": "x"}], ids=["chat", "vectors"])
async def test_an_error_in_a_stream_to_who_asked_for_none_keeps_its_words(tmp_path: Path, body: dict[str, Any]) -> None:
    path = "/v1/embeddings" if "input" in body else "/v1/chat/completions"
    error = b'data: {"error":{"message":"slow down","code":429}}\n\n'
    answer = await ask(tmp_path, body, [streams(error, DONE)], path=path)
    assert answer.status == 429 and "slow down" in answer.json["error"]["message"]
    cut = await ask(tmp_path, body, [streams(d("a"), how="continue")], path=path)
    assert cut.status == 502 and "finish_reason" in cut.json["error"]["message"]


BESIDE = {"message": "boom", "code": 502}


@pytest.mark.parametrize("asks_for_stream", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("where", ["before", "behind"])
async def test_an_error_beside_empty_choices_is_one(
    tmp_path: Path, asks_for_stream: bool, streamed: bool, where: str
) -> None:
    key = "delta" if streamed else "message"

    def said(content: str) -> Step:
        choices = [{"index": 0, key: {"role": "assistant", "content": content}, "finish_reason": "stop"}]
        parts: dict[str, Any] = (
            {"error": BESIDE, "choices": choices} if where == "before" else {"choices": choices, "error": BESIDE}
        )
        body = {"id": "1", "created": 1, "model": "m", **parts}
        return streams(b"data: " + json.dumps(body).encode() + b"\n\n", DONE) if streamed else whole(body)

    answer = await ask(tmp_path, chat(asks_for_stream), [said("")], [Answer(words=2)])
    assert answer.complete and answer.headers["x-genset-backend"] == "c1"
    alone = await ask(tmp_path, chat(asks_for_stream), [said("")])
    assert alone.status == 502 and "boom" in alone.json["error"]["message"]
    answer = await ask(tmp_path, chat(asks_for_stream), [said("hi")], [Answer(words=2)])
    assert answer.text == "hi" and answer.headers["x-genset-backend"] == "c0"


@pytest.mark.parametrize("end", [b"data:[DONE]\n\n", b"id: 9\ndata: [DONE]\n\n", b": bye\ndata: [DONE]\n\n"])
async def test_the_end_of_a_stream_is_the_servers_own(tmp_path: Path, end: bytes) -> None:
    for parts in ((d("a"), 0.05, FINISH, 0.05, end), (d("a") + FINISH + end,), (d("a"), FINISH, end[:-2])):
        answer = await ask(tmp_path, chat(), [streams(*parts)])
        assert answer.body == d("a") + FINISH + end and answer.ended == "clean"


@pytest.mark.parametrize("stream", [True, False])
async def test_blank_lines_may_be_any_number(tmp_path: Path, stream: bool) -> None:
    blank: list[bytes | float] = [b"\n" * 400, 0.02] * 6
    for head in (STREAM, JSON, b""):
        answer = await ask(tmp_path, chat(stream), [streams(*blank, d("a"), FINISH, DONE, head=head)])
        assert answer.complete and answer.text == "a"


async def test_what_is_ignored_may_stand_first(tmp_path: Path) -> None:
    parts = (b"trace: 1\n" + d("a"), FINISH, DONE)
    for head in (STREAM, JSON, b""):
        answer = await ask(tmp_path, chat(), [streams(parts[0][:4], 0.02, parts[0][4:], *parts[1:], head=head)])
        assert answer.body == b"".join(parts)


@pytest.mark.parametrize("stream", [True, False])
async def test_one_choice_of_three_is_what_the_server_has(tmp_path: Path, stream: bool) -> None:
    answer = await ask(tmp_path, chat(stream, n=3), [streams(d("a"), 0.02, FINISH, 0.02)])
    assert answer.complete and answer.text == "a"


@pytest.mark.parametrize("stream", [True, False])
async def test_what_only_cannot_be_rebuilt_is_no_evidence_against_a_server(tmp_path: Path, stream: bool) -> None:
    odd = event([{"index": 0, "delta": {"tool_calls": ["f"]}, "finish_reason": None}])
    async with ScriptedUpstream(default=streams(odd, FINISH, DONE)) as first, ScriptedUpstream() as second:
        content = config(cloud(first.base_url, "c0"), cloud(second.base_url, "c1"))
        async with RunningRouter(tmp_path, content) as router:
            for _ in range(6):
                answer = await router.ask(chat(stream))
                assert answer.headers["x-genset-backend"] == ("c0" if stream else "c1")
            assert (await router.state("c0"))["breaker"]["state"] == "closed" and not first.own
            assert len(first.requests) == 6, "it was asked each time"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_long_prompts_ids_may_come_first(tmp_path: Path, stream: bool) -> None:
    role = event([{"index": 0, "delta": {"role": "assistant"}}], prompt_token_ids=list(range(100_000, 160_000)))
    answer = await ask(tmp_path, chat(stream), [streams(role, d("a"), FINISH, DONE)])
    assert answer.complete and answer.text == "a"
    assert not stream or answer.body == role + d("a") + FINISH + DONE


@pytest.mark.parametrize("stream", [True, False])
async def test_comments_behind_an_answer_do_not_extend_the_wait(tmp_path: Path, stream: bool) -> None:
    """A server that only says that it is there will say so for ever. The silence is counted from the last event."""
    timeouts = Timeouts(finish=0.4, usage=0.4)
    comments = streams(d("a"), FINISH, *[0.1, b": k\n\n"] * 12, USAGE, DONE)
    answer = await ask(tmp_path, chat(stream), [comments], timeouts=timeouts)
    assert answer.complete and answer.text == "a" and answer.usage is None
    empty = event([{"index": 0, "delta": {}, "finish_reason": None}])
    events = streams(d("a"), FINISH, *[0.2, empty] * 4, USAGE, DONE)
    answer = await ask(tmp_path, chat(stream), [events], timeouts=timeouts)
    assert answer.complete and answer.usage == USAGE_COUNTS, "events do"
