"""The Responses API of OpenAI, as clients speak it to this router: without a memory between requests. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.client import ClientDialect, ClientPath, ClientWriter, Told
from genset.router.dialects.responses.request import chat_of
from genset.router.dialects.responses.writer import ResponseWriter
from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer


@final
class ResponsesApi(ClientDialect):
    """What Codex speaks, and openai-agents, pydantic-ai and the Vercel SDK by default."""

    def request(self, body: dict[str, Any], now: float) -> tuple[dict[str, Any], ClientWriter]:
        chat, tools, dropped = chat_of(body)
        return chat, ResponseWriter(body, tools, dropped, now)

    def counted(self, body: dict[str, Any]) -> dict[str, Any]:
        chat, _, _ = chat_of({**body, "stream": False})
        return chat

    def count(self, tokens: int) -> bytes:
        return dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def error(self, answer: ErrorAnswer, identity: bytes) -> Told:
        return Told(answer.status, answer.body())


DIALECT: Final[ClientDialect] = ResponsesApi()

PATHS: Final[tuple[ClientPath, ...]] = (
    ClientPath(b"/v1/responses", DIALECT),
    ClientPath(b"/v1/responses/input_tokens", DIALECT, counts=True),
)
