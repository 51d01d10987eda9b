"""This program asks with LangChain's chat models. CLIENT_API is chat, responses or anthropic."""

from __future__ import annotations

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool as as_tool
from pydantic import BaseModel
from tasks import URL, WISH, run, weather


class Form(BaseModel):
    """The weather."""

    city: str
    sunny: bool


def chat(model: str) -> object:
    if os.environ["CLIENT_API"] == "anthropic":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model=model, base_url=URL, api_key="any", max_retries=0, max_tokens=256)
    from langchain_openai import ChatOpenAI

    responses = os.environ["CLIENT_API"] == "responses"
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key="any", max_retries=0, use_responses_api=responses)


def whole(model: str) -> str:
    return chat(model).invoke("Hi").text


def stream(model: str) -> str:
    return "".join(chunk.text for chunk in chat(model).stream("Hi"))


def tool(model: str) -> str:
    @as_tool
    def get_weather(city: str) -> str:
        """Says the weather."""
        return weather(city)

    messages = [HumanMessage(WISH)]
    while True:
        said = chat(model).bind_tools([get_weather]).invoke(messages)
        if not said.tool_calls:
            return said.text
        results = [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in said.tool_calls]
        messages += [said, *results]


def parse(model: str) -> str:
    held = chat(model).with_structured_output(Form, method="json_schema")
    return held.invoke("Hi").model_dump_json()


run(whole=whole, stream=stream, tool=tool, parse=parse)
