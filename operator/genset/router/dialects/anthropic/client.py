"""The Messages API of Anthropic, as clients speak it to this router. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.anthropic.client_errors import told
from genset.router.dialects.anthropic.client_request import chat_of
from genset.router.dialects.anthropic.client_writer import MessageWriter
from genset.router.dialects.anthropic.passed import WIRE, PassedMessages, fits, head_of
from genset.router.dialects.client import ClientDialect, ClientPath, ClientWriter, NativeCall, Told
from genset.router.dialects.counting import CountCall
from genset.router.dialects.native import texts_of
from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer

VERSION_HEADER: Final = b"anthropic-version"  # each request of Anthropic's own clients has one


@final
class MessagesApi(ClientDialect):
    """What Claude Code and Anthropic's SDKs speak."""

    wire = WIRE

    def request(self, body: dict[str, Any], now: float) -> tuple[dict[str, Any], ClientWriter]:
        chat, dropped = chat_of(body)
        return chat, MessageWriter(str(body.get("model")), dropped)

    def native(self, body: dict[str, Any], raw: bytes, headers: dict[bytes, bytes]) -> NativeCall | None:
        return PassedMessages(body, raw, headers) if fits(body) else None

    def outline(self, body: dict[str, Any]) -> tuple[dict[str, Any], ClientWriter]:
        outline: dict[str, Any] = {key: body[key] for key in ("model", "stream", "max_tokens") if key in body}
        said = [{"type": "text", "text": text} for text in texts_of([body.get("system"), body.get("messages")])]
        outline["messages"] = [{"role": "user", "content": said}]
        if body.get("stream") is True:
            outline["stream_options"] = {"include_usage": True}
        return outline, MessageWriter(str(body.get("model")))

    def counted(self, body: dict[str, Any]) -> dict[str, Any]:
        chat, _ = chat_of({"max_tokens": 1, **body, "stream": False, "compaction": None})  # the API ignores it here
        return chat

    def count_call(self, raw: bytes, headers: dict[bytes, bytes]) -> NativeCall:
        return CountCall(WIRE, "/messages/count_tokens", head_of(headers), raw)

    def count(self, tokens: int) -> bytes:
        return dumps({"input_tokens": tokens})

    def error(self, answer: ErrorAnswer, identity: bytes) -> Told:
        return told(answer, identity)


DIALECT: Final[ClientDialect] = MessagesApi()

PATHS: Final[tuple[ClientPath, ...]] = (
    ClientPath(b"/v1/messages", DIALECT),
    ClientPath(b"/v1/messages/count_tokens", DIALECT, counts=True),
)


def speaks(path: bytes, headers: dict[bytes, bytes]) -> bool:
    """Returns whether a client of this API sent a request, also to a path that is not served."""
    return VERSION_HEADER in headers or path.startswith(b"/v1/messages") or path == b"/v1/complete"
