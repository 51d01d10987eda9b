"""This program runs agents of openai-agents, which speak the Responses API."""

from __future__ import annotations

import asyncio

import agents
import openai
from pydantic import BaseModel
from tasks import URL, WISH, run, weather

agents.set_tracing_disabled(True)


class Form(BaseModel):
    city: str
    sunny: bool


@agents.function_tool
def get_weather(city: str) -> str:
    """Says the weather."""
    return weather(city)


def agent(model: str, **more: object) -> agents.Agent:
    client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
    held = agents.OpenAIResponsesModel(model=model, openai_client=client)
    return agents.Agent(name="a", instructions="Answer.", model=held, **more)


async def streamed(held: agents.Agent, said: str) -> str:
    result = agents.Runner.run_streamed(held, said)
    async for _ in result.stream_events():
        pass
    return str(result.final_output)


def whole(model: str) -> str:
    return asyncio.run(agents.Runner.run(agent(model), "Hi")).final_output


def stream(model: str) -> str:
    return asyncio.run(streamed(agent(model), "Hi"))


def tool(model: str) -> str:
    return asyncio.run(streamed(agent(model, tools=[get_weather]), WISH))


def parse(model: str) -> str:
    return asyncio.run(agents.Runner.run(agent(model, output_type=Form), "Hi")).final_output.model_dump_json()


run(whole=whole, stream=stream, tool=tool, parse=parse)
