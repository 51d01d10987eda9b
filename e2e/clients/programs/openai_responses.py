"""This program asks with openai-python, in the Responses API."""

from __future__ import annotations

import json

import openai
from pydantic import BaseModel
from tasks import PARAMETERS, URL, WISH, run, weather

client = openai.OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)


class Form(BaseModel):
    city: str
    sunny: bool


def streamed(**asked: object) -> object:
    with client.responses.stream(**asked) as stream:
        return stream.get_final_response()


def whole(model: str) -> str:
    return client.responses.create(model=model, input="Hi").output_text


def stream(model: str) -> str:
    return streamed(model=model, input="Hi").output_text


def tool(model: str) -> str:
    function = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
    given = [{"role": "user", "content": WISH}]
    while True:
        response = streamed(model=model, input=given, tools=[function])
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        given += [item.to_dict() for item in response.output]
        for call in calls:
            said = weather(**json.loads(call.arguments))
            given.append({"type": "function_call_output", "call_id": call.call_id, "output": said})


def parse(model: str) -> str:
    return client.responses.parse(model=model, input="Hi", text_format=Form).output_parsed.model_dump_json()


def count(model: str) -> str:
    return str(client.responses.input_tokens.count(model=model, input="Hi").input_tokens > 0).lower()


run(whole=whole, stream=stream, tool=tool, parse=parse, count=count)
