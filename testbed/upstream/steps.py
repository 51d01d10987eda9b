"""Steps are what a ScriptedUpstream can be told to do: one frozen value per behaviour that was seen in the field.

Pure data. Seconds are floats; bytes of a stream count the event stream itself, without the framing of HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["fin", "rst", "stall", "end", "continue"]
Framing = Literal["chunked", "close", "length"]


@dataclass(frozen=True)
class Break:
    """A break says where and how a stream stops being good.

    `how`: "fin" closes the connection without ending the body, "rst" resets it, "stall" says nothing more and keeps the
    connection, "end" ends the HTTP body cleanly, "continue" goes on as if nothing had happened (after `send`).

    Exactly one place is given: `after_chunks` content chunks (0: before the first), or `after_bytes` of the event
    stream, which may lie inside a line or inside a multi-byte character. `send` is raw text put into the stream at that
    place.
    """

    how: How
    after_chunks: int | None = None
    after_bytes: int | None = None
    send: bytes = b""

    def __post_init__(self) -> None:
        if (self.after_chunks is None) == (self.after_bytes is None):
            raise ValueError("Break needs exactly one of after_chunks, after_bytes")


@dataclass(frozen=True)
class Answer:
    """A good answer, streamed if the request asks for it: the counting words from where the prompt stops.

    words: the last word is number words-1; a request whose last message is an assistant's counted text goes on after it
        (as llama.cpp does), and max_tokens shortens it.
    texts: these pieces instead of counting words, one chunk each.
    first_delay / interval: seconds before the first content chunk / before each later one.
    header_delay: seconds before the status line. chunk_words: words in one chunk.
    role_chunk: a first chunk that has only the role.
    usage: None sends it when the request asks; True/False always/never.
    finish_reason: None leaves the finishing chunk out. done: whether `data: [DONE]` ends the stream.
    burst: all chunks in one write instead of a write each. stream: force a stream or a plain body.
    framing: None is chunked for streams and content-length for plain bodies; "close" ends the body with the connection.
    """

    words: int = 10
    texts: tuple[str, ...] | None = None
    interval: float = 0.0
    first_delay: float = 0.0
    header_delay: float = 0.0
    chunk_words: int = 1
    role_chunk: bool = True
    usage: bool | None = None
    finish_reason: str | None = "stop"
    done: bool = True
    burst: bool = False
    stream: bool | None = None
    framing: Framing | None = None
    brk: Break | None = None
    model: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """A whole answer with this status. A body that is not bytes or str is sent as JSON."""

    code: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    close: bool = False


@dataclass(frozen=True)
class Reset:
    """Sends RST after the request was read, before any byte of an answer."""

    delay: float = 0.0


@dataclass(frozen=True)
class Close:
    """Sends FIN after the request was read, before any byte of an answer."""

    delay: float = 0.0


@dataclass(frozen=True)
class Silence:
    """Says nothing until the client leaves: after the headers of a stream, or (headers=False) not even those."""

    headers: bool = True


@dataclass(frozen=True)
class Raw:
    """Sends these bytes instead of an HTTP answer, then does what `how` says."""

    data: bytes
    how: Literal["fin", "rst", "stall", "continue"] = "fin"


@dataclass(frozen=True)
class Segments:
    """Sends these bytes instead of an HTTP answer, then does what `how` says.

    Each item is a write of its own; a number is a pause in seconds.
    """

    parts: tuple[bytes | float, ...]
    how: Literal["fin", "rst", "stall", "continue"] = "continue"


Step = Answer | Status | Reset | Close | Silence | Raw | Segments


@dataclass(frozen=True)
class OnAccept:
    """OnAccept is what happens to a connection before anything is read from it.

    "reset" and "close" end it, "silent" reads but never answers (nor does a TLS handshake), "never-read" leaves the
    kernel's buffers to fill, "garbage" answers with `data` whatever is said.
    """

    how: Literal["reset", "close", "silent", "never-read", "garbage"]
    data: bytes = b"\x00\x01 no HTTP here \xff\r\n\r\n"


def error_body(message: str, type_: str, code: str | int | None = None, **more: Any) -> dict[str, Any]:
    """Returns an error in the OpenAI shape."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code, **more}}


def rate_limited(retry_after: str | float | None = None) -> Status:
    """Returns a 429, with Retry-After if given (seconds, or an HTTP date as text)."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Status(429, error_body("Rate limit reached for requests", "requests", "rate_limit_exceeded"), headers)


def quota_exhausted() -> Status:
    """Returns a 429 that no waiting cures (OpenAI's insufficient_quota)."""
    return Status(429, error_body("You exceeded your current quota", "insufficient_quota", "insufficient_quota"))


def server_error(code: int = 500, retry_after: float | None = None) -> Status:
    """Returns a 500, 502, 503 or 504."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Status(code, error_body("The server had an error while processing your request", "server_error"), headers)


def loading() -> Status:
    """Returns the answer of llama-server while it loads its model (tools/server/server-http.cpp)."""
    return Status(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})


def unauthorized() -> Status:
    """Returns the 401 of a wrong key."""
    return Status(401, error_body("Incorrect API key provided", "invalid_request_error", "invalid_api_key"))


def model_not_found() -> Status:
    """Returns the 404 of an unknown model."""
    return Status(404, error_body("The model `x` does not exist", "invalid_request_error", "model_not_found"))


def context_overflow(shape: Literal["llama.cpp", "vllm", "openai"] = "openai") -> Status:
    """Returns the 400 of a prompt that is too long, as each server words it (their own sources and API references)."""
    if shape == "llama.cpp":
        message = "the request exceeds the available context size, try increasing it"
        error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
        return Status(400, {"error": {**error, "n_prompt_tokens": 9000, "n_ctx": 8192}})
    if shape == "vllm":
        message = (
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens "
            "(8900 in the messages, 100 in the completion). Please reduce the length of the messages or completion."
        )
        return Status(400, error_body(message, "BadRequestError", 400))
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    return Status(400, error_body(message, "invalid_request_error", "context_length_exceeded"))


def content_filter() -> Status:
    """Returns the 400 of a provider's content filter (Azure OpenAI's shape)."""
    message = "The response was filtered due to the prompt triggering the content management policy."
    return Status(400, error_body(message, "invalid_request_error", "content_filter"))


def invalid_request(message: str = "'temperature' must be between 0 and 2") -> Status:
    """Returns a 400 that every backend would give."""
    return Status(400, error_body(message, "invalid_request_error", "invalid_value"))


def prefill_refused() -> Status:
    """Returns the 400 of a server that takes no trailing assistant message."""
    message = "Cannot have 2 or more assistant messages at the end of the list."
    return Status(400, error_body(message, "invalid_request_error"))


def in_band_error(message: str = "The model crashed", type_: str = "server_error") -> bytes:
    """Returns one event that carries an error inside a 200."""
    return b"data: " + json.dumps(error_body(message, type_)).encode() + b"\n\n"
