"""What a request in another API becomes as OpenAI's chat: each field acts, is refused, or is named as left out. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genset.router.dialects.anthropic.backend_request import translated
from genset.router.dialects.anthropic.client import MessagesApi
from genset.router.dialects.anthropic.client_errors import told
from genset.router.dialects.client import RefusedRequest
from genset.router.dialects.marks import without_marks
from genset.router.dialects.responses.client import ResponsesApi
from genset.router.errors import error

USER = {"role": "user", "content": "Hi"}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}}


def message(**more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [USER], **more}


def chat_of(body: dict[str, Any]) -> dict[str, Any]:
    chat, _ = (MessagesApi() if "messages" in body else ResponsesApi()).request(body, 0.0)
    return {key: value for key, value in without_marks(chat).items() if key != "model"}


def use(identity: str, name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


def result(identity: str, content: Any = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": content, **more}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def called(identity: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
PICTURE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
BILLING = text("x-anthropic-billing-header: cc_version=2.1; cch=12345;")

#: Messages of the Messages API -> those of the chat.
CONVERSATIONS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "a text": (message(), [USER]),
    "a system text": (message(system="S"), [{"role": "system", "content": "S"}, USER]),
    "system blocks, without the one that changes": (
        message(system=[BILLING, text("A", cache_control={"type": "ephemeral"}), text("B")]),
        [{"role": "system", "content": "A\n\nB"}, USER],
    ),
    "a system message behind the user's": (
        message(messages=[USER, {"role": "system", "content": "R"}]),
        [{"role": "user", "content": "Hi\n\n<system-reminder>\nR\n</system-reminder>"}],
    ),
    "two user messages in a row": (message(messages=[USER, USER]), [{"role": "user", "content": "Hi\n\nHi"}]),
    "a picture": (
        message(messages=[{"role": "user", "content": [PICTURE, text("What?")]}]),
        [{"role": "user", "content": [PICTURE_PART, {"type": "text", "text": "What?"}]}],
    ),
    "results stand before the text that was sent with them": (
        message(
            messages=[
                USER,
                {"role": "assistant", "content": [text("Look"), use("a", x=1), use("b")]},
                {"role": "user", "content": [text("And?"), result("a"), result("b", "no", is_error=True)]},
            ]
        ),
        [
            USER,
            {"role": "assistant", "content": "Look", "tool_calls": [called("a", '{"x":1}'), called("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "ok"},
            {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
            {"role": "user", "content": "And?"},
        ],
    ),
    "a picture in a result follows behind all results": (
        message(
            messages=[
                USER,
                {"role": "assistant", "content": [use("a"), use("b")]},
                {"role": "user", "content": [result("a", [text("see"), PICTURE]), result("b")]},
            ]
        ),
        [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "see\n[image]"},
            {"role": "tool", "tool_call_id": "b", "content": "ok"},
            {"role": "user", "content": [PICTURE_PART]},
        ],
    ),
    "thinking of the turn that runs": (
        message(
            messages=[
                USER,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "old", "signature": ""}, text("A")]},
                USER,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "new", "signature": "s"}, use("a")]},
                {"role": "user", "content": [result("a")]},
            ]
        ),
        [
            USER,
            {"role": "assistant", "content": "A"},
            USER,
            {"role": "assistant", "content": None, "tool_calls": [called("a")], "reasoning_content": "new"},
            {"role": "tool", "tool_call_id": "a", "content": "ok"},
        ],
    ),
    "an answer that is begun": (
        message(messages=[USER, {"role": "assistant", "content": "So"}]),
        [USER, {"role": "assistant", "content": "So"}],
    ),
    "an input": ({"model": "m", "input": "Hi"}, [USER]),
    "instructions and developers become one": (
        {
            "model": "m",
            "instructions": "I",
            "input": [
                {"role": "developer", "content": "D"},
                {"type": "message", "role": "developer", "content": "E"},
                USER,
            ],
        },
        [{"role": "system", "content": "I\n\nD\n\nE"}, USER],
    ),
    "thinking, text and calls are one message": (
        {
            "model": "m",
            "input": [
                USER,
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "hm"}],
                },
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look"}]},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "ok"},
                {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "no"}]},
            ],
        },
        [
            USER,
            {
                "role": "assistant",
                "content": "Look",
                "reasoning_content": "hm",
                "tool_calls": [called("a"), called("b")],
            },
            {"role": "tool", "tool_call_id": "a", "content": "ok"},
            {"role": "tool", "tool_call_id": "b", "content": "no"},
        ],
    ),
    "free text is a function's only argument": (
        {
            "model": "m",
            "input": [
                USER,
                {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
            ],
        },
        [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [called("a", '{"input":"*** Begin"}', "patch")]},
            {"role": "tool", "tool_call_id": "a", "content": "done"},
        ],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_messages(name: str) -> None:
    body, wanted = CONVERSATIONS[name]
    before = json.dumps(body)
    assert chat_of(body)["messages"] == wanted
    assert json.dumps(body) == before, "the client's request is not changed"


FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {}}

#: Fields -> what they become.
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a limit": (message(), {"max_tokens": 9}),
    "a stream asks for its usage": (message(stream=True), {"stream": True, "stream_options": {"include_usage": True}}),
    "sampling": (message(temperature=0.5, top_p=0.9, top_k=4), {"temperature": 0.5, "top_p": 0.9, "top_k": 4}),
    "stop": (message(stop_sequences=["X"]), {"stop": ["X"]}),
    "tools": (message(tools=[TOOL]), {"tools": [FUNCTION]}),
    "any tool": (message(tools=[TOOL], tool_choice={"type": "any"}), {"tool_choice": "required"}),
    "one tool": (
        message(tools=[TOOL], tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False},
    ),
    "no tool": (message(tools=[TOOL], tool_choice={"type": "none"}), {"tool_choice": "none"}),
    "effort": (message(output_config={"effort": "max"}), {"reasoning_effort": "high"}),
    "no thinking": (message(thinking={"type": "disabled"}), {"chat_template_kwargs": {"enable_thinking": False}}),
    "as much thinking as the model likes": (message(thinking={"type": "enabled"}), {}),
    "a schema": (
        message(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "output", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "a user, who is told apart and not named": (
        message(metadata={"user_id": "u"}),
        {"user": "0bfe935e70c321c7ca3afc75ce0d0ca2f98b5422e008bb31c00c6d7f1f1c0ad6"},
    ),
    "a limit of a response": ({"model": "m", "input": "Hi", "max_output_tokens": 9}, {"max_tokens": 9}),
    "functions are flat": (
        {
            "model": "m",
            "input": "Hi",
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
        },
        {"tools": [FUNCTION]},
    ),
    "a format": (
        {
            "model": "m",
            "input": "Hi",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
        },
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
    ),
    "reasoning": ({"model": "m", "input": "Hi", "reasoning": {"effort": "minimal"}}, {"reasoning_effort": "low"}),
    "log probabilities": (
        {"model": "m", "input": "Hi", "top_logprobs": 2, "include": ["message.output_text.logprobs"]},
        {"logprobs": True, "top_logprobs": 2},
    ),
    "allowed tools": (
        {
            "model": "m",
            "input": "Hi",
            "tools": [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("f", "g")],
            "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
        },
        {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "g", "parameters": SCHEMA}}]},
    ),
    "a namespace": (
        {
            "model": "m",
            "input": "Hi",
            "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}],
        },
        {"tools": [{"type": "function", "function": {"name": "n__f", "parameters": SCHEMA}}]},
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    body, wanted = FIELDS[name]
    chat = chat_of(body)
    assert {key: chat.get(key) for key in wanted} == wanted


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": "m", "messages": [USER]}, "max_tokens"),
    (message(max_tokens=0), "max_tokens"),
    (message(messages=[]), "messages"),
    (message(messages=[7]), "messages.0"),
    (message(messages=[{"role": "tool", "content": "x"}]), "messages.0.role"),
    (message(messages=[{"role": "user", "content": None}]), "messages.0.content"),
    (message(messages=[{"role": "user", "content": [{"type": "container_upload"}]}]), "messages.0.content.0.type"),
    (
        message(messages=[{"role": "user", "content": [{**PICTURE, "source": {"type": "file", "file_id": "f"}}]}]),
        "messages.0.content.0.source",
    ),
    (message(messages=[{"role": "user", "content": [{"type": "tool_result"}]}]), "messages.0.content.0.tool_use_id"),
    (message(tools=[{"type": "web_search_20260318", "name": "web_search"}]), "tools.0"),
    (message(tools=[{"name": "f"}]), "tools.0.input_schema"),
    (message(tools=[TOOL], tool_choice={"type": "tool"}), "tool_choice"),
    (message(mcp_servers=[{"url": "x"}]), "mcp_servers"),
    (message(compaction={"type": "summarize"}), "compaction"),
    (message(thread={"type": "create"}), "thread"),
    (message(thread={"type": "continue", "previous_message_id": "msg_1"}), "thread"),
    (message(thinking={"type": "later"}), "thinking.type"),
    (message(output_config={"effort": "mad"}), "output_config.effort"),
    (message(stream="yes"), "stream"),
    ({"model": "m"}, "input"),
    ({"model": "m", "input": []}, "input"),
    ({"model": "m", "input": "x", "previous_response_id": "r"}, "previous_response_id"),
    ({"model": "m", "input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
    (
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0]",
    ),
    ({"model": "m", "input": "x", "tools": [{"type": "mcp"}], "tool_choice": "required"}, "tool_choice"),
    ({"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"model": "m", "input": "x", "text": {"format": {"type": "xml"}}}, "text.format"),
    ({"model": "m", "input": "x", "reasoning": {"effort": 3}}, "reasoning.effort"),
    ({"model": "m", "input": "x", "max_output_tokens": "9"}, "max_output_tokens"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=[f"{n}-{field}" for n, (_, field) in enumerate(REFUSED)])
def test_what_cannot_be_served_is_refused_with_its_field_and_a_remedy(body: dict[str, Any], field: str) -> None:
    dialect = MessagesApi() if "input" not in body and "messages" in body else ResponsesApi()
    with pytest.raises(RefusedRequest) as refused:
        dialect.request(body, 0.0)
    assert refused.value.field == field
    message_ = str(refused.value)
    assert field.split(".")[0].split("[")[0] in message_ and (";" in message_ or ":" in message_), message_


DROPPED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (message(context_management={"edits": [1]}, thinking={"type": "adaptive"}), ("context_management",)),
    (message(service_tier="auto", speed="fast"), ("speed",)),
    (
        {"model": "m", "input": "x", "store": False, "client_metadata": {"a": 1}, "tools": [{"type": "web_search"}]},
        ("client_metadata", "tools[0]:web_search"),
    ),
    (
        {"model": "m", "input": "x", "include": ["reasoning.encrypted_content"]},
        ("include:reasoning.encrypted_content",),
    ),
]


@pytest.mark.parametrize(("body", "dropped"), DROPPED)
def test_what_is_left_out_is_named(body: dict[str, Any], dropped: tuple[str, ...]) -> None:
    _, writer = (MessagesApi() if "messages" in body else ResponsesApi()).request(body, 0.0)
    assert writer.dropped == dropped


@pytest.mark.parametrize(
    ("word", "said", "status", "kind"),
    [
        ("router_no_backend", "x", 529, "overloaded_error"),
        ("provider_rate_limited", "x", 429, "rate_limit_error"),
        ("provider_unreachable", "x", 502, "api_error"),
        ("policy_model_not_found", "x", 404, "not_found_error"),
        ("caller_body_too_large", "x", 413, "request_too_large"),
        ("router_deadline", "x", 504, "timeout_error"),
    ],
)
def test_errors_of_messages(word: str, said: str, status: int, kind: str) -> None:
    found = told(error(word, said), b"req-1")
    body = json.loads(found.body)
    assert found.status == status and body["error"] == {"type": kind, "message": said} and body["request_id"] == "req-1"


def test_a_thread_is_refused_in_the_words_on_which_tool_runners_send_whole_conversations() -> None:
    with pytest.raises(RefusedRequest) as refused:
        MessagesApi().request(message(thread={"type": "create"}), 0.0)
    found = json.loads(told(refused.value.answer(), b"r").body)
    assert found["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": []}


@pytest.mark.parametrize(
    ("said", "room", "wanted"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, your request has about 5000 input tokens. Please",
            None,
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (
            "the request exceeds the available context size",
            (5000, 4096),
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        ("too much", (10, 4096), "prompt is too long: 4097 tokens > 4096 maximum"),
        ("Input is too long", None, "prompt is too long: Input is too long"),
        ("prompt is too long: 2 tokens > 1 maximum", None, "prompt is too long: 2 tokens > 1 maximum"),
    ],
)
def test_a_prompt_that_is_too_long(said: str, room: tuple[int, int] | None, wanted: str) -> None:
    found = told(error("provider_context_exceeded", said), b"r", room)
    assert found.status == 400 and json.loads(found.body)["error"]["message"] == wanted


def test_what_only_anthropic_reads_comes_back_there_and_nowhere_else() -> None:
    mark = {"type": "ephemeral"}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    body = message(
        system=[text("S", cache_control=mark)],
        tools=[{**TOOL, "cache_control": mark}],
        messages=[
            {"role": "user", "content": [text("Hi", cache_control=mark)]},
            {"role": "assistant", "content": [thinking, use("a", x=1)]},
            {"role": "user", "content": [result("a", cache_control=mark)]},
        ],
    )
    chat, writer = MessagesApi().request(body, 0.0)
    assert writer.marked
    back = translated({**chat, "model": "claude-sonnet-4-6"}).body
    assert back["system"] == [text("S", cache_control=mark)] and back["tools"][0]["cache_control"] == mark
    assert back["messages"][0]["content"] == [text("Hi", cache_control=mark)]
    assert back["messages"][1]["content"] == [thinking, use("a", x=1)]
    assert back["messages"][2]["content"][0]["cache_control"] == mark
    bare = json.dumps(without_marks(chat))
    assert "cache_control" not in bare and "reasoning_details" not in bare and "sig" not in bare
