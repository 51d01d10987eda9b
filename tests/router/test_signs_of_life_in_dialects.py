"""A client that waits hears that its answer is awaited, in the form that its API has for that, and then one whole answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.counting import counted
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Reset, Silence
from tests.support.router.dialects import DIALECTS

SOON = Bounds(attempts=Timeouts(comment=0.1, working=0.1))
SLOW = Answer(first_delay=1.0)


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_client_that_waits_hears_of_it(tmp_path: Path, name: str) -> None:
    dialect = DIALECTS[name]
    async with (
        ScriptedUpstream(default=SLOW) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=SOON) as router,
    ):
        answer = await router.ask(dialect.body(stream=True), dialect.path)
    seen = dialect.seen(answer)
    assert (seen.verdict, seen.text) == ("whole", counted(10))
    kinds = [event["type"] for event in answer.chunks]
    assert kinds.count("ping" if name == "messages" else "response.in_progress") >= 3, kinds
    assert any("x-genset-backend: house" in (event.comment or "") for event in answer.events), (
        "who answered is told late"
    )


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_healthy_stream_holds_nothing_of_ours(tmp_path: Path, name: str) -> None:
    dialect = DIALECTS[name]
    async with ScriptedUpstream() as local, RunningRouter(tmp_path, config(house(local.base_url))) as router:
        answer = await router.ask(dialect.body(stream=True), dialect.path)
    assert dialect.seen(answer).verdict == "whole" and answer.headers["x-genset-backend"] == "house"
    assert not [event for event in answer.events if event.comment is not None or "ping" in event.data]


@pytest.mark.parametrize("name", DIALECTS)
async def test_nobody_answers_a_client_that_has_heard_something(tmp_path: Path, name: str) -> None:
    dialect = DIALECTS[name]
    content = {"failover": {"firstTokenSeconds": 0.5}}
    async with (
        ScriptedUpstream(default=Silence()) as local,
        ScriptedUpstream(default=Reset()) as away,
        RunningRouter(tmp_path, config(house(local.base_url), cloud(away.base_url), **content), bounds=SOON) as router,
    ):
        answer = await router.ask(dialect.body(stream=True), dialect.path)
    assert answer.status == 200 and dialect.seen(answer).verdict == "told" and dialect.seen(answer).text == ""


async def test_official_clients_take_signs_of_life(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "counting", "max_tokens": 64, "messages": [{"role": "user", "content": "count"}]}
    async with (
        ScriptedUpstream(default=SLOW) as local,
        RunningRouter(tmp_path, config(house(local.base_url)), bounds=SOON) as router,
        anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0) as one,
        openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0) as other,
    ):
        async with one.messages.stream(**asked) as stream:
            message = await stream.get_final_message()
        async with other.responses.stream(model="counting", input="count") as events:
            response = await events.get_final_response()
    assert message.content[0].text == response.output_text == counted(10)
