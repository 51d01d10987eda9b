"""The official clients of Anthropic's and OpenAI's newer APIs against a router with a real llama-server behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from e2e.counting import TOKEN_CHARACTERS, fault
from e2e.vllm.engines import EngineProcess, llama_server
from testbed.cluster.processes import Daemons
from testbed.router import RunningRouter, config, house

TOKENS, STREAMS = 600, 3
TOOL: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


async def test_messages(llama: EngineProcess, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "model": "assistant",
        "max_tokens": 12,
        "extra_body": {"temperature": 0.0},  # the newest client has no such argument
        "system": "You count.",
        "messages": [{"role": "user", "content": "count: one two"}],
    }
    async with (
        RunningRouter(tmp_path, config(house(llama.base_url + "/v1"), models=["assistant"])) as router,
        anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0) as client,
    ):
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        forced = await client.messages.create(
            **asked, tools=[{"name": "weather", "input_schema": TOOL}], tool_choice={"type": "any"}
        )
        count = await client.messages.count_tokens(model="assistant", messages=asked["messages"])
    assert [block.to_dict() for block in whole.content] == [block.to_dict() for block in streamed.content]
    assert whole.stop_reason == streamed.stop_reason == "max_tokens"
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 12
    assert forced.stop_reason in ("tool_use", "max_tokens") and count.input_tokens > 0


async def test_responses(llama: EngineProcess, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "model": "assistant",
        "max_output_tokens": 12,
        "temperature": 0.0,
        "instructions": "You count.",
        "input": "count: one two",
    }
    async with (
        RunningRouter(tmp_path, config(house(llama.base_url + "/v1"), models=["assistant"])) as router,
        openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0) as client,
    ):
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            streamed = [event async for event in stream][-1].response
    assert whole.output_text == streamed.output_text
    assert whole.status == streamed.status == "incomplete"
    assert whole.usage.output_tokens == streamed.usage.output_tokens == 12


async def _message(url: str) -> AsyncIterator[str]:
    asked: list[Any] = [{"role": "user", "content": "count"}]
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client,
        client.messages.stream(model="assistant", max_tokens=TOKENS, messages=asked) as stream,
    ):
        async for text in stream.text_stream:
            yield text
        assert (await stream.get_final_message()).stop_reason == "max_tokens"


async def _response(url: str) -> AsyncIterator[str]:
    async with (
        openai.AsyncOpenAI(base_url=url + "/v1", api_key="any", max_retries=0) as client,
        client.responses.stream(model="assistant", max_output_tokens=TOKENS, input="count") as stream,
    ):
        async for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta
        assert event.type == "response.incomplete"  # as max_output_tokens end it


@pytest.mark.parametrize("said", [_message, _response])
async def test_a_server_that_is_killed_leaves_a_whole_answer(llama: EngineProcess, tmp_path: Path, said: Any) -> None:
    """kill -9 of a real llama-server under streams of either API; another one writes on, and the client sees one answer."""
    backends = [house(f"{llama.base_url}/v1", "other", continuation="Prefill")]
    with llama_server(Daemons(tmp_path)).running() as victim:
        backends.insert(0, house(f"{victim.base_url}/v1", "victim", continuation="Prefill"))
        async with RunningRouter(tmp_path, config(*backends, models=["assistant"])) as router:
            texts = [""] * STREAMS

            async def read(number: int) -> None:
                async for text in said(router.url):
                    texts[number] += text
                    if number == 0 and len(text) < len(texts[0]) and len(texts[0]) >= TOKENS // 3 * TOKEN_CHARACTERS:
                        victim.kill()

            await asyncio.gather(*map(read, range(STREAMS)))
    assert [fault(text, TOKENS) for text in texts] == [""] * STREAMS
