"""OpenAI's own client, unchanged, speaks the Responses API to a router whose backends speak chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.counting import counted
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break

ASKED: dict[str, Any] = {"model": "counting", "input": "count"}


def client_of(router: RunningRouter) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0)


async def test_a_response_and_a_stream_say_the_same(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        whole = await client.responses.create(**ASKED)
        async with client.responses.stream(**ASKED) as stream:
            streamed = await stream.get_final_response()
    assert whole.output_text == streamed.output_text == counted(10)
    assert (whole.status, streamed.status) == ("completed", "completed")
    assert whole.usage is not None and streamed.usage is not None
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 0
    assert whole.id.startswith("resp_") and whole.model == "small" and whole.store is False


async def test_a_broken_stream_is_written_on_elsewhere(tmp_path: Path) -> None:
    cut = Answer(brk=Break("fin", after_chunks=4))
    async with (
        ScriptedUpstream(default=cut) as local,
        ScriptedUpstream() as away,
        RunningRouter(tmp_path, config(house(local.base_url), cloud(away.base_url))) as router,
        client_of(router) as client,
        client.responses.stream(**ASKED) as stream,
    ):
        response = await stream.get_final_response()
    assert response.output_text == counted(10) and response.status == "completed"


async def test_a_broken_stream_that_nobody_writes_on_raises(tmp_path: Path) -> None:
    cut = Answer(brk=Break("fin", after_chunks=4))
    content = config
    async with (
        ScriptedUpstream(default=cut) as local,
        RunningRouter(tmp_path, content(house(local.base_url), failover={"continueStreams": False})) as router,
        client_of(router) as client,
    ):
        events = []
        with pytest.raises(Exception):  # noqa: B017
            async with client.responses.stream(**ASKED) as stream:
                async for event in stream:
                    events.append(event)
    assert events[-1].type == "response.failed", events
    assert events[-1].response.error.code == "server_error"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("background", True),
        ("conversation", "conv_1"),
        ("prompt", {"id": "p"}),
        ("tool_choice", {"type": "web_search"}),
    ],
)
async def test_what_needs_a_store_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        with pytest.raises(openai.BadRequestError) as told:
            await client.responses.create(**ASKED, **{field: value})
    assert told.value.param == field and told.value.code == "unsupported_parameter"


async def test_tokens(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(house(local.base_url))) as router,
        client_of(router) as client,
    ):
        count = await client.responses.input_tokens.count(**ASKED)
    assert count.input_tokens >= 1
