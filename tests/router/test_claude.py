"""Claude behind a running router: every request is one that Anthropic's API takes, and no broken answer looks whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.claude import ScriptedClaude, Told, error_event, refused
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break

KEY = "sk-ant-api03-0123456789"
TEXT = ["Count", " to", " five: 1", " 2 3", " 4 5."]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]
CALL = Told(texts=("I look.",), calls=(("toolu_1", "get_weather", ('{"city":', '"Paris"}')),), stop_reason="tool_use")


@pytest.fixture
async def claude() -> AsyncIterator[tuple[ScriptedClaude, ScriptedUpstream]]:
    script = ScriptedClaude(Told(texts=tuple(TEXT)), key=KEY)
    async with ScriptedUpstream(choose=script.choose) as upstream:
        yield script, upstream


def first(upstream: ScriptedUpstream, model: str = "claude-opus-5", **more: Any) -> dict[str, Any]:
    return cloud(upstream.base_url, "claude", "anthropic", **more) | {"model": model} | {
        "url": {"baseUrl": upstream.base_url, "provider": "anthropic", "keyFile": "claude.key"}
    }  # fmt: skip


def running(tmp_path: Path, content: dict[str, Any], **more: Any) -> RunningRouter:
    return RunningRouter(tmp_path, content, {"claude.key": KEY.encode()}, **more)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("rebuilt", [True, False])
async def test_it_answers(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool, rebuilt: bool
) -> None:
    script, upstream = claude
    content = config(first(upstream), failover={"rebuildAnswers": rebuilt})
    async with running(tmp_path, content, log=tmp_path / "log") as router:
        answer = await router.ask(chat(stream=stream, seed=1, temperature=0.2))
    assert answer.complete and answer.text == "".join(TEXT), answer
    assert answer.headers["x-genset-dropped"] == "seed, temperature"
    assert not script.mistakes
    asked = upstream.requests[0]
    assert "authorization" not in asked.headers and asked.headers["x-api-key"] == KEY
    line = json.loads((tmp_path / "log").read_text())
    assert (line["inputTokens"], line["outputTokens"]) == (497, 65)
    usage = answer.usage
    assert usage is not None and usage["prompt_tokens_details"]["cached_tokens"] == 100


@pytest.mark.parametrize("stream", [True, False])
async def test_it_calls_tools(tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool) -> None:
    script, upstream = claude
    script.told = CALL
    async with running(tmp_path, config(first(upstream))) as router:
        answer = await router.ask(chat(stream=stream, tools=TOOLS))
    assert answer.complete and answer.finish_reason == "tool_calls" and not script.mistakes
    held = answer.choices if stream else answer.json["choices"]
    calls = [c for choice in held for c in (choice.get("delta") or choice.get("message") or {}).get("tool_calls", ())]
    assert "".join(c["function"]["arguments"] for c in calls) == '{"city":"Paris"}'
    assert calls[0]["id"] == "toolu_1" and calls[0]["function"]["name"] == "get_weather"


@pytest.mark.parametrize("how", ["fin", "rst", "end"])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_breaks_is_written_on_by_the_house(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], how: str, stream: bool
) -> None:
    script, upstream = claude
    script.how = how
    events = script.told.events()
    async with ScriptedUpstream() as other:
        for cut in range(len(events) - 1):
            script.cut, said = cut, "".join(TEXT[: max(0, cut - 3)])
            step = Answer(texts=("".join(TEXT)[len(said) :],) if stream and said else tuple(TEXT))
            other.always(step)
            content = config(first(upstream), house(other.base_url, continuation="Prefill"))
            async with running(tmp_path, content) as router:
                answer = await router.ask(chat(stream=stream))
            assert answer.complete and answer.text == "".join(TEXT), (cut, answer)
    assert not script.mistakes


@pytest.mark.parametrize("how", ["fin", "rst", "end"])
async def test_half_an_answer_never_ends_as_a_whole_one(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], how: str
) -> None:
    script, upstream = claude
    script.how, script.cut = how, 5
    async with running(tmp_path, config(first(upstream), failover={"continueStreams": False})) as router:
        answer = await router.ask(chat())
        assert not answer.done and answer.finish_reason is None and answer.error is not None, answer
        whole = await router.ask(chat(stream=False))
        assert whole.status >= 500 and "choices" not in whole.json, whole


@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_house_breaks_is_written_on_by_claude(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool
) -> None:
    """Newer models refuse to go on from an assistant's message: they are asked in words (trap 20)."""
    script, upstream = claude
    script.told = Told(texts=(" five: 1", " 2 3", " 4 5."))
    broken = Answer(texts=tuple(TEXT), brk=Break("rst", after_chunks=3))
    async with ScriptedUpstream(default=broken) as other:
        if not stream:
            script.told = Told(texts=tuple(TEXT))
        else:
            script.told = Told(texts=("Count to five: 1", " 2 3", " 4 5."))
        content = config(house(other.base_url), first(upstream))
        async with running(tmp_path, content) as router:
            answer = await router.ask(chat(stream=stream))
    assert answer.complete and answer.text == "".join(TEXT), answer
    assert not script.mistakes
    if stream:
        assert [message["role"] for message in script.bodies[0]["messages"]] == ["user", "assistant", "user"]


async def test_a_model_that_goes_on_is_given_the_beginning(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    script.told = Told(texts=(" 2 3", " 4 5."))
    async with ScriptedUpstream(default=Answer(texts=tuple(TEXT), brk=Break("rst", after_chunks=3))) as other:
        content = config(house(other.base_url), first(upstream, "claude-haiku-4-5", continuation="Prefill"))
        async with running(tmp_path, content) as router:
            answer = await router.ask(chat())
    assert answer.complete and answer.text == "".join(TEXT), answer
    assert script.bodies[0]["messages"][-1]["role"] == "assistant" and not script.mistakes


async def test_signed_thoughts_are_never_written_on(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    script.told, script.cut = Told(thoughts=("Hm",), texts=tuple(TEXT)), 8
    async with ScriptedUpstream() as other, running(tmp_path, config(first(upstream), house(other.base_url))) as router:
        answer = await router.ask(chat())
        assert answer.error is not None and not answer.done and not other.requests, answer


@pytest.mark.parametrize(
    "step",
    [
        refused(529, "overloaded_error", "Overloaded"), refused(500, "api_error", "Internal server error"),
        refused(429, "rate_limit_error", "Slow down", {"retry-after": "60"}), refused(413, "request_too_large", "Too large"),
        refused(400, "invalid_request_error", "thinking: adaptive is not supported on this model"),
        refused(404, "not_found_error", "model: claude-opus-5"), refused(401, "authentication_error", "invalid x-api-key"),
    ],
)  # fmt: skip
async def test_what_it_refuses_is_asked_elsewhere(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], step: Any
) -> None:
    script, upstream = claude
    script.steps = [step, step]
    async with ScriptedUpstream() as other, running(tmp_path, config(first(upstream), cloud(other.base_url))) as router:
        answer = await router.ask(chat())
        assert answer.complete and answer.headers["x-genset-backend"] == "cloud", answer
    assert len(other.requests) == 1
    if step.code == 529:
        assert len(upstream.requests) == 1, "the whole service is overloaded: it is not asked again at once"


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error"])
async def test_an_error_inside_a_stream_is_no_answer(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], kind: str
) -> None:
    script, upstream = claude
    script.steps = [script.stream((script.told.events()[0], error_event(kind)))]
    async with ScriptedUpstream() as other, running(tmp_path, config(first(upstream), cloud(other.base_url))) as router:
        answer = await router.ask(chat())
        assert answer.complete and answer.headers["x-genset-backend"] == "cloud", answer


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_without_a_word_is_told_and_goes_nowhere(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool
) -> None:
    script, upstream = claude
    script.told = Told(
        stop_reason="refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "Not this."}
    )
    async with ScriptedUpstream() as other, running(tmp_path, config(first(upstream), cloud(other.base_url))) as router:
        answer = await router.ask(chat(stream=stream))
        assert answer.status == 400 and answer.json["error"]["code"] == "content_filter", answer
        assert "Not this." in answer.json["error"]["message"] and not other.requests


async def test_what_it_cannot_do_is_asked_elsewhere(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    async with ScriptedUpstream() as other:
        async with running(tmp_path, config(first(upstream), cloud(other.base_url))) as router:
            for _ in range(5):
                assert (await router.ask(chat(n=2))).status == 200
            assert len(other.requests) == 5 and not script.bodies
            assert (await router.ask(chat())).headers["x-genset-backend"] == "claude"
        async with running(tmp_path, config(first(upstream))) as router:
            alone = await router.ask(chat(n=2))
            assert alone.status == 400 and "claude lacks severalAnswers" in alone.json["error"]["message"], alone


async def test_names_of_dropped_fields_are_no_way_into_the_head(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    _, upstream = claude
    more = {"x\r\nset-cookie: a=b": 1, "é" * 100: 1, **{f"f{number}": 1 for number in range(100)}}
    async with running(tmp_path, config(first(upstream))) as router:
        answer = await router.ask(chat(**more))
    assert answer.complete and "set-cookie" not in answer.headers
    told = answer.headers["x-genset-dropped"]
    assert told.startswith("x??set-cookie:?a=b, ??") and told.endswith(", ...") and len(told) < 1024


async def test_its_key_is_asked_for_by_the_smallest_answer(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    """A refused key is settled by a request of the router's own, with the version that the API demands."""
    script, upstream = claude
    script.key = "another"
    async with running(tmp_path, config(first(upstream))) as router:
        await router.ask(chat())
        await upstream.until(lambda: bool(upstream.own))
        assert router.table.backends["claude"].target.probe_path == "/v1/models"
    own = upstream.own[0]
    assert own.path == "/v1/messages" and own.headers["x-api-key"] == KEY
    assert own.headers["anthropic-version"] == "2026-10-21" and own.json["max_tokens"] == 1
