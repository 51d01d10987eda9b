"""An error inside a 200 is no other than one with a status: asked again in another way, told, and traced alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config
from testbed.upstream import steps
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Raw, Status, Step

#: How a refusal may come: with its status, as a 200 of its own, as the first event of a stream.
WAYS = ["status", "whole", "event"]
EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "stream_options"],
    "msg": "Extra inputs are not permitted",
    "input": {},
}


def refusal(way: str, status: int, body: Any, headers: dict[str, str] | None = None) -> Step:
    if way == "event":
        event = b"data: %b\n\n" % json.dumps(body).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items()).encode()
        return Raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%b\r\n%b" % (lines, event))
    return Status(200 if way == "whole" else status, body, headers or {})


UNKNOWN_OPTIONS: dict[str, Any] = {
    "OpenAI": steps.error_body(
        "Unknown parameter: 'stream_options'.", "x", "unknown_parameter", param="stream_options"
    ),
    "Mistral": {"object": "error", "message": {"detail": [EXTRA]}, "type": "invalid_request_error", "code": None},
    "FastAPI": {"detail": [EXTRA]},
    "words alone": {"error": {"message": "stream_options is not supported"}},
    "another object": {"message": "stream_options: unknown field", "success": False},
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", UNKNOWN_OPTIONS)
async def test_a_field_of_ours_is_left_out(tmp_path: Path, form: str, way: str, stream: bool) -> None:
    refused = refusal(way, 422, UNKNOWN_OPTIONS[form])
    picky = ScriptedUpstream(choose=lambda r: refused if "stream_options" in (r.json or {}) else None)
    async with picky as server, RunningRouter(tmp_path, config(cloud(server.base_url))) as router:
        body = chat(stream=stream)
        body.pop("stream_options", None)
        first, second = await router.ask(body), await router.ask(body)
        assert first.complete and second.complete, first
        assert first.headers["x-genset-attempts"].startswith("cloud:no_stream_options:")
        assert len(server.requests) == 3, "it was remembered"
        assert server.requests[-1].json["stream"] is True, "and nothing else was lost"


@pytest.mark.parametrize("way", WAYS)
async def test_a_limit_is_lowered(tmp_path: Path, way: str) -> None:
    message = (
        "This model's maximum context length is 4096 tokens and your request has 100 input tokens (8000 > 4096 - 100)."
    )
    refused = refusal(way, 400, steps.error_body(message, "BadRequestError", 400))
    picky = ScriptedUpstream(choose=lambda r: refused if (r.json or {}).get("max_tokens", 0) > 3996 else None)
    async with picky as server, RunningRouter(tmp_path, config(cloud(server.base_url))) as router:
        answer = await router.ask(chat(max_tokens=8000))
        assert answer.complete and server.requests[-1].json["max_tokens"] == 3996


@pytest.mark.parametrize("way", WAYS)
async def test_the_upstreams_id_of_the_request_is_told(tmp_path: Path, way: str) -> None:
    refused = refusal(way, 400, steps.error_body("no such role", "x", 400), {"x-request-id": "req_9"})
    async with (
        ScriptedUpstream(default=refused) as server,
        RunningRouter(tmp_path, config(cloud(server.base_url))) as router,
    ):
        answer = await router.ask(chat())
    assert answer.status == 400 and answer.headers["x-genset-upstream-request-id"] == "req_9"


async def test_the_id_is_that_of_the_reply_that_is_shown(tmp_path: Path) -> None:
    """A 500 that is shown as a 400, and one that nobody heard of after it."""
    unable = Status(500, steps.error_body("image input is not supported", "x", 500), {"x-request-id": "req_5"})
    async with ScriptedUpstream(default=unable) as server, ScriptedUpstream(default=steps.Reset()) as gone:
        for names, wanted in ((["gone", "one"], "req_5"), (["one", "gone"], None)):
            urls = {"one": server.base_url, "gone": gone.base_url}
            folder = tmp_path / names[0]
            folder.mkdir()
            async with RunningRouter(folder, config(*(cloud(urls[name], name) for name in names))) as router:
                answer = await router.ask(chat())
            assert answer.headers.get("x-genset-upstream-request-id") == wanted
            assert wanted is None or answer.status == 400


ORIGINALS: list[tuple[int, Any, bool]] = [
    (400, {"error": {"message": "bad role"}}, True),
    (400, {"detail": "bad role"}, False),
    (400, {"error": "bad role"}, False),
    (404, {"object": "error", "message": "bad role", "type": "x", "code": 404}, False),
    (405, {"detail": "bad role"}, False),
    (422, {"detail": [{"msg": "bad role", "loc": ["body"], "type": "x"}]}, False),
    (400, [{"error": {"code": 400, "message": "bad role"}}], False),
]


@pytest.mark.parametrize(("status", "said", "same"), ORIGINALS)
async def test_the_words_of_an_original_stand_where_libraries_look(
    tmp_path: Path, status: int, said: Any, same: bool
) -> None:
    async with (
        ScriptedUpstream(default=Status(status, said)) as server,
        RunningRouter(tmp_path, config(cloud(server.base_url))) as router,
    ):
        answer = await router.ask(chat())
    assert answer.status == status
    assert (answer.json == said) is same
    message = answer.json["error"]["message"]
    assert message == "bad role" if same else f'cloud answered {status} "bad role"' in message


def no_streams(condition: Any, step: Step) -> Any:
    def choose(request: Received) -> Step | None:
        asked = request.json or {}
        return step if asked.get("stream") and condition(asked) else None

    return choose


async def test_a_key_that_may_not_stream_is_asked_without(tmp_path: Path) -> None:
    denied = Status(403, steps.error_body("Streaming is not allowed for this key", "x"))
    async with (
        ScriptedUpstream(choose=no_streams(lambda asked: True, denied)) as server,
        RunningRouter(tmp_path, config(cloud(server.base_url))) as router,
    ):
        assert (await router.ask(chat(stream=False))).complete and (await router.ask(chat(stream=False))).complete
        assert [bool(r.json.get("stream")) for r in server.requests] == [True, False, False]


async def test_a_request_with_tools_takes_the_stream_from_nobody_else(tmp_path: Path) -> None:
    unable = Status(500, steps.error_body("Cannot use tools with stream", "server_error", 500))
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    async with (
        ScriptedUpstream(choose=no_streams(lambda asked: asked.get("tools"), unable)) as server,
        RunningRouter(tmp_path, config(cloud(server.base_url))) as router,
    ):
        for body in ({**chat(stream=False), **tools}, chat(stream=False), {**chat(stream=False), **tools}):
            assert (await router.ask(body)).complete
        assert [bool(r.json.get("stream")) for r in server.requests] == [True, False, True, False]


@pytest.mark.parametrize("way", WAYS)
async def test_a_bad_value_is_the_clients(tmp_path: Path, way: str) -> None:
    bad = steps.error_body("max_tokens must be at least 1", "invalid_request_error", 400, param="max_tokens")
    async with (
        ScriptedUpstream(default=refusal(way, 400, bad)) as server,
        RunningRouter(tmp_path, config(cloud(server.base_url))) as router,
    ):
        answer = await router.ask(chat(max_tokens=-1))
        assert answer.status == 400 and len(server.requests) == 1
