"""Sound, pictures, subtitles and tokens: routed by their model, failed over before the first byte, and never cut unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Close, Raw, Reset, Segments, Status, Step, server_error

SOUND = bytes(range(256)) * 40
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
PARTS = tuple(b"%x\r\n%b\r\n" % (2048, SOUND[at : at + 2048]) for at in range(0, len(SOUND), 2048))
SPEECH = Segments((HEAD % b"audio/mpeg", *PARTS, b"0\r\n\r\n"))
SPOKEN: dict[str, Any] = {"model": "counting", "input": "one two", "voice": "alloy"}


def sdk(router: RunningRouter) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0)


async def test_speech_and_pictures_by_the_official_client(tmp_path: Path) -> None:
    picture = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"total_tokens": 3}}
    async with (
        ScriptedUpstream(default=SPEECH) as away,
        RunningRouter(tmp_path, config(cloud(away.base_url))) as router,
        sdk(router) as client,
    ):
        spoken = await client.audio.speech.create(model="counting", input="one", voice="alloy")
        assert spoken.content == SOUND and spoken.response.headers["content-type"] == "audio/mpeg"
        assert spoken.response.headers["x-genset-backend"] == "cloud"
        away.always(Status(200, picture))
        made = await client.images.generate(model="counting", prompt="a hen")
        assert made.data is not None and made.data[0].b64_json == "aGk="
    assert [received.path for received in away.requests] == ["/v1/audio/speech", "/v1/images/generations"]
    assert {received.json["model"] for received in away.requests} == {"large"}


async def test_a_file_is_heard_by_the_official_client(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Status(200, {"text": "one two"})) as away,
        RunningRouter(tmp_path, config(cloud(away.base_url))) as router,
        sdk(router) as client,
    ):
        for call in (client.audio.transcriptions, client.audio.translations):
            heard = await call.create(model="counting", file=("a.wav", b"RIFF\r\n--" + SOUND))
            assert heard.text == "one two"
        away.always(Segments((HEAD % b"text/vtt", b"6\r\nWEBVTT\r\n0\r\n\r\n")))
        told = await client.audio.transcriptions.create(model="counting", file=b"x", response_format="vtt")
        assert "WEBVTT" in str(told)
    received = away.requests[0]
    assert b"RIFF\r\n--" + SOUND in received.body and b'name="model"\r\n\r\nlarge\r\n' in received.body
    assert b"counting" not in received.body and "boundary=" in received.headers["content-type"]


@pytest.mark.parametrize(
    "step",
    [server_error(), Reset(), Close(), Raw(HEAD % b"audio/mpeg", "rst"), Status(200, {"error": {"message": "x", "code": 500}}),
     Status(200, b"", {"content-type": "audio/mpeg"}), Status(429, {"error": {"message": "later"}}, {"retry-after": "60"})],
    ids=["500", "reset", "close", "head only", "error inside", "no body", "429"],
)  # fmt: skip
async def test_before_the_first_byte_another_is_asked(tmp_path: Path, step: Step) -> None:
    async with ScriptedUpstream(default=step) as bad, ScriptedUpstream(default=SPEECH) as good:
        content = config(cloud(bad.base_url, "bad"), cloud(good.base_url, "good"))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(SPOKEN, "/v1/audio/speech")
    assert answer.body == SOUND and answer.ended == "clean" and answer.headers["x-genset-backend"] == "good", answer


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_cut_body_is_cut_for_the_client(tmp_path: Path, how: str) -> None:
    cut = Raw(b"".join((HEAD % b"audio/mpeg", *PARTS[:2])), how)  # type: ignore[arg-type]
    async with ScriptedUpstream(default=cut) as bad, ScriptedUpstream(default=SPEECH) as good:
        content = config(cloud(bad.base_url, "bad"), cloud(good.base_url, "good"))
        async with RunningRouter(tmp_path, content, log=tmp_path / "log") as router:
            answer = await router.ask(SPOKEN, "/v1/audio/speech")
    assert answer.ended != "clean" and SOUND.startswith(answer.body) and not good.requests, answer
    assert "provider_interrupted" in (tmp_path / "log").read_text()


ERROR = {"error": {"message": "the voice has left", "type": "server_error"}}
PAGE = "<!DOCTYPE html><html><title>Portal</title>Please log in</html>"
NONE: dict[str, tuple[Status, str]] = {
    "page": (Status(200, PAGE, {"content-type": "text/html"}), "Please log in"),
    "page that calls itself sound": (Status(200, PAGE, {"content-type": "audio/mpeg"}), "Please log in"),
    "error that calls itself sound": (Status(200, ERROR, {"content-type": "audio/mpeg"}), "the voice has left"),
    "error that calls itself text": (Status(200, ERROR, {"content-type": "text/plain"}), "the voice has left"),
    "detail": (Status(200, {"detail": "Not authenticated"}), "Not authenticated"),
    "code": (Status(200, {"code": 500, "msg": "GPU is gone"}), "GPU is gone"),
    "array": (Status(200, [ERROR]), "the voice has left"),
    "nothing in it": (Status(200, {}), "without"),
    "error event": (Status(200, f"event: error\ndata: {json.dumps({'type': 'error', **ERROR})}\n\n",
                           {"content-type": "text/event-stream"}), "the voice has left"),
    "error as the only event": (Status(200, f"data: {json.dumps(ERROR)}\n\ndata: [DONE]\n\n",
                                       {"content-type": "text/plain"}), "the voice has left"),
}  # fmt: skip
GOOD: dict[str, Any] = {
    "/v1/audio/speech": SPEECH,
    "/v1/images/generations": Status(200, {"data": [{"b64_json": "aGk="}]}),
}


@pytest.mark.parametrize("kind", NONE)
@pytest.mark.parametrize("path", GOOD)
async def test_a_200_that_is_no_answer_is_told_in_its_own_words(tmp_path: Path, path: str, kind: str) -> None:
    step, words = NONE[kind]
    async with ScriptedUpstream(default=step) as bad, ScriptedUpstream(default=GOOD[path]) as good:
        content = config(cloud(bad.base_url, "bad"), cloud(good.base_url, "good"))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(SPOKEN, path)
            assert answer.status == 200 and answer.headers["x-genset-backend"] == "good", answer
        async with RunningRouter(tmp_path, config(cloud(bad.base_url, "bad"))) as router:
            answer = await router.ask(SPOKEN, path)
    assert answer.status >= 400 and words in answer.json["error"]["message"], answer


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"data": []}),
        ("/v1/images/generations", {"created": 1}),
        ("/v1/tokenize", {"model": "m"}),
    ],
)
async def test_an_answer_without_its_list_is_none(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    async with (
        ScriptedUpstream(default=Status(200, body)) as bad,
        RunningRouter(tmp_path, config(house(bad.base_url, "bad"))) as router,
    ):
        answer = await router.ask({**SPOKEN, "prompt": "x"}, path)
    assert answer.status == 502 and "sent an answer without" in answer.json["error"]["message"], answer


@pytest.mark.parametrize(
    "body", [b'{"RIFF', b"{", b'{"a": 1}, he said', b"", b"data without a colon", b"\xef\xbb\xbf{half"], ids=repr
)
async def test_text_that_only_begins_like_json_is_text(tmp_path: Path, body: bytes) -> None:
    step = Status(200, body + SOUND, {"content-type": "text/plain"})
    async with ScriptedUpstream(default=step) as away, RunningRouter(tmp_path, config(cloud(away.base_url))) as router:
        answer = await router.ask(SPOKEN, "/v1/audio/speech")
    assert answer.body == body + SOUND and answer.ended == "clean", answer


def said(kind: str, **more: Any) -> bytes:
    return b"data: " + json.dumps({"type": kind, **more}).encode() + b"\n\n"


DELTA, LAST = said("transcript.text.delta", delta="one"), said("transcript.text.done", text="one")
CHUNK = b'data: {"object":"transcription.chunk","choices":[{"delta":{"content":"one"}}]}\n\n'
STREAMS: dict[str, tuple[tuple[bytes, ...], bool]] = {
    "OpenAI": ((DELTA, DELTA, LAST), True),
    "OpenAI, cut": ((DELTA, DELTA), False),
    "OpenAI, an error": ((DELTA, said("error", error={"message": "gone"})), False),
    "speech": ((said("speech.audio.delta", audio="aGk="), said("speech.audio.done")), True),
    "speech, cut": ((said("speech.audio.delta", audio="aGk="),), False),
    "pictures, cut": ((said("image_generation.partial_image", b64_json="aGk="),), False),
    "pictures": ((said("image_generation.partial_image", b64_json="aGk="), said("image_generation.completed")), True),
    "vLLM": ((CHUNK, b"data: [DONE]\n\n"), True),
    "vLLM, cut": ((CHUNK, CHUNK), False),
    "a server that marks no end": ((b'data: {"text":"one"}\n\n', b'data: {"text":"two"}\n\n'), True),
    "comments first": ((b": hello\n\n", DELTA, LAST), True),
}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("content_type", "pause"), [("text/event-stream; charset=utf-8", 0.02), ("text/plain", 0.0)])
async def test_events_that_pass_end_as_their_kind_does(
    tmp_path: Path, stream: str, content_type: str, pause: float
) -> None:
    events, whole = STREAMS[stream]
    pieces = [piece for event in events for piece in (b"%x\r\n%b\r\n" % (len(event), event), pause)]
    step = Segments((HEAD % content_type.encode(), *pieces, b"0\r\n\r\n"))
    async with ScriptedUpstream(default=step) as away, RunningRouter(tmp_path, config(cloud(away.base_url))) as router:
        answer = await router.ask(SPOKEN, "/v1/audio/speech")
    if not pause and b"gone" in b"".join(events):  # in one read: nothing has gone to the client
        assert answer.status == 502 and "gone" in answer.json["error"]["message"], answer
        return
    assert answer.body == b"".join(events) and (answer.ended == "clean") is whole, answer
    assert answer.headers["content-type"] == "text/event-stream"


async def test_what_is_no_form_and_what_is_not_served_is_told(tmp_path: Path) -> None:
    async with ScriptedUpstream() as away, RunningRouter(tmp_path, config(cloud(away.base_url))) as router:
        answer = await router.ask({"model": "counting"}, "/v1/audio/transcriptions")
        assert answer.status == 400 and "multipart/form-data" in answer.json["error"]["message"], answer
        for path, words in (("/v1/realtime?model=counting", "Realtime"), ("/v1/files", "keep at one provider")):
            refused = await request(router.url + path)
            assert refused.status == 404 and words in refused.json["error"]["message"], refused
    assert not away.requests


async def test_the_house_alone_tells_tokens(tmp_path: Path) -> None:
    tokens = Status(200, {"tokens": [1, 2, 3], "count": 3})
    async with (
        ScriptedUpstream(default=tokens) as local,
        ScriptedUpstream(default=tokens) as away,
        RunningRouter(tmp_path, config(cloud(away.base_url), house(local.base_url))) as router,
    ):
        for path in ("/tokenize", "/v1/tokenize"):
            answer = await router.ask({"model": "counting", "prompt": "one two"}, path)
            assert answer.json["tokens"] == [1, 2, 3], answer
    assert not away.requests and {received.path for received in local.requests} == {"/tokenize"}
    assert local.requests[0].json == {"model": "small", "prompt": "one two", "content": "one two"}


async def test_a_backend_of_another_api_is_passed_by(tmp_path: Path) -> None:
    async with ScriptedUpstream() as claude, ScriptedUpstream(default=SPEECH) as away:
        content = config(cloud(claude.base_url, "claude", "anthropic"), cloud(away.base_url))
        async with RunningRouter(tmp_path, content) as router:
            assert (await router.ask(SPOKEN, "/v1/audio/speech")).body == SOUND
    assert not claude.requests
