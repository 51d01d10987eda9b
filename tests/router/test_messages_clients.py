"""Anthropic's own client, unchanged, speaks to a router whose backends speak OpenAI's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.counting import counted
from testbed.upstream.gpt import ScriptedGpt
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break

ASKED: dict[str, Any] = {"model": "counting", "max_tokens": 64, "messages": [{"role": "user", "content": "count"}]}
CUT = Answer(brk=Break("fin", after_chunks=4))


def client_of(router: RunningRouter) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0)


async def test_a_message_and_a_stream_say_the_same(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        whole = await client.messages.create(**ASKED)
        async with client.messages.stream(**ASKED) as stream:
            streamed = await stream.get_final_message()
    assert whole.content[0].text == streamed.content[0].text == counted(10)
    assert (whole.stop_reason, streamed.stop_reason) == ("end_turn", "end_turn")
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 0
    assert whole.id.startswith("msg_") and whole.model == "small"


async def test_a_broken_stream_is_written_on_elsewhere(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=CUT) as local,
        ScriptedUpstream() as away,
        RunningRouter(tmp_path, config(house(local.base_url), cloud(away.base_url))) as router,
        client_of(router) as client,
        client.messages.stream(**ASKED) as stream,
    ):
        message = await stream.get_final_message()
    assert message.content[0].text == counted(10) and message.stop_reason == "end_turn"


async def test_a_broken_stream_that_nobody_writes_on_raises(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=CUT) as local,
        RunningRouter(tmp_path, config(house(local.base_url), failover={"continueStreams": False})) as router,
        client_of(router) as client,
        client.messages.stream(**ASKED) as stream,
    ):
        with pytest.raises(anthropic.APIStatusError) as told:
            await stream.get_final_message()
    assert told.value.body["error"]["details"]["genset"]["partial"] is True


async def test_a_tool_runner_sends_whole_conversations(tmp_path: Path) -> None:
    """The runner asks for a thread at first, which nobody but Anthropic keeps: it has to learn that from the refusal."""

    @anthropic.beta_async_tool
    async def weather(city: str) -> str:
        """Says the weather."""
        return f"sunny in {city}"

    gpt = ScriptedGpt("?", "{}", "use the tool", {"city": "Paris"}, "sunny in Paris", "It is sunny.")
    async with (
        ScriptedUpstream(choose=gpt.choose) as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        runner = client.beta.messages.tool_runner(
            model="counting", max_tokens=64, messages=[{"role": "user", "content": "use the tool"}], tools=[weather]
        )
        message = await runner.until_done()
    assert message.content[0].text == "It is sunny.", gpt.mistakes


async def test_models_and_tokens(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        listed = [model async for model in await client.models.list()]
        one = await client.models.retrieve("counting")
        short = [{"role": "user", "content": "a"}]
        count = await client.messages.count_tokens(model="counting", messages=short)
    assert [model.id for model in listed] == ["counting"] and one.display_name == "counting"
    assert count.input_tokens >= 1
