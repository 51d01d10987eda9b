"""A stream that breaks inside a tool call: in each API the client gets the whole call, or an error, whoever broke it off.

Asked by the official clients, streamed and whole, because what a user has is what their helpers return.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.claude import ScriptedClaude, Told
from testbed.upstream.gpt import ScriptedGpt
from testbed.upstream.scripted import ScriptedUpstream

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMED: dict[str, Any] = {"name": "get_weather", "description": "d"}
CALL = ("get_weather", {"city": "Paris"})
SAID: list[Any] = [{"role": "user", "content": "use the tool"}]
CUTS = (1, 2, 3, 4, 6)  # events: before the call, at its beginning, inside its arguments
Calls = list[tuple[str, Any]]


async def chat(url: str, stream: bool) -> Calls:
    asked: dict[str, Any] = {"model": "counting", "messages": SAID}
    asked["tools"] = [{"type": "function", "function": {**NAMED, "parameters": SCHEMA, "strict": True}}]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", max_retries=0) as client:
        if stream:
            async with client.chat.completions.stream(**asked) as events:
                found = await events.get_final_completion()
        else:
            found = await client.chat.completions.create(**asked)
    calls = found.choices[0].message.tool_calls or []
    return [(one.function.name, json.loads(one.function.arguments)) for one in calls]


async def messages(url: str, stream: bool) -> Calls:
    asked: dict[str, Any] = {"model": "counting", "max_tokens": 256, "messages": SAID}
    asked["tools"] = [{**NAMED, "input_schema": SCHEMA}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
        if stream:
            async with client.messages.stream(**asked) as events:
                found = await events.get_final_message()
        else:
            found = await client.messages.create(**asked)
    return [(block.name, block.input) for block in found.content if block.type == "tool_use"]


async def responses(url: str, stream: bool) -> Calls:
    asked: dict[str, Any] = {"model": "counting", "input": SAID}
    asked["tools"] = [{"type": "function", **NAMED, "parameters": SCHEMA, "strict": True}]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", max_retries=0) as client:
        if stream:
            async with client.responses.stream(**asked) as events:
                found: Any = await events.get_final_response()
        else:
            found = await client.responses.create(**asked)
    return [(item.name, json.loads(item.arguments)) for item in found.output if item.type == "function_call"]


@pytest.mark.parametrize("breaks", ["house", "claude"])
@pytest.mark.parametrize("ask", [chat, messages, responses], ids=lambda ask: ask.__name__)
async def test_a_call_is_whole_or_an_error(
    tmp_path: Path, ask: Callable[[str, bool], Awaitable[Calls]], breaks: str
) -> None:
    runs = [(cut, stream) for cut in CUTS for stream in (True, False)]
    met = await asyncio.gather(*(_run(tmp_path / f"{cut}-{stream}", ask, breaks, cut, stream) for cut, stream in runs))
    seen = dict(zip(runs, met, strict=True))
    assert all(calls in ([CALL], None) for calls in seen.values()), seen
    assert all(seen[cut, False] == [CALL] for cut in CUTS), f"whole answers go to the next backend: {seen}"
    assert seen[1, True] == [CALL], f"nothing was told before the break: {seen}"


async def _run(folder: Path, ask: Callable[[str, bool], Awaitable[Calls]], breaks: str, cut: int, stream: bool) -> Any:
    """Returns the calls that the client got; None for an error."""
    folder.mkdir()
    gpt = ScriptedGpt("?", "{}", "use the tool", CALL[1], "-", "-")
    claude = ScriptedClaude(
        Told(calls=(("toolu_1", "get_weather", ('{"city":', ' "Par', 'is"}')),), stop_reason="tool_use")
    )
    if breaks == "house":
        gpt.cut = cut
    else:
        claude.cut = cut
    async with ScriptedUpstream(choose=gpt.choose) as local, ScriptedUpstream(choose=claude.choose) as away:
        at_claude = cloud(away.base_url, "claude", "anthropic", url={"keyFile": "key"}) | {"model": "claude-opus-5"}
        backends = [house(local.base_url), at_claude]
        content = config(*(backends if breaks == "house" else reversed(backends)))
        async with RunningRouter(folder, content, {"key": b"sk"}) as router:
            try:
                found = await ask(router.url, stream)
            except (openai.OpenAIError, anthropic.AnthropicError):
                found = None
    assert not gpt.mistakes and not claude.mistakes
    return found
