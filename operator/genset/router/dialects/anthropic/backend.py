"""This dialect asks servers of Anthropic's Messages API, at Anthropic or elsewhere. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.anthropic.backend_answer import answer_of, error_of
from genset.router.dialects.anthropic.backend_request import translated
from genset.router.dialects.anthropic.backend_stream import BackendStream
from genset.router.dialects.base import Asked, StreamTranslator, Untranslatable
from genset.router.dialects.openai.api import Api
from genset.router.dialects.tolerant import dumps

PATH: Final = "/messages"


@final
class Messages:
    """The Messages API, as a backend speaks it. It has no state; it is a `Dialect`."""

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        if not api.chat:
            raise Untranslatable(f"Anthropic's API has no {api.path}")
        written = translated(body)
        headers = b"anthropic-version: %b\r\n" % written.version.encode()
        return Asked(PATH, headers, dumps(written.body), written.dropped)

    def stream(self, api: Api, created: int) -> StreamTranslator:
        return BackendStream(created)

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        return answer_of(body, created)

    def error(self, status: int, body: bytes) -> bytes:
        return error_of(body)
