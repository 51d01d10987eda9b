"""A Messages client before Anthropic: its request and its answer pass as they are, and everybody else may still stand in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.claude import ScriptedClaude, Told, event, refused
from testbed.upstream.client import Response
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Status

KEY = "sk-ant-api03-0123456789"
TEXT = ("Count", " to", " five: 1", " 2 3", " 4 5.")
BETAS = "interleaved-thinking-2025-05-14,context-management-2025-06-27"
ASKED: dict[str, Any] = {
    "model": "counting",
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "Count.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "thinking": {"type": "adaptive"},
    "messages": [
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
                                          {"type": "text", "text": "1"}]},
        {"role": "user", "content": [{"type": "text", "text": "more", "cache_control": {"type": "ephemeral"}}]},
    ],
}  # fmt: skip
CALLS = (("toolu_1", "get_weather", ('{"city":', '"Paris"}')),)
SEARCH = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}


def block(index: int, kind: str, *deltas: dict[str, Any], **more: Any) -> list[bytes]:
    start = event("content_block_start", {"index": index, "content_block": {"type": kind, **more}})
    said = [event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
    return [start, *said, event("content_block_stop", {"index": index})]


CITED = {"type": "web_search_result_location", "url": "https://a.example", "cited_text": "5"}
SEARCHED = (
    *block(0, "server_tool_use", {"type": "input_json_delta", "partial_json": '{"query":"five"}'},
           id="srvtoolu_1", name="web_search", input={}),
    *block(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
    *block(2, "text", {"type": "text_delta", "text": "Five."}, {"type": "citations_delta", "citation": CITED}, text=""),
)  # fmt: skip


@pytest.fixture
async def claude() -> AsyncIterator[tuple[ScriptedClaude, ScriptedUpstream]]:
    script = ScriptedClaude(Told(texts=TEXT, thoughts=("Let me",)), key=KEY)
    async with ScriptedUpstream(choose=script.choose) as upstream:
        yield script, upstream


def first(upstream: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return cloud(upstream.base_url, "claude", "anthropic", **more) | {"model": "claude-opus-5"} | {
        "url": {"baseUrl": upstream.base_url, "provider": "anthropic", "keyFile": "claude.key"}
    }  # fmt: skip


def running(tmp_path: Path, content: dict[str, Any], **more: Any) -> RunningRouter:
    return RunningRouter(tmp_path, content, {"claude.key": KEY.encode()}, **more)


def asked(**more: Any) -> dict[str, Any]:
    return {**ASKED, **more}


HEADERS = {"anthropic-version": "2023-06-01", "anthropic-beta": BETAS, "x-api-key": "the-clients-own"}


async def ask(router: RunningRouter, **more: Any) -> Response:
    return await router.ask(asked(**more), "/v1/messages", headers=HEADERS)


async def test_request_and_stream_pass_as_they_are(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    async with running(tmp_path, config(first(upstream)), log=tmp_path / "log") as router:
        answer = await ask(router, stream=True)
    assert answer.body == b"".join(script.told.events()) and answer.ended == "clean", answer
    assert "x-genset-dropped" not in answer.headers and not script.mistakes
    received = upstream.requests[0]
    assert received.body == json.dumps(asked(stream=True)).replace('"counting"', '"claude-opus-5"').encode()
    assert received.headers["anthropic-beta"] == BETAS and received.headers["anthropic-version"] == "2023-06-01"
    assert received.headers["x-api-key"] == KEY and "authorization" not in received.headers
    line = json.loads((tmp_path / "log").read_text())
    assert (line["inputTokens"], line["outputTokens"]) == (497, 65)


@pytest.mark.parametrize("beta", [True, False])
@pytest.mark.parametrize("rebuilt", [True, False])
async def test_a_whole_answer_is_the_servers_own(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], rebuilt: bool, beta: bool
) -> None:
    """It is put together from a stream, if nothing is asked for whose events may be unknown."""
    script, upstream = claude
    script.told = Told(texts=TEXT, thoughts=("Let me",), calls=CALLS, stop_reason="tool_use")
    headers = HEADERS if beta else {}
    async with running(tmp_path, config(first(upstream), failover={"rebuildAnswers": rebuilt})) as router:
        answer = await router.ask(asked(), "/v1/messages", headers=headers)
    assert answer.json == script.told.message(), answer
    assert upstream.requests[0].json.get("stream", False) is (rebuilt and not beta)


async def test_tools_that_run_at_anthropic_pass(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    head, *_, end, stop = script.told.events()
    paused = end.replace(b"end_turn", b"pause_turn")
    script.steps = [script.stream((head, *SEARCHED, paused, stop))]
    failover = {"toCloudOn": ["Unsupported"]}
    async with (
        ScriptedUpstream() as local,
        running(tmp_path, config(house(local.base_url), first(upstream), failover=failover)) as router,
    ):
        answer = await ask(router, stream=True, tools=[SEARCH])
        assert answer.body == b"".join((head, *SEARCHED, paused, stop)), answer
        script.steps = [Status(200, {**script.told.message(), "stop_reason": "pause_turn"})]
        whole = await ask(router, tools=[SEARCH])
    assert whole.json["stop_reason"] == "pause_turn" and not script.mistakes and not local.requests, whole


async def test_what_runs_at_anthropic_alone_is_refused_where_nobody_has_it(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local, ScriptedUpstream() as away:
        content = config(
            house(local.base_url), first(away), routes=None, tiers=[["house"]]
        )  # Claude is there, but no backend of the route
        async with running(tmp_path, content) as router:
            answer = await ask(router, tools=[SEARCH])
    assert answer.status == 400 and answer.json["error"]["message"].startswith("tools.0: web_search_20260318"), answer
    assert not local.requests and not away.requests


@pytest.mark.parametrize("stream", [True, False])
async def test_another_stands_in_before_the_first_token_both_ways(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool
) -> None:
    script, upstream = claude
    script.told = Told(texts=TEXT)
    script.steps = [refused(529, "overloaded_error", "Overloaded")] * 2
    async with ScriptedUpstream(default=Answer(texts=TEXT)) as local:
        async with running(tmp_path, config(first(upstream), house(local.base_url))) as router:
            answer = await ask(router, stream=stream)
        assert texts(answer) == "".join(TEXT) and answer.headers["x-genset-backend"] == "house", answer
        assert "cache_control" not in json.dumps(local.requests[0].json)
        script.steps = []
        local.always(Status(503, {"error": {"message": "loading"}}))
        async with running(tmp_path, config(house(local.base_url), first(upstream))) as router:
            answer = await ask(router, stream=stream)
        assert texts(answer) == "".join(TEXT) and answer.headers["x-genset-backend"] == "claude", answer
    assert not script.mistakes


@pytest.mark.parametrize("how", ["fin", "rst", "end"])
async def test_what_breaks_in_a_text_is_written_on_in_the_same_block(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], how: str
) -> None:
    script, upstream = claude
    script.told, script.how = Told(texts=TEXT), how
    events = script.told.events()
    async with ScriptedUpstream() as local:
        for cut in range(len(events) - 1):
            script.cut, said = cut, "".join(TEXT[: max(0, cut - 3)])
            local.always(Answer(texts=("".join(TEXT)[len(said) :],) if said else TEXT))
            content = config(first(upstream), house(local.base_url, continuation="Prefill"))
            async with running(tmp_path, content) as router:
                answer = await ask(router, stream=True, thinking={"type": "disabled"})
            kinds = [event["type"] for event in answer.chunks]
            assert texts(answer) == "".join(TEXT) and kinds[-1] == "message_stop", (cut, answer)
            assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1, (cut, kinds)
            assert kinds.count("message_start") == kinds.count("message_delta") == 1, (cut, kinds)


@pytest.mark.parametrize(
    "told",
    [Told(texts=TEXT, thoughts=("Hm",)), Told(texts=TEXT, calls=(("toolu_1", "f", ('{"a":', "1}")),))],
    ids=["sealed thoughts", "a call"],
)
async def test_what_only_claude_could_write_on_is_told(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], told: Told
) -> None:
    script, upstream = claude
    script.told = told
    script.cut = len(told.events()) - 3
    async with ScriptedUpstream() as local, running(tmp_path, config(first(upstream), house(local.base_url))) as router:
        answer = await ask(router, stream=True)
    assert answer.chunks[-1]["type"] == "error" and answer.ended == "truncated" and not local.requests, answer
    assert answer.body.startswith(b"".join(told.events()[: script.cut]))


async def test_a_finish_without_an_end_is_ended(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    script.cut, script.how = len(script.told.events()) - 1, "end"
    async with running(tmp_path, config(first(upstream))) as router:
        answer = await ask(router, stream=True)
    kinds = [event["type"] for event in answer.chunks]
    assert kinds[-2:] == ["message_delta", "message_stop"] and answer.ended == "clean", answer


async def test_thoughts_of_the_house_do_not_go_to_anthropic(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    thought = {"type": "thinking", "thinking": "mine", "signature": ""}
    turns = [
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "1"}]},
        {"role": "assistant", "content": [thought]},
        {"role": "user", "content": "more"},
    ]
    async with running(tmp_path, config(first(upstream))) as router:
        await ask(router, messages=turns)
        turns[1]["content"] = [{"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}}]  # type: ignore[index]
        turns[2:3] = []
        turns[2]["content"] = [{"type": "tool_result", "tool_use_id": "functions.f:0", "content": "2"}]  # type: ignore[index]
        await ask(router, messages=turns, tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert not script.mistakes
    assert script.bodies[0]["messages"][1]["content"] == [{"type": "text", "text": "1"}]
    assert len(script.bodies[0]["messages"]) == 3


@pytest.mark.parametrize("words", ["Invalid `signature` in `thinking` block", "Invalid signature in thinking"])
async def test_seals_of_another_model_are_left_out_once(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], words: str
) -> None:
    """A route of several accounts or models meets them as soon as it fails over (anthropic-sdk-python#1598)."""
    script, upstream = claude
    refusal = refused(400, "invalid_request_error", f"messages.1.content.0: {words}")
    script.steps = [refusal]
    async with running(tmp_path, config(first(upstream))) as router:
        answer = await ask(router)
        assert answer.json == script.told.message() and "no_thoughts" in answer.headers["x-genset-attempts"], answer
        script.steps = [refusal, refusal]
        again = await ask(router)
    assert again.status == 400 and words in again.json["error"]["message"], again
    assert script.bodies[1]["messages"][1]["content"] == [{"type": "text", "text": "1"}]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_the_models_own_answer(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream], stream: bool
) -> None:
    script, upstream = claude
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    script.told = Told(stop_reason="refusal", stop_details=details)
    async with running(tmp_path, config(first(upstream))) as router:
        answer = await ask(router, stream=stream)
    last = answer.chunks[-2]["delta"] if stream else answer.json
    assert answer.status == 200 and last["stop_reason"] == "refusal" and last["stop_details"] == details, answer


async def test_no_trick_with_keys_chooses_another_model(
    tmp_path: Path, claude: tuple[ScriptedClaude, ScriptedUpstream]
) -> None:
    script, upstream = claude
    sneaky = json.dumps(asked(metadata={"user_id": "x"})).replace('"model"', '"mod\\u0065l"').encode()
    nested = json.dumps(asked(tools=[{"name": "f", "input_schema": {"type": "object", "model": "claude-fable-5"}}]))
    async with running(tmp_path, config(first(upstream))) as router:
        for raw in (
            sneaky,
            nested.encode(),
            sneaky.replace(b'"content": "count"', b'"content": "a \\"model\\": \\"x\\""'),
        ):
            await router.ask(raw, "/v1/messages", headers=HEADERS)
    assert [body["model"] for body in script.bodies] == ["claude-opus-5"] * 3
    assert script.bodies[1]["tools"][0]["input_schema"]["model"] == "claude-fable-5"


def texts(answer: Response) -> str:
    """Returns the text of a message, streamed or not."""
    if not answer.events:
        return "".join(block.get("text", "") for block in answer.json["content"])
    return "".join(one["delta"].get("text", "") for one in answer.chunks if one["type"] == "content_block_delta")
