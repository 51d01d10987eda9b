"""This program runs agents of pydantic-ai. CLIENT_API is openai (Responses) or anthropic."""

from __future__ import annotations

import asyncio
import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from tasks import URL, WISH, run, weather


class Form(BaseModel):
    city: str
    sunny: bool


def model_of(name: str) -> object:
    if os.environ["CLIENT_API"] == "anthropic":
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        client = AsyncAnthropic(base_url=URL, api_key="any", max_retries=0)
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
    return OpenAIResponsesModel(name, provider=OpenAIProvider(openai_client=client))


async def streamed(agent: Agent, said: str) -> str:
    async with agent.run_stream(said) as result:
        return await result.get_output()


def whole(model: str) -> str:
    return asyncio.run(Agent(model_of(model)).run("Hi")).output


def stream(model: str) -> str:
    return asyncio.run(streamed(Agent(model_of(model)), "Hi"))


def tool(model: str) -> str:
    def get_weather(city: str) -> str:
        """Says the weather."""
        return weather(city)

    return asyncio.run(Agent(model_of(model), tools=[get_weather]).run(WISH)).output


def parse(model: str) -> str:
    agent = Agent(model_of(model), output_type=NativeOutput(Form))
    return asyncio.run(agent.run("Hi")).output.model_dump_json()


held = {"whole": whole, "stream": stream, "tool": tool}
# With Anthropic's API it offers forms only for names that it knows.
run(**held, **({"parse": parse} if os.environ["CLIENT_API"] == "openai" else {}))
