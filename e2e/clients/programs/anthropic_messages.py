"""This program asks with anthropic-python, its stream helper and its tool runner."""

from __future__ import annotations

import anthropic
from pydantic import BaseModel
from tasks import URL, WISH, run, weather

client = anthropic.Anthropic(base_url=URL, api_key="any", max_retries=0)
HI = {"max_tokens": 256, "messages": [{"role": "user", "content": "Hi"}]}


class Form(BaseModel):
    city: str
    sunny: bool


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def whole(model: str) -> str:
    return text_of(client.messages.create(model=model, **HI))


def stream(model: str) -> str:
    with client.messages.stream(model=model, **HI) as stream:
        return text_of(stream.get_final_message())


@anthropic.beta_tool
def get_weather(city: str) -> str:
    """Says the weather.

    Args:
        city: Where.
    """
    return weather(city)


def tool(model: str) -> str:
    messages = [{"role": "user", "content": WISH}]
    runner = client.beta.messages.tool_runner(
        model=model, max_tokens=256, messages=messages, tools=[get_weather], stream=True
    )
    for stream in runner:
        message = stream.get_final_message()
    return text_of(message)


def parse(model: str) -> str:
    return client.messages.parse(model=model, **HI, output_format=Form).parsed_output.model_dump_json()


def count(model: str) -> str:
    return str(client.messages.count_tokens(model=model, messages=HI["messages"]).input_tokens > 0).lower()


def listed(model: str) -> str:
    return next((one.type for one in client.models.list() if one.id == model), "absent")


run(whole=whole, stream=stream, tool=tool, parse=parse, count=count, list=listed)
