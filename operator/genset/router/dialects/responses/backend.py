"""This dialect asks servers of the Responses API, for models that are served by it alone, or better. Pure."""

from __future__ import annotations

from typing import Any, final

from genset.router.dialects.base import Asked, StreamTranslator, Untranslatable
from genset.router.dialects.openai.api import Api
from genset.router.dialects.responses.backend_request import translated
from genset.router.dialects.responses.backend_stream import ResponseStream, answer_of
from genset.router.dialects.responses.words import PATH
from genset.router.dialects.tolerant import dumps


@final
class ResponsesBackend:
    """The Responses API, as a backend speaks it. It has no state; it is a `Dialect`."""

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        if not api.chat:
            raise Untranslatable(f"the Responses API has no {api.path}")
        made, dropped = translated(body)
        return Asked(PATH, b"", dumps(made), dropped)

    def stream(self, api: Api, created: int) -> StreamTranslator:
        return ResponseStream(created)

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        return answer_of(body, created)

    def error(self, status: int, body: bytes) -> bytes:
        return body
