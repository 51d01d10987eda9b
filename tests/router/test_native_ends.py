"""What ends an answer that passes in its own API, and a 200 that is none: by the rules of chat, in its own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config
from testbed.upstream import claude, responses
from testbed.upstream.client import Response
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Segments, Status, Step

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MESSAGE = claude.Told(texts=("one", " two"))
OF_MESSAGES = MESSAGE.events()
*TEXT, LAST, STOP = OF_MESSAGES
MORE = claude.event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": " three"}})
RESPONSE = responses.Said(texts=("one", " two"))
OF_RESPONSES = RESPONSE.events()
PATHS = {"messages": "/v1/messages", "responses": "/v1/responses"}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"model": "counting", "max_tokens": 9, "messages": [{"role": "user", "content": "count"}]},
    "responses": {"model": "counting", "input": "count"},
}
GOOD = {"messages": OF_MESSAGES, "responses": OF_RESPONSES}


def played(*events: bytes, pause: float = 0.0, before: bytes = b"") -> Segments:
    parts = [piece for one in (before, *events) if one for piece in (b"%x\r\n%b\r\n" % (len(one), one), pause)]
    return Segments((HEAD, *parts, b"0\r\n\r\n"))


async def asked(tmp_path: Path, api: str, step: Step, *, stream: bool) -> Response:
    async with ScriptedUpstream(default=step) as upstream:
        backend = (
            cloud(upstream.base_url, provider="anthropic")
            if api == "messages"
            else cloud(upstream.base_url, provider="openai", url={"api": "Responses"})
        )
        async with RunningRouter(tmp_path, config(backend, failover={"maxAttempts": 1})) as router:
            return await router.ask({**BODIES[api], "stream": stream}, PATHS[api])


@pytest.mark.parametrize("api", GOOD)
@pytest.mark.parametrize(
    "before", [b"", b"\xef\xbb\xbf", b"\n\n", b": hello\n\n"], ids=["as it is", "BOM", "blank", "comment"]
)
async def test_not_a_byte_of_ours_is_in_a_healthy_stream(tmp_path: Path, api: str, before: bytes) -> None:
    answer = await asked(tmp_path, api, played(*GOOD[api], pause=0.05, before=before), stream=True)
    assert answer.body == b"".join(GOOD[api]) and answer.ended == "clean", answer


@pytest.mark.parametrize("empty", [b'""', b"0", b"false", b"null"])
@pytest.mark.parametrize("then", [(), (MORE,), (STOP,)], ids=["the end", "more text", "message_stop"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_stop_reason_that_says_nothing_ends_nothing(
    tmp_path: Path, empty: bytes, then: tuple[bytes, ...], stream: bool
) -> None:
    none = LAST.replace(b'"end_turn"', empty)
    assert none != LAST
    answer = await asked(tmp_path, "messages", played(*TEXT[:-1], none, *then), stream=stream)
    if stream:
        assert answer.ended == "truncated" and answer.chunks[-1]["type"] == "error", answer
    else:
        assert answer.status == 502 and answer.json["type"] == "error", answer


NONE: list[tuple[Any, str]] = [
    ({"detail": "Not authenticated"}, "Not authenticated"),
    ({"code": 500, "msg": "the model is gone"}, "the model is gone"),
    ([{"error": {"message": "in an array"}}], "in an array"),
    ("<html><title>Portal</title>Please log in</html>", "Please log in"),
    ({}, "no answer"),
    ("", "without a body"),
]


@pytest.mark.parametrize("api", GOOD)
@pytest.mark.parametrize(("body", "words"), NONE, ids=[words for _, words in NONE])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_200_that_is_no_answer_is_told_in_its_own_words(
    tmp_path: Path, api: str, body: Any, words: str, stream: bool
) -> None:
    answer = await asked(tmp_path, api, Status(200, body), stream=stream)
    assert answer.status == 502 and words in answer.json["error"]["message"], answer


@pytest.mark.parametrize("api", GOOD)
@pytest.mark.parametrize("blank", [b"", b"\n", b"\xef\xbb\xbf", b"  \r\n"])
async def test_a_whole_answer_in_place_of_a_stream_becomes_one(tmp_path: Path, api: str, blank: bytes) -> None:
    whole = MESSAGE.message() if api == "messages" else RESPONSE.response()
    body = json.dumps(whole).encode()
    step = Segments((b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(blank) + len(body)), blank, 0.02, body))
    answer = await asked(tmp_path, api, step, stream=True)
    kinds = [event["type"] for event in answer.chunks]
    assert kinds[-1] in ("message_stop", "response.completed") and answer.ended == "clean", answer
    text = "".join(
        str(e.get("delta", {}).get("text", "") if api == "messages" else e.get("delta", "")) for e in answer.chunks
    )
    assert "one two" in text, answer
