"""Whatever a client of another API sends: it becomes a chat, or is refused in words. Nothing else ever leaves the translation."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.router.dialects.anthropic.client import MessagesApi
from genset.router.dialects.client import ClientDialect, RefusedRequest
from genset.router.dialects.marks import without_marks
from genset.router.dialects.responses.client import ResponsesApi

#: Words that decide something in one of the two APIs, and keys of the objects in them.
WORDS: Final = """
    text image document tool_use tool_result thinking redacted_thinking base64 url content search_result function custom namespace
    allowed_tools web_search message reasoning function_call function_call_output custom_tool_call custom_tool_call_output
    item_reference input_text output_text input_image input_file refusal auto none any required tool json_schema json_object
    disabled enabled adaptive low high
"""
KEYS: Final = """
    type role content text id name input source data media_type url tool_use_id tool_calls thinking signature tools tool_choice
    input_schema parameters format schema effort call_id output arguments summary image_url file_data is_error cache_control mode
    description strict namespace title encrypted_content
"""
OF_MESSAGES: Final = """
    system tools tool_choice stream stop_sequences thinking output_config metadata cache_control temperature mcp_servers unknown
"""
OF_RESPONSES: Final = """
    instructions tools tool_choice stream text reasoning include top_logprobs max_output_tokens metadata user unknown
"""

keys, words = st.sampled_from(KEYS.split()), st.sampled_from(WORDS.split())
numbers = st.integers(-3, 70_000) | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | words | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
typed = st.builds(lambda kind, more: {**more, "type": kind}, words, st.dictionaries(keys, values, max_size=4))
contents = st.text(max_size=3) | st.lists(typed, max_size=3) | values
roles = st.sampled_from(("user", "assistant", "system", "developer"))
turns = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), max_size=4)
items = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}) | typed, max_size=4)


def some(names: str) -> dict[str, st.SearchStrategy[Any]]:
    return {name: values | st.lists(typed, max_size=3) for name in names.split()}


messages = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.just(9), "messages": turns | values}, optional=some(OF_MESSAGES)
)
responses = st.fixed_dictionaries({"model": st.just("m"), "input": items | values}, optional=some(OF_RESPONSES))


@pytest.mark.parametrize("api", [MessagesApi, ResponsesApi])
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_anything_is_a_chat_or_refused(api: type[ClientDialect], data: st.DataObject) -> None:
    body = data.draw(messages if api is MessagesApi else responses)
    before = json.dumps(body)
    try:
        chat, writer = api().request(body, 1.0)
    except RefusedRequest as refused:
        assert refused.field and str(refused)
        assert refused.answer().status == 400
    else:
        assert all(isinstance(message["role"], str) for message in chat["messages"])
        json.dumps(without_marks(chat))
        assert all(isinstance(name, str) for name in writer.dropped)
        assert writer.sign_of_life().endswith(b"\n\n")
    assert json.dumps(body) == before
