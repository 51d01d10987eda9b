"""The mistakes of other gateways, one test each: what their users met in translations between chat, Messages and Responses.

Each docstring begins with the number of the trap and names public reports of it. Claude's side is judged by the scripted API's
own rules, the clients' side as their libraries judge it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.continuation import FALLBACK
from genset.router.dialects.anthropic.client import MessagesApi
from genset.router.dialects.anthropic.client_errors import told as error_told
from genset.router.dialects.anthropic.client_writer import MessageWriter
from genset.router.dialects.call_seals import opened_id
from genset.router.dialects.marks import without_marks
from genset.router.dialects.responses.client import ResponsesApi
from genset.router.errors import error
from genset.router.machine.added_fields import speaks_of_prefill
from genset.router.machine.answer_room import limit_that_fits
from genset.router.providers import PROVIDERS
from testbed.upstream.claude import Told
from tests.unit.router import test_claude_answers as claude
from tests.unit.router import test_claude_requests as to_claude
from tests.unit.router.test_client_requests import BILLING, USER, called, chat_of, message, result, text, use
from tests.unit.router.test_client_streams import (
    STREAMS,
    USAGE,
    accumulated,
    call,
    chunk,
    finished,
    message_blocks,
    messages,
    response_blocks,
    responses,
    stream,
    told,
)

TWO_CALLS = STREAMS["calls whose pieces alternate"]


def kinds_of(name: str, writer: Any) -> list[str]:
    return [event["type"] for event in told(writer(), stream(*STREAMS[name][0]))]


@pytest.mark.parametrize("name", ["the first chunk holds the first word", "a call whose opening holds its arguments"])
def test_1_the_chunk_that_opens_a_block_loses_nothing_of_it(name: str) -> None:
    """1 (litellm#25321, #25561, #30014, #25216): the first word, or a call's whole input, was lost."""
    chunks, wanted = STREAMS[name]
    assert message_blocks(accumulated(told(messages(), stream(*chunks)))["content"]) == wanted
    assert response_blocks(finished(told(responses(), stream(*chunks)))["output"]) == wanted


def test_2_text_beside_an_empty_list_of_calls_is_text() -> None:
    """2 (litellm#29286): it became an empty piece of a call's JSON."""
    events = told(messages(), stream(*STREAMS["text beside an empty list of calls"][0]))
    assert [e["delta"]["type"] for e in events if e["type"] == "content_block_delta"] == ["text_delta"]


def test_3_thoughts_are_no_text_and_a_message_begins_once() -> None:
    """3 (litellm#32357)."""
    events = told(messages(), stream(*STREAMS["thinking, then text"][0]))
    assert [event["type"] for event in events].count("message_start") == 1
    started = [e["content_block"]["type"] for e in events if e["type"] == "content_block_start"]
    deltas = [(e["index"], e["delta"]["type"]) for e in events if e["type"] == "content_block_delta"]
    assert started == ["thinking", "text"]
    assert deltas == [(0, "thinking_delta"), (0, "thinking_delta"), (1, "text_delta")]


def test_4_a_call_that_comes_first_has_no_empty_block_before_it() -> None:
    """4 (litellm#31561): block 0 was an empty text, and the call began with an empty piece."""
    events = told(messages(), stream(*STREAMS["a call alone"][0]))
    assert [e["content_block"]["type"] for e in events if e["type"] == "content_block_start"] == ["tool_use"]
    assert all(e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta")


def test_5_pieces_of_parallel_calls_stay_apart() -> None:
    """5 (praxis#266, sglang#39782, Switchyard#760): pieces went to the call that was opened last; open blocks overlapped."""
    chunks, wanted = TWO_CALLS
    assert message_blocks(accumulated(told(messages(), stream(*chunks)))["content"]) == wanted
    assert response_blocks(finished(told(responses(), stream(*chunks)))["output"]) == wanted


def test_6_calls_of_claude_are_counted_apart_from_its_blocks() -> None:
    """6 (Portkey gateway#1284, #1275): the number of the block became that of the call."""
    answer = Told(thoughts=("hm",), texts=("I look",), calls=(("a", "f", ("{}",)), ("b", "g", ("{}",))))
    found = claude.chunks(claude.translated(b"".join(answer.events())))
    entries = [entry for one in found for choice in one["choices"] for entry in choice["delta"].get("tool_calls", ())]
    assert [(entry["index"], entry["id"]) for entry in entries if "id" in entry] == [(0, "a"), (1, "b")]


def test_7_results_of_parallel_calls_stand_in_one_message() -> None:
    """7 (KunAgent#575, mlflow#24296, rowboat#378): a message for each is refused."""
    turn = {"role": "assistant", "content": None, "tool_calls": [to_claude.call("a"), to_claude.call("b")]}
    made, _ = to_claude.sent(USER, turn, to_claude.result("a"), to_claude.result("b"))
    assert [block["type"] for block in made["messages"][2]["content"]] == ["tool_result"] * 2


def test_8_results_come_before_the_text_that_was_sent_with_them() -> None:
    """8 (llama.cpp's own /v1/messages): templates want results directly behind their calls."""
    turn = [
        USER,
        {"role": "assistant", "content": [use("a")]},
        {"role": "user", "content": [text("And?"), result("a")]},
    ]
    assert [one["role"] for one in chat_of(message(messages=turn))["messages"]][2:] == ["tool", "user"]


def test_9_cached_tokens_are_counted_once() -> None:
    """9 (envoy ai-gateway#2279, #2236, #2239, Portkey gateway#1754, bifrost#5355), both ways."""
    found = claude.chunks(claude.translated(b"".join(Told(texts=("Hi",)).events())))
    usage = next(one["usage"] for one in found if one.get("usage"))
    assert usage["prompt_tokens"] == 377 + 100 + 20 and usage["total_tokens"] == usage["prompt_tokens"] + 65
    assert usage["prompt_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 20}
    counted = accumulated(told(messages(), stream(*STREAMS["text"][0])))["usage"]
    assert counted["input_tokens"] + counted["cache_read_input_tokens"] == USAGE["prompt_tokens"]


@pytest.mark.parametrize("body", [message(stream=True), {"model": "m", "input": "x", "stream": True}])
def test_10_a_streams_usage_is_asked_for(body: dict[str, Any]) -> None:
    """10 (Floway#2): the client saw no output tokens."""
    assert chat_of(body)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(("name", "pieces"), [("text", "output_text"), ("a call alone", "function_call_arguments")])
def test_11_items_have_events_of_their_own(name: str, pieces: str) -> None:
    """11 (codex#12798, opencode#40171, #40210): with deltas and an end alone, Codex shows nothing and runs nothing."""
    kinds = kinds_of(name, responses)
    added, done = kinds.index("response.output_item.added"), kinds.index("response.output_item.done")
    assert added < kinds.index(f"response.{pieces}.delta") < kinds.index(f"response.{pieces}.done") < done


def test_12_the_last_events_hold_what_was_said() -> None:
    """12 (agentgateway#2281, litellm#31332, llm-rosetta#56): they were empty, or had neither id nor model."""
    events = told(responses(), stream(*STREAMS["text"][0]))
    by_kind = {event["type"]: event for event in events}
    assert by_kind["response.output_text.done"]["text"] == "Hello"
    assert by_kind["response.content_part.done"]["part"]["text"] == "Hello"
    last = by_kind["response.completed"]["response"]
    assert last["id"] == events[0]["response"]["id"] and last["model"] == "m"
    assert last["output"][0]["content"][0]["text"] == "Hello"


def test_13_a_text_and_a_call_have_indices_of_their_own() -> None:
    """13 (kitty-bridge KBR-240)."""
    events = told(responses(), stream(*STREAMS["text, then two calls"][0]))
    assert [e["output_index"] for e in events if e["type"] == "response.output_item.added"] == [0, 1, 2]


def test_14_each_call_is_closed() -> None:
    """14 (sub2api#2926): the session hung."""
    kinds = kinds_of("calls whose pieces alternate", responses)
    assert kinds.count("response.function_call_arguments.done") == kinds.count("response.output_item.done") == 2


def test_15_thinking_and_calls_of_one_turn_are_one_message() -> None:
    """15 (sub2api#2926, opencode#40171): DeepSeek wants the thinking on the message with the calls."""
    thought = {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    calls = [{"type": "function_call", "call_id": one, "name": "f", "arguments": "{}"} for one in "ab"]
    outputs = [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in "ab"]
    turn = chat_of({"model": "m", "input": [USER, thought, *calls, *outputs]})["messages"][1]
    assert turn["reasoning_content"] == "hm" and turn["tool_calls"] == [called("a"), called("b")]


def test_16_tools_that_run_at_openai_become_no_functions() -> None:
    """16 (opencode#40210, litellm#30722): a function without a name, and `namespace`, are refused by servers."""
    inner = {"type": "function", "name": "f"}
    tools = [{"type": "web_search"}, {"type": "namespace", "name": "n", "tools": [inner]}]
    chat, writer = ResponsesApi().request({"model": "m", "input": "x", "tools": tools}, 0.0)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["n__f"]
    assert writer.dropped == ("tools[0]:web_search",)


def test_17_an_answer_that_reached_its_limit_is_not_complete() -> None:
    """17 (codexmate#202)."""
    last = told(responses(), stream(chunk({"content": "Hi"}), chunk(finish="length")))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize("writer", [messages, responses])
def test_18_chunks_without_choices_or_delta_change_nothing(writer: Any) -> None:
    """18 (openai-python#1677, autogen#6465, openai-node#1015): Azure's first, and what follows its last."""
    events = told(writer(), stream(*STREAMS["Azure: no choices first, no delta last"][0]))
    content = accumulated(events)["content"] if writer is messages else finished(events)["output"]
    assert len(content) == 1


@pytest.mark.parametrize("api", ["messages", "responses"])
def test_19_geminis_seal_on_a_call_comes_back_to_gemini_alone(api: str) -> None:
    """19 (OpenChatCut#6, openclaude#393, OmniRoute#724): without it every second turn is refused, and so is an invented one."""
    seal = "CiQBVKhc7+/w=="
    opened = call(0, "{}", "c1", "f")
    opened["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": seal}}
    said = stream(chunk(opened), chunk(finish="tool_calls"))
    if api == "messages":
        content = accumulated(told(messages(), said))["content"]
        turn = {"role": "assistant", "content": content}
        back, writer = MessagesApi().request(
            message(messages=[USER, turn, {"role": "user", "content": [result(content[0]["id"])]}]), 0.0
        )
    else:
        item = finished(told(responses(), said))["output"][0]
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        back, writer = ResponsesApi().request({"model": "m", "input": [USER, item, output]}, 0.0)
    sealed = {**called("c1"), "extra_content": {"google": {"thought_signature": seal}}}
    assert writer.marked and back["messages"][2]["tool_call_id"] == "c1"
    assert without_marks(back, seals_calls=True)["messages"][1]["tool_calls"] == [sealed]
    assert without_marks(back)["messages"][1]["tool_calls"] == [called("c1")]


@pytest.mark.parametrize(
    "identity", ["call_1", "__sealed__", "a__sealed__", "a__sealed__%", "a__sealed____", "a__sealed__gIA"]
)
def test_19_an_id_that_only_looks_sealed_is_an_id(identity: str) -> None:
    """19: clients choose ids."""
    own, seal = opened_id(identity)
    assert (own, seal) == (identity, "") or (identity.startswith(own) and not seal)


def test_20_no_provider_of_claude_is_given_an_answer_to_go_on_with_unasked() -> None:
    """20 (strands-agents#1694): models since 4.6 refuse a last message of the assistant's."""
    assert PROVIDERS["anthropic"].continuation == FALLBACK == "Anchor"
    begun = {"role": "assistant", "content": "So"}
    assert "does not go on" in to_claude.refused(USER, begun, model="claude-opus-4-7")
    assert to_claude.sent(USER, begun, model="claude-haiku-4-5")[0]["messages"][-1]["role"] == "assistant"


def test_21_schemas_have_no_keyword_that_claude_refuses() -> None:
    """21 (litellm#19444)."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": to_claude.SCHEMA}}
    made, _ = to_claude.sent(response_format=form)
    schema = made["output_config"]["format"]["schema"]
    assert "minimum" not in schema["properties"]["age"] and schema["additionalProperties"] is False


def test_22_a_prompt_that_is_too_long_is_told_in_claude_codes_words() -> None:
    """22 (claude-code#8017, #476): without them it asks for ever, and compacts nothing."""
    found = error_told(error("policy_context_too_long", "x"), b"r", (9000, 8192))
    assert json.loads(found.body)["error"]["message"] == "prompt is too long: 9000 tokens > 8192 maximum"
    assert limit_that_fits(32_000, 10_000, 32_768) == 22_768, "its max_tokens are lowered to what is left"


def test_23_the_line_that_changes_with_each_request_is_left_out() -> None:
    """23 (llama.cpp#21793): no prefix would be found in a cache."""
    assert chat_of(message(system=[BILLING, text("S")]))["messages"][0] == {"role": "system", "content": "S"}


def test_24_a_system_message_between_turns_goes_into_the_users() -> None:
    """24 (vLLM, `_detect_merge_inline_system`): templates refuse one that is not the first."""
    turns = chat_of(message(system="S", messages=[USER, {"role": "system", "content": "R"}]))["messages"]
    assert [one["role"] for one in turns] == ["system", "user"] and "R" in turns[1]["content"]


def test_25_a_message_begins_whole_and_an_empty_one_has_a_block() -> None:
    """25 (vLLM#45367): strict clients read type and role of the first event, and the first block of each message."""
    events = told(messages(), stream(*STREAMS["nothing at all"][0]))
    assert events[0]["message"].items() >= {"type": "message", "role": "assistant", "content": []}.items()
    assert message_blocks(accumulated(events)["content"]) == [("text", "")]


@pytest.mark.parametrize(
    ("words", "refuses"),
    [
        (
            b"This model does not support assistant message prefill. The conversation must end with a user message.",
            True,
        ),
        (b"messages.1: assistant messages may not hold documents", False),
        (b"the assistant is not allowed to do this", False),
    ],
)
def test_26_not_each_word_about_the_assistant_refuses_an_answer_that_has_begun(words: bytes, refuses: bool) -> None:
    """26: a backend would be remembered as one that cannot go on."""
    assert speaks_of_prefill(words) is refuses


def test_27_ids_are_ours_and_signs_of_life_are_no_answer() -> None:
    """27: an upstream's id changes with each attempt, and openai-python refuses a response whose id changes."""
    writer = MessageWriter("m")
    before = writer.sign_of_life()
    events = told(writer, stream(*STREAMS["text"][0]))
    assert json.loads(before.split(b"data: ")[1]) == {"type": "ping"}
    assert events[0]["message"]["id"].startswith("msg_") and events[0]["message"]["id"] != "up"
    assert events[-2]["usage"]["output_tokens"] == USAGE["completion_tokens"]


def test_27_a_refusal_is_no_empty_answer() -> None:
    """27: a 200 with `refusal` and nothing else looked like an answer of no words."""
    answer = Told(stop_reason="refusal", stop_details={"type": "refusal", "category": None, "explanation": None})
    found = claude.chunks(claude.translated(b"".join(answer.events())))
    assert "content_filter" in json.dumps(found) and '"stop"' not in json.dumps(found)
