"""The official clients of Anthropic's and OpenAI's newer APIs against a router with a real llama-server behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai

from e2e.vllm.engines import EngineProcess
from testbed.router import RunningRouter, config, house

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
