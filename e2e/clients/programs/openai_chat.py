"""This program asks with openai-python, in OpenAI's chat."""

from __future__ import annotations

import json

import openai
from pydantic import BaseModel
from tasks import PARAMETERS, URL, WISH, run, weather

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
HI = [{"role": "user", "content": "Hi"}]


class Form(BaseModel):
    city: str
    sunny: bool


def whole(model: str) -> str:
    return client.chat.completions.create(model=model, messages=HI).choices[0].message.content


def stream(model: str) -> str:
    with client.chat.completions.stream(model=model, messages=HI) as stream:
        return stream.get_final_completion().choices[0].message.content


def tool(model: str) -> str:
    function = {"name": "get_weather", "description": "d", "parameters": PARAMETERS, "strict": True}
    messages = [{"role": "user", "content": WISH}]
    while True:
        with client.chat.completions.stream(
            model=model, messages=messages, tools=[{"type": "function", "function": function}]
        ) as stream:
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            return message.content
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
        messages.append({"role": "assistant", "content": message.content, "tool_calls": calls})
        for call in message.tool_calls:
            said = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": said})


def parse(model: str) -> str:
    return (
        client.chat.completions.parse(model=model, messages=HI, response_format=Form)
        .choices[0]
        .message.parsed.model_dump_json()
    )


run(whole=whole, stream=stream, tool=tool, parse=parse)
