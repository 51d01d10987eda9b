"""The Responses API of OpenAI, as clients speak it to this router: without a memory between requests. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.client import ClientDialect, ClientPath, ClientWriter, NativeCall, Told
from genset.router.dialects.counting import CountCall
from genset.router.dialects.native import texts_of
from genset.router.dialects.responses.passed import PassedResponses
from genset.router.dialects.responses.request import chat_of
from genset.router.dialects.responses.tools import Tools
from genset.router.dialects.responses.words import WIRE
from genset.router.dialects.responses.writer import ResponseWriter
from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer


@final
class ResponsesApi(ClientDialect):
    """What Codex speaks, and openai-agents, pydantic-ai and the Vercel SDK by default."""

    wire = WIRE

    def request(self, body: dict[str, Any], now: float) -> tuple[dict[str, Any], ClientWriter]:
        chat, tools, dropped, sealed = chat_of(body)
        return chat, ResponseWriter(body, tools, dropped, now, marked=sealed)

    def native(self, body: dict[str, Any], raw: bytes, headers: dict[bytes, bytes]) -> NativeCall | None:
        if body.get("background"):  # nobody could ask for the answer later
            return None
        return PassedResponses(body, raw)

    def outline(self, body: dict[str, Any]) -> tuple[dict[str, Any], ClientWriter]:
        said = [{"type": "text", "text": text} for text in texts_of([body.get("instructions"), body.get("input")])]
        outline: dict[str, Any] = {"model": body.get("model"), "messages": [{"role": "user", "content": said}]}
        if body.get("stream") is True:
            outline.update(stream=True, stream_options={"include_usage": True})
        if isinstance(body.get("max_output_tokens"), int):
            outline["max_tokens"] = body["max_output_tokens"]
        return outline, ResponseWriter(body, Tools(), (), 0.0)

    def counted(self, body: dict[str, Any]) -> dict[str, Any]:
        chat, *_ = chat_of({**body, "stream": False})
        return chat

    def count_call(self, raw: bytes, headers: dict[bytes, bytes]) -> NativeCall:
        return CountCall(WIRE, "/responses/input_tokens", b"", raw)

    def count(self, tokens: int) -> bytes:
        return dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def error(self, answer: ErrorAnswer, identity: bytes) -> Told:
        return Told(answer.status, answer.body())


DIALECT: Final[ClientDialect] = ResponsesApi()

PATHS: Final[tuple[ClientPath, ...]] = (
    ClientPath(b"/v1/responses", DIALECT),
    ClientPath(b"/v1/responses/input_tokens", DIALECT, counts=True),
)
