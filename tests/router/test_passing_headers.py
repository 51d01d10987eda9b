"""Headers and errors on their way: what a backend can make a client's browser or cache do, and a client a cloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import chat, raw
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Raw, Status

HOSTILE = {
    "x-accel-redirect": "/internal/secrets", "location": "http://evil.example", "refresh": "0; url=http://evil.example",
    "cache-control": "public, max-age=31536000", "content-disposition": "attachment", "link": "<http://evil.example>; rel=x",
    "set-cookie": "a=b", "access-control-allow-origin": "*", "server": "x", "x-should-retry": "true",
    "openai-organization": "corp-account", "x-genset-backend": "liar", "content-type": "text/html; charset=x",
}  # fmt: skip
OURS = {
    "content-type", "x-content-type-options", "x-genset-attempts", "x-genset-backend", "x-genset-tier",
    "x-genset-upstream-request-id", "x-request-id",
}  # fmt: skip
TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=internal-name"}
CLIENT = {
    **TRACE, "idempotency-key": "k-1", "http-referer": "https://app.corp", "x-title": "App", "openai-organization": "other",
    "openai-project": "other", "x-api-key": "sk-client", "authorization": "Bearer sk-client", "api-key": "sk-client",
    "anthropic-version": "1", "openai-beta": "x", "x-goog-user-project": "other", "helicone-auth": "x", "x-portkey-config": "x",
    "x-litellm-tags": "x", "http-x-forwarded-for": "1", "x-genset-timeout": "30", "cookie": "a=b",
}  # fmt: skip
ALWAYS = {
    "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "x-request-id", "x-genset-hops",
    "x-genset-deadline",
}  # fmt: skip


def answering(stream: bool) -> Raw:
    """An answer with every hostile header. Whole ones are passed on as they are (`logprobs` is not rebuilt)."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    base = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    body = json.dumps({**base, "choices": [choice]}).encode()
    headers = {**HOSTILE, "openai-processing-ms": "7", "x-request-id": "req_up"}
    if stream:
        delta = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}
        body = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps({**base, "choices": [delta]}).encode()
        headers["content-type"] = "text/event-stream; charset=x"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return Raw(f"HTTP/1.1 200 OK\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body, "continue")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(chat(stream=True), "text/event-stream", id="stream"),
        pytest.param(chat(stream=False, best_of=2), "application/json", id="passed on"),
    ],
)
async def test_an_answers_head_is_ours(tmp_path: Path, body: dict[str, Any], content_type: str) -> None:
    async with (
        ScriptedUpstream(default=answering(body.get("stream", False))) as upstream,
        RunningRouter(tmp_path, config(cloud(upstream.base_url))) as router,
    ):
        for _ in range(3):  # the last ones under a head that is known
            answer = await router.ask(body)
    assert answer.status == 200 and answer.text == "hi"
    more = {"transfer-encoding", "cache-control"} if body.get("stream") else {"content-length"}
    assert set(answer.headers) == OURS | more | {"openai-processing-ms"}
    assert answer.headers["content-type"] == content_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-genset-upstream-request-id"] == "req_up"
    assert answer.headers.get("cache-control", "no-cache") == "no-cache"
    assert answer.headers["x-genset-backend"] == "cloud"


@pytest.mark.parametrize(
    ("status", "body", "passed"),
    [
        (400, b'{"error":{"message":"bad field"},"more":[1]}', True),
        (422, b'{"detail":"bad field"}', False),
        (400, b"<html><script>alert(1)</script><h1>bad field</h1></html>", False),
        (400, b"bad field", False),
        (422, b'[{"msg":"bad field"}]', False),
        (400, b'"bad field"', False),
        (400, b'{"error":{"message":"bad field"', False),
        (400, b'{"error": bad field NaN}', False),
    ],
)
async def test_an_error_handed_on_is_one_that_libraries_read(
    tmp_path: Path, status: int, body: bytes, passed: bool
) -> None:
    step = Status(status, body, headers={**HOSTILE, "x-request-id": "req_up"})
    async with (
        ScriptedUpstream(default=step) as upstream,
        RunningRouter(tmp_path, config(cloud(upstream.base_url))) as router,
    ):
        answer = await router.ask(chat())
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-genset-upstream-request-id"] == "req_up"
    assert not set(HOSTILE) & set(answer.headers) - {"content-type", "x-genset-backend", "x-should-retry"}
    assert answer.headers.get("x-should-retry", "false") == "false"
    if passed:
        assert answer.body == body
    else:
        assert answer.error is not None and "bad field" in answer.error["message"], answer.body
        assert answer.error["type"] == "provider_rejected"
        assert "<" not in answer.error["message"] and "alert" not in answer.error["message"]


async def test_whatever_the_router_says_itself_is_not_sniffed(tmp_path: Path) -> None:
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1"))) as router:
        answers = [
            await router.ask(chat()),
            await router.ask(chat(model="other")),
            await router.ask(b"{"),
            await router.ask(None, path="/v1/models"),
            await router.ask(None, path="/nowhere"),
            await router.admin("/-/state"),
            await router.admin("/metrics"),
        ]
        broken = await raw("127.0.0.1", router.router.listen_port, b"nonsense\r\n\r\n")
    assert [answer.headers.get("x-content-type-options") for answer in answers] == ["nosniff"] * len(answers)
    assert b"\r\nx-content-type-options: nosniff\r\n" in broken


@pytest.mark.parametrize(
    ("groups", "passed"),
    [
        (None, set()),
        (["Trace"], {"traceparent", "tracestate"}),
        (["Idempotency"], {"idempotency-key"}),
        (["Attribution"], {"http-referer", "x-title"}),
        (["Trace", "Idempotency"], {"traceparent", "tracestate", "idempotency-key"}),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "openRouter", "openAICompatible"])
async def test_clouds_get_what_the_policy_lets_go(
    tmp_path: Path, provider: str, groups: list[str] | None, passed: set[str]
) -> None:
    async with ScriptedUpstream() as upstream:
        backend = cloud(upstream.base_url, provider=provider, url={"forwardHeaders": groups})
        async with RunningRouter(tmp_path, config(backend)) as router:
            assert (await router.ask(chat(), headers=CLIENT)).status == 200
    received = upstream.requests[0].headers
    assert set(received) - ALWAYS == passed
    assert all(received[name] == CLIENT[name] for name in passed)


async def test_the_house_gets_traces_and_idempotency_keys(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer()) as upstream,
        RunningRouter(tmp_path, config(house(upstream.base_url))) as router,
    ):
        assert (await router.ask(chat(), headers=CLIENT)).status == 200
    assert set(upstream.requests[0].headers) - ALWAYS == {*TRACE, "idempotency-key"}
