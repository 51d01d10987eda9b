"""A request with something sensitive in it stays in the house, or is refused; the same without it goes where it may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import HttpConnection, chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Status

IBAN = "DE89 3704 0044 0532 0130 00"


def two(local: ScriptedUpstream, far: ScriptedUpstream, then: str = "House", **more: Any) -> dict[str, Any]:
    """The cloud comes first, so that only what is found keeps a request from it."""
    document = config(cloud(far.base_url), house(local.base_url))
    patterns = [{"name": "case-number", "regex": r"AZ-\d{6}"}]
    document["routes"][0].update(
        sensitive={"detect": ["iban"], "countries": [], "patterns": patterns, "then": then}, **more
    )
    return document


BODIES = [
    ("/v1/chat/completions", lambda text: chat(messages=[{"role": "user", "content": text}])),
    ("/v1/chat/completions", lambda text: chat(stream=True, messages=[{"role": "user", "content": text}])),
    ("/v1/completions", lambda text: {"model": "counting", "prompt": text}),
    ("/v1/embeddings", lambda text: {"model": "counting", "input": ["a", text]}),
    (
        "/v1/messages",
        lambda text: {"model": "counting", "max_tokens": 9, "messages": [{"role": "user", "content": text}]},
    ),
    ("/v1/responses", lambda text: {"model": "counting", "input": text}),
    (
        "/v1/messages",
        lambda text: {
            "model": "counting",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "pay"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "pay", "input": {"to": text}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "done"}]},
            ],
        },
    ),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_what_is_found_stays_in_the_house(tmp_path: Path, path: str, body: Any) -> None:
    async with (
        ScriptedUpstream() as local,
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, two(local, far)) as router,
    ):
        for text, asked in ((f"zahle an {IBAN}", local), ("zahle bar", far), ("zu AZ-123456", local)):
            before = len(asked.requests)
            answer = await router.ask(body(text), path)
            assert answer.status == 200 and len(asked.requests) == before + 1, f"{text}: {answer.body!r}"
        assert far.accepted == 1


async def test_nobody_in_the_house_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        document = two(local, far)
        document["routes"][0]["tiers"] = [[{"backend": "cloud", "weight": 1}]]
        async with RunningRouter(tmp_path, document, log=log) as router:
            answer = await router.ask(chat(messages=[{"role": "user", "content": f"{IBAN} zu AZ-123456"}]))
            metrics = (await router.admin("/metrics")).body.decode()
        assert answer.status == 403 and answer.json["error"]["type"] == "policy_sensitive" and far.accepted == 0
        assert "holds iban and case-number, and route route keeps it in the house" in answer.json["error"]["message"]
    line = json.loads(log.read_text())
    assert (
        line["sensitive"] == ["iban", "case-number"]
        and line["route"] == "route"
        and line["error"] == "policy_sensitive"
    )
    assert 'genset_router_sensitive_total{found="iban"} 1.0' in metrics
    assert "3704" not in log.read_text() + metrics + answer.body.decode(), "what was found is named, never told"


async def test_a_route_that_refuses(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        async with RunningRouter(tmp_path, two(local, far, "Refuse")) as router:
            answer = await router.ask(chat(messages=[{"role": "user", "content": IBAN}]))
            assert answer.status == 403 and "sensitive.then Refuse" in answer.json["error"]["message"]
        assert (local.accepted, far.accepted) == (0, 0)


async def test_a_house_that_is_not_allowed_does_not_answer_either(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        async with RunningRouter(tmp_path, two(local, far, dataZones=["world"])) as router:
            answer = await router.ask(chat(messages=[{"role": "user", "content": IBAN}]))
        assert answer.status == 403 and "route route (dataZones) allows world" in answer.json["error"]["message"]
        assert (local.accepted, far.accepted) == (0, 0)


async def test_a_pattern_that_cannot_be_used_keeps_the_configuration_before_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        async with RunningRouter(tmp_path, two(local, far)) as router:
            bad = two(local, far)
            bad["routes"][0]["sensitive"]["patterns"][0]["regex"] = "(a"
            router.write(bad)
            assert not await router.router.reload()
            assert "routes[route].sensitive.patterns: missing ): (a" in str(router.config_error)
            await router.ask(chat(messages=[{"role": "user", "content": IBAN}]))
        assert far.accepted == 0


async def test_what_passes_as_it_is_is_looked_at_as_it_is(tmp_path: Path) -> None:
    """Fields that no translation keeps go to a server of the client's own API, and so does what only such a server can do."""
    asked = {"model": "counting", "max_tokens": 9, "messages": [{"role": "user", "content": "pay"}]}
    search = [{"type": "web_search_20260318", "name": "web_search"}]
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        content = two(local, far)
        content["backends"][0]["url"]["provider"] = "anthropic"
        async with RunningRouter(tmp_path, content) as router:
            for more in ({"metadata": {"user_id": IBAN}}, {"diagnostics": {"note": IBAN}}):
                answer = await router.ask({**asked, **more}, "/v1/messages")
                assert answer.status == 200 and answer.headers["x-genset-backend"] == "house", answer
            source = {"type": "text", "media_type": "text/plain", "data": f"Konto {IBAN}"}
            block = [{"type": "document", "source": source}, {"type": "text", "text": "whose is it?"}]
            kept = await router.ask({**asked, "messages": [{"role": "user", "content": block}]}, "/v1/messages")
            assert kept.status == 200 and kept.headers["x-genset-backend"] == "house", kept
            call = {"type": "tool_use", "id": "1", "name": "pay", "input": {"id": IBAN}}
            turns = [*asked["messages"], {"role": "assistant", "content": [call]}]  # type: ignore[misc]
            refused = await router.ask({**asked, "messages": turns, "tools": search}, "/v1/messages")
    assert refused.status == 403 and refused.headers["x-genset-error"] == "policy_sensitive", refused
    assert not far.requests


async def test_a_recording_counts_as_what_cannot_be_read(tmp_path: Path) -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\ncounting\r\n--b--\r\n'
    heard = Status(200, {"text": "one"})
    async with (
        ScriptedUpstream(default=heard) as local,
        ScriptedUpstream(default=heard) as far,
        RunningRouter(tmp_path, two(local, far)) as router,
    ):
        connection = await HttpConnection.open(router.url)
        headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(len(form))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection._writer.write(f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + form)
        await local.until(lambda: bool(local.requests))
    assert not far.requests


TWICE = f'"role": "user", "content": "to {IBAN}", "content": "hello"'
TWICE_INSIDE = [
    ("openAICompatible", "/v1/chat/completions", f'{{"model": "large", "messages": [{{{TWICE}}}]}}'),
    ("openAICompatible", "/v1/embeddings", f'{{"model": "large", "input": "x", "more": {{"b": "{IBAN}", "b": ":)"}}}}'),
    ("anthropic", "/v1/messages", f'{{"model": "large", "max_tokens": 9, "messages": [{{{TWICE}}}]}}'),
    ("anthropic", "/v1/messages/count_tokens", f'{{"model": "large", "messages": [{{{TWICE}}}]}}'),
]


@pytest.mark.parametrize(("provider", "path", "text"), TWICE_INSIDE)
async def test_what_only_some_readers_see_counts_as_what_cannot_be_read(
    tmp_path: Path, provider: str, path: str, text: str
) -> None:
    """Bytes that pass as they came say more than the tree that was read from them, where a key stands twice."""
    async with ScriptedUpstream() as local, ScriptedUpstream() as far:
        content = two(local, far)
        content["backends"][0]["url"]["provider"] = provider
        content["routes"][0]["match"]["models"] = ["large"]
        async with RunningRouter(tmp_path, content) as router:
            for twice in (text, text.replace(IBAN, "x")):
                await router.ask(twice.encode(), path)
                assert not far.requests, "nobody knows what it says"
            await router.ask({**json.loads(text), "user": 'a ":) and a \\": b'}, path)
            assert far.requests, "colons and quotes in text are no keys"
