"""A backend by the Responses API: for chat it is translated, for Responses clients it passes as it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.client import Response, chat
from testbed.upstream.responses import Said, ScriptedResponses
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Status
from testbed.upstream.wire import event, stream_of

TEXT = ("Count", " to", " five: 1", " 2 3", " 4 5.")
CALLS = (("call_1", "get_weather", ('{"city":', '"Paris"}')),)
CALLED = {"name": "f", "arguments": "{}"}
FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
ASKED: dict[str, Any] = {
    "model": "counting",
    "input": "count",
    "stream": True,
    "include": ["reasoning.encrypted_content"],
}


@pytest.fixture
async def server() -> AsyncIterator[tuple[ScriptedResponses, ScriptedUpstream]]:
    script = ScriptedResponses(Said(texts=TEXT))
    async with ScriptedUpstream(choose=script.choose) as upstream:
        yield script, upstream


def first(upstream: ScriptedUpstream) -> dict[str, Any]:
    return cloud(upstream.base_url, "gpt", "openai", url={"api": "Responses"})


async def ask(router: RunningRouter, **more: Any) -> Response:
    return await router.ask({**ASKED, **more}, "/v1/responses")


def texts(answer: Response) -> str:
    deltas = [one for one in answer.chunks if one["type"] == "response.output_text.delta"]
    return "".join(one["delta"] for one in deltas)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("rebuilt", [True, False])
async def test_chat_is_translated(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream], stream: bool, rebuilt: bool
) -> None:
    script, upstream = server
    script.said = Said(texts=TEXT, thoughts=("Hm", "."), calls=CALLS)
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": CALLED}]},
        {"role": "tool", "tool_call_id": "c", "content": "5"},
    ]  # fmt: skip
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    body = chat(
        stream=stream, messages=turns, tools=[{"type": "function", "function": FUNCTION}], seed=3, max_tokens=5,
        reasoning_effort="low", response_format=schema, tool_choice="auto",
        stream_options={"include_usage": True} if stream else None,
    )  # fmt: skip
    async with RunningRouter(tmp_path, config(first(upstream), failover={"rebuildAnswers": rebuilt})) as router:
        answer = await router.ask(body)
    assert not script.mistakes and answer.complete and answer.text == "".join(TEXT), (script.mistakes, answer)
    assert answer.finish_reason == "tool_calls" and answer.headers["x-genset-dropped"] == "seed"
    assert answer.usage is not None and answer.usage["prompt_tokens_details"]["cached_tokens"] == 10
    held = answer.choices if stream else answer.json["choices"]
    said = [choice.get("delta") or choice.get("message") or {} for choice in held]
    calls = [call for one in said for call in one.get("tool_calls") or ()]
    assert calls[0]["id"] == "call_1" and "".join(c["function"]["arguments"] for c in calls) == '{"city":"Paris"}'
    assert "".join(one.get("reasoning_content") or "" for one in said) == "Hm."
    asked = script.bodies[0]
    assert asked["store"] is False and asked["max_output_tokens"] == 16 and asked["text"]["format"]["name"] == "n"
    assert [item.get("type", item.get("role")) for item in asked["input"]] == [
        "system", "user", "function_call", "function_call_output",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["fin", "rst", "end"])
async def test_what_breaks_off_is_written_on_or_told(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream], how: str
) -> None:
    """For a chat client, and for a client of the API itself: under the same ids, in the same item."""
    script, upstream = server
    script.how = how
    events = script.said.events()
    async with ScriptedUpstream() as local:
        content = config(first(upstream), house(local.base_url, continuation="Prefill"))
        for cut in range(len(events)):
            script.cut, said = cut, "".join(TEXT[: min(len(TEXT), max(0, cut - 4))])
            rest = "".join(TEXT)[len(said) :]
            local.always(Answer(texts=(rest,) if said and rest else () if said else TEXT))
            async with RunningRouter(tmp_path, content) as router:
                for_chat, answer = await router.ask(chat()), await ask(router)
            assert for_chat.complete and for_chat.text == "".join(TEXT), (cut, for_chat)
            kinds = [one["type"] for one in answer.chunks]
            assert kinds[-1] == "response.completed" and texts(answer) == "".join(TEXT), (cut, answer)
            assert [one["sequence_number"] for one in answer.chunks] == list(range(len(kinds))), (cut, kinds)
            assert len({one["response"]["id"] for one in answer.chunks if "response" in one}) == 1
            assert len({one["item_id"] for one in answer.chunks if "item_id" in one}) == 1, (cut, answer)
            whole = answer.chunks[-1]["response"]["output"]
            assert whole[-1]["content"][0]["text"] == "".join(TEXT) and len(whole) == 1, (cut, whole)
            assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 1, (
                cut,
                kinds,
            )
    assert not script.mistakes


async def test_requests_and_events_of_responses_clients_pass(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream]
) -> None:
    script, upstream = server
    script.said = Said(texts=TEXT, thoughts=("Hm",), seal="gAAA", searched=True)
    tools = [{"type": "web_search"}]
    async with ScriptedUpstream() as local:
        content = config(house(local.base_url), first(upstream), tiers=[["gpt"], ["house"]])
        async with RunningRouter(tmp_path, content, log=tmp_path / "log") as router:
            answer = await ask(router, tools=tools, tool_choice="required", previous_response_id="resp_0")
            assert answer.body == b"".join(script.said.events()) and answer.ended == "clean", answer
            later = await ask(router, background=True)
            assert later.status == 400 and "background" in later.json["error"]["message"], later
            whole = await ask(router, stream=False)
            assert whole.json == script.said.response(), whole
            client = openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any", max_retries=0)
            async with client, client.responses.stream(model="counting", input="count") as stream:
                assert (await stream.get_final_response()).output_text == "".join(TEXT)
            script.cut = len(script.said.events()) - 6
            broken = await ask(router)
            assert broken.chunks[-1]["type"] == "response.failed" and broken.ended == "truncated", broken
            assert broken.chunks[-1]["response"]["id"] == "resp_up"
    assert not local.requests and not script.mistakes
    assert json.loads((tmp_path / "log").read_text().splitlines()[0])["inputTokens"] == 30
    assert script.bodies[0] == {
        **ASKED,
        "model": "large",
        "tools": tools,
        "tool_choice": "required",
        "previous_response_id": "resp_0",
    }


async def test_another_stands_in_and_errors_are_read(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream]
) -> None:
    script, upstream = server
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}}
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(first(upstream), house(local.base_url))) as router,
    ):
        for step in (
            Status(500, {"error": {"message": "x"}}),
            script.stream((f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode(),)),
            script.stream((b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"x"}\n\n',)),
        ):
            for call in (ask(router), router.ask(chat())):
                script.steps = [step, step]
                answer = await call
                assert answer.status == 200 and answer.headers["x-genset-backend"] == "house", answer
                upstream_backend = router.table.backends["gpt"]
                upstream_backend.breaker.forget(0.0)


SEALED = {"google": {"thought_signature": "CiQBVKhc7+/w" * 9}}


async def test_what_a_house_has_said_is_fit_for_openai(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream]
) -> None:
    """OpenAI looks for thoughts without a seal by their id, and finds none (openclaw#21782): a house had answered before."""
    script, upstream = server
    called = {"index": 0, "id": "call_1", "type": "function", "extra_content": SEALED, "function": CALLED}
    deltas = ({"reasoning_content": "Hm."}, {"content": "I look."}, {"tool_calls": [called]})
    chunks = [{"id": "a", "model": "small", "choices": [{"index": 0, "delta": one}]} for one in deltas]
    end = {"id": "a", "model": "small", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    house_said = stream_of([*(event(one) for one in (*chunks, end)), b"data: [DONE]\n\n"], None)
    user = {"role": "user", "content": "count"}
    tools = [{"type": "function", "name": "f", "strict": True, "parameters": {"type": "object"}}]
    async with ScriptedUpstream(script=[house_said]) as local:
        content = config(house(local.base_url), first(upstream))
        async with RunningRouter(tmp_path, content) as router:
            before = (await ask(router, input=[user], tools=tools)).chunks[-1]["response"]["output"]
            assert [item["type"] for item in before] == ["reasoning", "message", "function_call"]
            local.always(Status(503, {"error": {"message": "gone"}}))
            result = {"type": "function_call_output", "call_id": before[2]["call_id"], "output": "5"}
            answer = await ask(router, input=[user, *before, result], tools=tools)
            assert texts(answer) == "".join(TEXT), (answer, script.mistakes)
    assert not script.mistakes
    message = {key: value for key, value in before[1].items() if key != "id"}
    call = {key: value for key, value in before[2].items() if key != "id"}
    assert script.bodies[0]["input"] == [user, message, {**call, "call_id": "call_1"}, {**result, "call_id": "call_1"}]


REFUSED = {
    "an account": ("invalid_encrypted_content", "The encrypted content gAAA...DQ== could not be verified."),
    "an organization": (
        "invalid_encrypted_content",
        "The encrypted content gAAA... could not be verified. Reason: Encrypted content organization_id did not match the "
        "target organization.",
    ),
    "a store": (None, "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."),
}


@pytest.mark.parametrize("whose", REFUSED)
async def test_thoughts_that_a_server_refuses_are_left_out_once(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream], whose: str
) -> None:
    """A route of two accounts meets them as soon as it fails over (openai/codex#8145, #13724)."""
    script, upstream = server
    code, words = REFUSED[whose]
    refusal = Status(
        400, {"error": {"message": words, "type": "invalid_request_error", "param": "input", "code": code}}
    )
    items = Said(texts=("Hi",), thoughts=("Hm",), seal="gAAA", calls=CALLS).items()
    output = {"type": "function_call_output", "call_id": "call_1", "output": "5"}
    given = [{"role": "user", "content": "count"}, *items, output]
    script.steps = [refusal]
    async with RunningRouter(tmp_path, config(first(upstream))) as router:
        answer = await ask(router, input=given)
        assert texts(answer) == "".join(TEXT) and "no_thoughts" in answer.headers["x-genset-attempts"], answer
        script.steps = [refusal, refusal]
        again = await ask(router, input=given)
    assert again.status == 400 and words in again.json["error"]["message"], again
    assert script.bodies[0]["input"] == given, "nothing is left out before it is refused"
    kept = [{key: value for key, value in item.items() if key != "id"} for item in items[1:]]
    assert script.bodies[1]["input"] == [given[0], *kept, output], "ids by which it would look for them go, too"


@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_that_is_told_at_its_end_alone_is_a_call(tmp_path: Path, begun: bool) -> None:
    """LM Studio tells arguments in their last event alone (BerriAI/litellm#25321), other servers an item when it is whole."""
    whole = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
    bare = {**whole, "arguments": ""}
    at: dict[str, Any] = {"output_index": 0}
    told: list[dict[str, Any]] = [
        {"type": "response.output_item.added", **at, "item": bare},
        {"type": "response.function_call_arguments.done", **at, "item_id": "fc_1", "arguments": '{"a":1}'},
        {"type": "response.output_item.done", **at, "item": bare},
    ]
    if not begun:
        told = [{"type": "response.output_item.done", **at, "item": whole}]
    head = {"id": "r", "model": "m"}
    ended = {"type": "response.completed", "response": {**head, "status": "completed", "output": [whole]}}
    events = [{"type": "response.created", "response": head}, *told, ended]
    lines = [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events]
    async with ScriptedUpstream(default=stream_of(lines, None)) as upstream:
        content = config(first(upstream))
        async with RunningRouter(tmp_path, content) as router:
            answer = await router.ask(chat(stream=False))
    choice = answer.json["choices"][0]
    call = choice["message"]["tool_calls"][0]["function"]
    assert (choice["finish_reason"], call) == ("tool_calls", {"name": "f", "arguments": '{"a":1}'}), answer


async def test_an_error_beside_a_response_that_failed_is_read(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream]
) -> None:
    """A gateway in front of the API tells it so (openai/codex#24973)."""
    script, upstream = server
    failed = {
        "type": "response.failed",
        "response": {**script.said.response("failed"), "error": None},
        "error": {"message": "Upstream provider error", "type": "server_error", "code": "upstream_error"},
    }
    step = script.stream((f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode(),))
    script.steps = [step] * 4
    async with RunningRouter(tmp_path, config(first(upstream))) as router:
        answer = await ask(router)
    assert answer.status >= 500 and "Upstream provider error" in answer.json["error"]["message"], answer


async def test_what_the_api_cannot_do_is_asked_elsewhere(
    tmp_path: Path, server: tuple[ScriptedResponses, ScriptedUpstream]
) -> None:
    script, upstream = server
    async with (
        ScriptedUpstream() as local,
        RunningRouter(tmp_path, config(first(upstream), house(local.base_url))) as router,
    ):
        answer = await router.ask(chat(stop=["x"]))
    assert answer.headers["x-genset-backend"] == "house" and not script.bodies, answer
