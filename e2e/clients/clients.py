"""The table of clients: which program plays it, in which API, and of which package its version is."""

from __future__ import annotations

from typing import Final, NamedTuple


class Client(NamedTuple):
    """A client is a library, and a program of `programs/` that does with it what applications do. `api`: see the program.

    `package` is its name where the programs' versions are pinned.
    """

    name: str
    program: str
    package: str
    api: str = ""


_OPENAI_GO: Final = "github.com/openai/openai-go/v3"
CLIENTS: Final = (
    Client("openai-python, chat", "openai_chat.py", "openai"),
    Client("openai-python, Responses", "openai_responses.py", "openai"),
    Client("anthropic-python", "anthropic_messages.py", "anthropic"),
    Client("openai-agents (Python)", "openai_agents.py", "openai-agents"),
    Client("pydantic-ai, Responses", "pydantic_ai_agent.py", "pydantic-ai-slim", "openai"),
    Client("pydantic-ai, Messages", "pydantic_ai_agent.py", "pydantic-ai-slim", "anthropic"),
    Client("langchain-openai, chat", "langchain_chat.py", "langchain-openai", "chat"),
    Client("langchain-openai, Responses", "langchain_chat.py", "langchain-openai", "responses"),
    Client("langchain-anthropic", "langchain_chat.py", "langchain-anthropic", "anthropic"),
    Client("openai-node, chat", "openai_node_chat.mjs", "openai"),
    Client("openai-node, Responses", "openai_node_responses.mjs", "openai"),
    Client("anthropic-sdk-typescript", "anthropic_node.mjs", "@anthropic-ai/sdk"),
    Client("openai-agents (Node)", "openai_agents_node.mjs", "@openai/agents"),
    Client("Vercel AI SDK, Responses", "vercel.mjs", "ai", "openai"),
    Client("Vercel AI SDK, Messages", "vercel.mjs", "ai", "anthropic"),
    Client("openai-go, chat", "go/openai/main.go", _OPENAI_GO, "chat"),
    Client("openai-go, Responses", "go/openai/main.go", _OPENAI_GO, "responses"),
    Client("anthropic-sdk-go", "go/anthropic/main.go", "github.com/anthropics/anthropic-sdk-go/v2"),
    Client("openai-java, chat", "java/OpenAiChat.java", "openai-java"),
    Client("openai-java, Responses", "java/OpenAiResponses.java", "openai-java"),
    Client("anthropic-java", "java/AnthropicMessages.java", "anthropic-java"),
)
