"""A server that refuses thoughts on messages of earlier answers gets them without, and from then on never with them again.

Clients keep what a model thought and send it back, and servers of one route differ in whether they take it (qwen-code#3304).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.router import RunningRouter, cloud, config
from testbed.upstream.client import chat
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step

#: How servers refuse thoughts (agentjido/req_llm#772, karthink/gptel#774, charmbracelet/crush#1590, and OpenAI's own words).
WORDS: dict[str, tuple[int, dict[str, Any]]] = {
    "Groq": (400, {"message": "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property "
                              "'reasoning_content' is unsupported)]", "type": "invalid_request_error"}),
    "Groq, the other name": (400, {"message": "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' "
                                              ": property 'reasoning' is unsupported, did you mean 'role'?)]"}),
    "OpenAI": (400, {"message": "Unknown parameter: 'messages[1].reasoning_content'.", "code": "unknown_parameter",
                     "param": "messages[1].reasoning_content"}),
}  # fmt: skip
MISTRAL = {
    "object": "error",
    "message": {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "messages", 1, "assistant", "reasoning_content"],
                "msg": "Extra inputs are not permitted",
                "input": "Hm.",
            }
        ]
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CHAT = chat(
    tools=TOOLS,
    messages=[
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "reasoning": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ],
)
MESSAGES = {
    "model": "counting", "max_tokens": 99, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "5"}]},
    ],
}  # fmt: skip
RESPONSES = {
    "model": "counting", "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "input": [
        {"role": "user", "content": "count"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "5"},
    ],
}  # fmt: skip
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "messages": ("/v1/messages", MESSAGES),
    "responses": ("/v1/responses", RESPONSES),
}


def thinks(body: Any) -> bool:
    return any("reasoning_content" in message or "reasoning" in message for message in body["messages"])


def strict(status: int, body: Any) -> Any:
    def choose(received: Received) -> Step | None:
        if received.method != "POST":
            return None
        return Status(status, body) if thinks(received.json) else Answer()

    return choose


@pytest.mark.parametrize("api", ASKED)
@pytest.mark.parametrize("words", [*WORDS, "Mistral"])
async def test_it_is_asked_without_them_and_that_is_kept_in_mind(tmp_path: Path, api: str, words: str) -> None:
    path, body = ASKED[api]
    status, error = WORDS.get(words, (422, {}))
    async with ScriptedUpstream(choose=strict(status, MISTRAL if words == "Mistral" else {"error": error})) as one:
        async with RunningRouter(tmp_path, config(cloud(one.base_url))) as router:
            first = await router.ask(body, path)
            second = await router.ask({**body, "stream": True}, path)
        assert first.status == 200 and "no_reasoning_content" in first.headers["x-genset-attempts"], first
        assert second.status == 200 and "no_" not in second.headers["x-genset-attempts"], second
        assert [thinks(request.json) for request in one.requests] == [True, False, False]
        calls = one.requests[1].json["messages"][1]["tool_calls"]
        assert calls[0]["function"]["name"] == "f", "nothing else is lost"


@pytest.mark.parametrize("provider", ["groq", "mistral"])
async def test_who_is_known_to_refuse_them_never_gets_them(tmp_path: Path, provider: str) -> None:
    async with (
        ScriptedUpstream(choose=strict(400, {"error": {"message": "no"}})) as one,
        RunningRouter(tmp_path, config(cloud(one.base_url, provider=provider))) as router,
    ):
        answer = await router.ask(CHAT)
    assert answer.status == 200 and answer.headers["x-genset-dropped"] == "messages[].reasoning_content", answer


async def test_who_wants_them_back_keeps_them(tmp_path: Path) -> None:
    """DeepSeek's thinking mode refuses calls without them; that speaks of the field, too."""
    words = "The `reasoning_content` in the thinking mode must be passed back to the API."
    async with ScriptedUpstream(script=[Status(400, {"error": {"message": words}})] * 2) as one:
        async with RunningRouter(tmp_path, config(cloud(one.base_url, provider="deepSeek"))) as router:
            answer = await router.ask(CHAT)
        assert answer.status == 400 and words in answer.json["error"]["message"], answer
        assert all(thinks(request.json) for request in one.requests)
