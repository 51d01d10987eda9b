"""Conversations whose sealed thoughts another account or model has made: a server that refuses them is asked once without.

The servers' words are those of linanwx/nagobot#21, diegosouzapw/OmniRoute#1410, decolua/9router#301, anomalyco/opencode#4832,
lbjlaq/Antigravity-Manager#3342 and #498, and openai/codex#8145.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from genset.router.dialects.seals import PLACEHOLDER, demands_thoughts, refuses_seals
from testbed.router import RunningRouter, cloud, config
from testbed.upstream.claude import ScriptedClaude, Told
from testbed.upstream.client import Response, chat
from testbed.upstream.responses import Said, ScriptedResponses
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step

CLAUDES = {"type": "reasoning.text", "text": "Hm", "signature": "EqQB", "format": "anthropic-claude-v1", "index": 0}
GEMINIS = {"type": "reasoning.encrypted", "data": "CiQB", "format": "google-gemini-v1", "index": 0}
OPENAIS = {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1", "index": 0}
OF_CLAUDE = "messages.1.content.0: Invalid `signature` in `thinking` block"
OF_GEMINI = "Unable to submit request because Thought signature is not valid.. Learn more: https://cloud.google.com/x"
OF_OPENAI = "The encrypted content gAAA...DQ== could not be verified."
USER = {"role": "user", "content": "count"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def refusal(words: str, **more: Any) -> Status:
    return Status(400, {"error": {"message": words, "code": 400, **more}})


def hidden(words: str) -> Status:
    """OpenRouter's way to tell what the provider behind it has said."""
    return refusal("Provider returned error", metadata={"raw": json.dumps({"message": words}), "provider_name": "x"})


def turns(*details: dict[str, Any], seal: str = "") -> list[dict[str, Any]]:
    call: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    if seal:
        call["extra_content"] = {"google": {"thought_signature": seal}}
    thought = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm"}
    said = {**thought, "reasoning_details": list(details)} if details else thought
    return [USER, said, {"role": "tool", "tool_call_id": "call_1", "content": "5"}]


def asked(messages: list[dict[str, Any]], *, stream: bool = False) -> dict[str, Any]:
    return {**chat(stream=stream), "messages": messages, "tools": [FUNCTION]}


@contextlib.asynccontextmanager
async def before(
    tmp_path: Path, provider: str, *steps: Status
) -> AsyncIterator[tuple[RunningRouter, ScriptedUpstream]]:
    """A router before one server, which takes these steps first."""
    async with ScriptedUpstream(script=steps) as upstream:
        content = config(cloud(upstream.base_url, provider=provider))
        async with RunningRouter(tmp_path, content) as router:
            yield router, upstream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", [refusal, hidden])
@pytest.mark.parametrize(
    ("details", "words", "kept"),
    [
        (CLAUDES, OF_CLAUDE, None),
        (OPENAIS, OF_OPENAI, None),
        (GEMINIS, OF_GEMINI, [{**GEMINIS, "data": PLACEHOLDER}]),  # without any it refuses the calls
    ],
)
async def test_a_gateway_is_asked_once_more_without_what_it_refuses(
    tmp_path: Path, details: dict[str, Any], words: str, kept: Any, how: Callable[[str], Status], stream: bool
) -> None:
    said = turns(details)
    async with before(tmp_path, "openRouter", how(words)) as (router, upstream):
        answer = await router.ask(asked(said, stream=stream))
        assert answer.status == 200 and answer.ended == "clean", answer
        assert "no_thoughts" in answer.headers["x-genset-attempts"], answer
        await router.ask(asked(said))
    first, second, later = (one.json["messages"][1] for one in upstream.requests)
    assert first == later == said[1], "another conversation's seals may be good"
    assert "reasoning_content" not in second and second["tool_calls"] == said[1]["tool_calls"]
    assert second.get("reasoning_details") == kept


@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_gemini_gets_its_own_placeholder_for_the_seals_of_calls(tmp_path: Path, api: str) -> None:
    async with before(tmp_path, "gemini", refusal("Corrupted thought signature.")) as (router, upstream):
        if api == "chat":
            answer = await router.ask(asked(turns(seal="CiQB")))
        else:
            call = {"type": "tool_use", "id": "call_1__sealed__Q2lRQg", "name": "f", "input": {}}
            result = {"type": "tool_result", "tool_use_id": call["id"], "content": "5"}
            messages = [USER, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
            body = {"model": "counting", "max_tokens": 99, "messages": messages}
            answer = await router.ask(
                {**body, "tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "/v1/messages"
            )
    assert answer.status == 200, answer
    seals = [one.json["messages"][1]["tool_calls"][0]["extra_content"] for one in upstream.requests]
    assert seals == [{"google": {"thought_signature": seal}} for seal in ("CiQB", PLACEHOLDER)]


async def test_anthropic_is_asked_once_more(tmp_path: Path) -> None:
    script = ScriptedClaude(Told(texts=("Five.",)))
    refuses = [Status(400, {"type": "error", "error": {"type": "invalid_request_error", "message": OF_CLAUDE}})]

    def choose(received: Received) -> Step | None:
        return refuses.pop() if refuses else script.choose(received)

    async with ScriptedUpstream(choose=choose) as upstream:
        content = config(cloud(upstream.base_url, "claude", "anthropic") | {"model": "claude-opus-5"})
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(asked(turns(CLAUDES)))
    assert answer.status == 200 and not script.mistakes, (answer, script.mistakes)
    kinds = [[block["type"] for block in one.json["messages"][1]["content"]] for one in upstream.requests]
    assert kinds == [["thinking", "tool_use"], ["tool_use"]]


async def test_openai_is_asked_once_more_by_its_responses_api(tmp_path: Path) -> None:
    script = ScriptedResponses(Said(texts=("Five.",)))
    script.steps = [refusal(OF_OPENAI)]
    async with ScriptedUpstream(choose=script.choose) as upstream:
        content = config(cloud(upstream.base_url, "gpt", "openai", url={"api": "Responses"}))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(asked(turns(OPENAIS)))
    assert answer.status == 200, answer
    kinds = [[item.get("type", "message") for item in body["input"]] for body in script.bodies]
    assert kinds == [
        ["message", "reasoning", "function_call", "function_call_output"],
        ["message", "function_call", "function_call_output"],
    ]


async def test_a_server_that_refuses_again_is_believed(tmp_path: Path) -> None:
    async with before(tmp_path, "openRouter", refusal(OF_CLAUDE), refusal(OF_CLAUDE)) as (router, upstream):
        answer = await router.ask(asked(turns(CLAUDES)))
    assert answer.status == 400 and OF_CLAUDE in answer.json["error"]["message"], answer
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("words", [OF_CLAUDE, "Missing `reasoning_content` field in the assistant message."])
async def test_a_request_without_what_is_refused_is_not_asked_again(tmp_path: Path, words: str) -> None:
    """A server may quote a caller, who would have each request sent twice."""
    async with before(tmp_path, "openRouter", refusal(words)) as (router, upstream):
        answer = await router.ask(chat())
    assert answer.status == 400 and len(upstream.requests) == 1, answer


async def test_the_next_backend_gets_the_seals(tmp_path: Path) -> None:
    """It may be the account that has made them."""
    async with (
        ScriptedUpstream(script=[refusal(OF_CLAUDE), Status(503, "x"), Status(503, "x")]) as one,
        ScriptedUpstream(default=Answer()) as other,
    ):
        content = config(cloud(one.base_url, "one", "openRouter"), cloud(other.base_url, "other", "openRouter"))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(asked(turns(CLAUDES)))
    assert answer.headers["x-genset-backend"] == "other", answer
    assert "reasoning_details" not in one.requests[1].json["messages"][1]
    assert other.requests[0].json["messages"][1]["reasoning_details"] == [CLAUDES]


@pytest.mark.parametrize(
    "words", [OF_CLAUDE, OF_GEMINI, OF_OPENAI, "Corrupted thought signature.", "Invalid thought signature."]
)
def test_refusals_of_seals_are_known(words: str) -> None:
    assert refuses_seals(words)


DEEPSEEKS = "The `content[].thinking` in the thinking mode must be passed back to the API."
DEMANDS = (
    DEEPSEEKS,
    "The reasoning_content in the thinking mode must be passed back to the API.",
    "Missing `reasoning_content` field in the assistant message at message index 2.",
    "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",  # Moonshot
)


@pytest.mark.parametrize("words", DEMANDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_who_demands_thoughts_that_nobody_has_does_not_think(tmp_path: Path, words: str, stream: bool) -> None:
    """Agents drop them, and a house has thought others (decolua/9router#355, #2397, SuperJJ007/CSSwitch#73)."""
    said = turns()
    async with before(tmp_path, "deepSeek", refusal(words)) as (router, upstream):
        answer = await router.ask({**asked(said, stream=stream), "reasoning_effort": "high"})
    assert answer.status == 200 and "no_thinking" in answer.headers["x-genset-attempts"], answer
    first, second = (one.json for one in upstream.requests)
    assert "thinking" not in first and second["thinking"] == {"type": "disabled"} and "reasoning_effort" not in second
    assert second["messages"] == first["messages"]


@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_deepseeks_server_of_messages_is_asked_not_to_think(tmp_path: Path, api: str) -> None:
    """OEvortex/aether#31: it thinks unless told not to, and a house has made the call."""
    async with ScriptedUpstream(choose=_deepseek) as upstream:
        content = config(cloud(upstream.base_url, "deepseek", "anthropic") | {"model": "deepseek-v4-flash"})
        async with RunningRouter(tmp_path, content) as router:
            answer = await _tool_turn(router, api)
    assert answer.status == 200 and "no_thinking" in answer.headers["x-genset-attempts"], answer
    assert [one.json.get("thinking") for one in upstream.requests][1] == {"type": "disabled"}


def _deepseek(received: Received) -> Step | None:
    if received.json.get("thinking") == {"type": "disabled"}:
        return ScriptedClaude(Told(texts=("Five.",))).choose(received)
    return Status(400, {"error": {"message": DEEPSEEKS, "type": "invalid_request_error", "param": None}})


async def _tool_turn(router: RunningRouter, api: str) -> Response:
    if api == "chat":
        return await router.ask({**asked(turns()), "reasoning_effort": "high"})
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    thought = {"type": "thinking", "thinking": "Hm", "signature": ""}  # of a house
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "5"}
    body = {
        "model": "counting",
        "max_tokens": 8192,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "messages": [USER, {"role": "assistant", "content": [thought, call]}, {"role": "user", "content": [result]}],
    }
    return await router.ask(body, "/v1/messages")


@pytest.mark.parametrize("api", ["chat", "messages"])
async def test_claude_with_a_budget_goes_on_from_calls_of_a_house(tmp_path: Path, api: str) -> None:
    """Of 4.5 it demands the thoughts of the calls whose results it gets (router-for-me/CLIProxyAPI#928)."""
    script = ScriptedClaude(Told(texts=("Five.",)))
    async with ScriptedUpstream(choose=script.choose) as upstream:
        content = config(cloud(upstream.base_url, "claude", "anthropic") | {"model": "claude-haiku-4-5"})
        async with RunningRouter(tmp_path, content) as router:
            answer = await _tool_turn(router, api)
    assert answer.status == 200, (answer, script.mistakes)
    assert upstream.requests[-1].json.get("thinking") in (None, {"type": "disabled"})
    if api == "chat":  # translated for this model: known before it is asked
        assert len(upstream.requests) == 1 and "reasoning_effort" in answer.headers["x-genset-dropped"], answer


@pytest.mark.parametrize(
    "words",
    [
        "Function call is missing a thought_signature in functionCall parts.",
        "The signature of your key is not valid",
        "messages: text content blocks must be non-empty",
    ],
)
def test_other_refusals_are_not_of_seals(words: str) -> None:
    assert not refuses_seals(words) and not demands_thoughts(words)
