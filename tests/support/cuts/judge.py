"""The judge is a strict client: it says whether its bytes are the whole answer, an error that was told, or a lie.

It reads as the standards want it (RFC 9112 for the framing, WHATWG HTML 9.2 for the events, strict UTF-8 and JSON) and
then as an application does: what it takes for a finished answer must be the expected one. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

Verdict = Literal["whole", "error", "damaged", "lie"]


@dataclass(frozen=True)
class Wanted:
    """Wanted is the expected answer. `usage`: the client asked for it."""

    text: str
    reasoning: str = ""
    finish: str = "stop"
    usage: bool = False
    #: Another author thinks anew if only thoughts had been sent: then the thoughts are a part of the first ones and all
    #: of the second ones.
    thinks_anew: bool = False


@dataclass(frozen=True)
class Judgement:
    """A judgement. `why` explains everything but "whole"."""

    verdict: Verdict
    why: str = ""
    text: str = ""
    usage: dict[str, Any] | None = None


class _Lie(Exception):
    pass


def judge(raw: bytes, wanted: Wanted) -> Judgement:
    """Judges all bytes that the client got on its connection until the answer ended."""
    try:
        status, headers, body = _response(raw)
        if not headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            return _plain(status, body, wanted)
        if status != 200:
            raise _Lie(f"a stream with status {status}")
        return _stream(body, wanted)
    except _Lie as lie:
        return Judgement("lie", str(lie))


def _response(raw: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    head, found, rest = raw.partition(b"\r\n\r\n")
    if not found:
        raise _Lie(f"no head: {raw[:80]!r}")
    first, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    status = int(first.split()[1])
    if headers.get(b"transfer-encoding") == b"chunked":
        return status, headers, _dechunked(rest)
    if b"content-length" in headers and len(rest) != int(headers[b"content-length"]):
        raise _Lie(f"{len(rest)} bytes instead of {int(headers[b'content-length'])}")
    return status, headers, rest


def _dechunked(rest: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            raise _Lie("the body was cut without a word")
        size = int(rest[at:end], 16)
        at = end + 2
        if rest[at + size : at + size + 2] != b"\r\n":
            raise _Lie("a chunk is cut" if len(rest) < at + size + 2 else "a chunk has another size than it says")
        if size == 0:
            if len(rest) != at + 2:
                raise _Lie("bytes after the end of the body")
            return b"".join(parts)
        parts.append(rest[at : at + size])
        at += size + 2


def _plain(status: int, body: bytes, wanted: Wanted) -> Judgement:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Lie(f"a {status} that is no JSON: {body[:80]!r}") from None
    if status != 200:
        if not isinstance(found.get("error"), dict):
            raise _Lie(f"a {status} without an error")
        return Judgement("error", f"{status} {found['error'].get('code')}")
    (choice,) = found["choices"]
    message = choice.get("message") or {"content": choice.get("text")}
    _same("text", message["content"], wanted.text)
    _thoughts(message.get("reasoning_content") or message.get("reasoning") or "", wanted)
    _same("finish_reason", choice["finish_reason"], wanted.finish)
    return Judgement("whole", text=message["content"])


def _stream(body: bytes, wanted: Wanted) -> Judgement:
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *blocks, rest = body.split(b"\n\n")
    if rest:
        raise _Lie(f"the last event is cut: {rest[:80]!r}")
    said = _Said()
    for block in blocks:
        data = b"\n".join(
            line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")
        )  # comments and other fields say nothing
        if not data:
            continue
        if said.done or said.error is not None:
            raise _Lie("something follows the end")
        if data == b"[DONE]":
            said.done = True
            continue
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            said.damage = f"an event is no JSON: {data[:80]!r}"  # a client's parser fails here, so the client notices
            continue
        if not isinstance(chunk, dict) or not (chunk.get("error") or isinstance(chunk.get("choices"), list)):
            said.damage = f"an event is no chunk: {data[:80]!r}"
            continue
        said.hear(chunk)
    return said.judged(wanted)


class _Said:
    def __init__(self) -> None:
        self.done = False
        self.damage = ""
        self.error: dict[str, Any] | None = None
        self.identity: tuple[Any, ...] | None = None
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.roles = 0
        self.finish: str | None = None
        self.usage: dict[str, Any] | None = None

    def hear(self, chunk: dict[str, Any]) -> None:
        if chunk.get("error"):
            self.error = chunk["error"]
            return
        identity = (chunk.get("id"), chunk.get("created"), chunk.get("model"))
        if self.identity is None:
            self.identity = identity
        elif identity != self.identity:
            raise _Lie(f"two answers in one: {self.identity} and {identity}")
        if isinstance(chunk.get("usage"), dict):
            if self.usage is not None:
                raise _Lie("usage twice")
            self.usage = chunk["usage"]
        for choice in chunk["choices"]:
            delta = choice.get("delta", choice)
            new = delta.get("content") or choice.get("text") or ""
            thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
            if self.finish is not None and (new or thought or choice.get("finish_reason")):
                raise _Lie("something follows the finish_reason")
            if delta.get("role"):
                self.roles += 1
                if self.roles > 1 or self.text or self.reasoning:
                    raise _Lie("a second beginning (role)")
            if thought and self.text:
                raise _Lie("thoughts after the text has begun")
            self.text += [new] if new else []
            self.reasoning += [thought] if thought else []
            self.finish = choice.get("finish_reason") or self.finish

    def judged(self, wanted: Wanted) -> Judgement:
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        if self.error is not None:
            return self._told(text, wanted)
        if not self.done:
            raise _Lie("ended without [DONE] and without an error")
        if self.damage:
            return Judgement("damaged", self.damage)
        if self.finish is None:
            raise _Lie("[DONE] without a finish_reason")
        _same("text", text, wanted.text)
        _thoughts(reasoning, wanted)
        _same("finish_reason", self.finish, wanted.finish)
        if not wanted.usage and self.usage is not None:
            raise _Lie("usage that nobody asked for")
        return Judgement("whole", text=text, usage=self.usage)

    def _told(self, text: str, wanted: Wanted) -> Judgement:
        error = self.error
        assert error is not None
        if self.finish is not None:
            raise _Lie("an error after the finish_reason")
        if error.get("type") != "upstream_stream_interrupted" or error.get("partial") is not True:
            raise _Lie(f"an error of another form: {error}")
        if not error.get("code") or not isinstance(error.get("attempts"), list) or not error["attempts"]:
            raise _Lie(f"an error without its trail: {error}")
        if not wanted.text.startswith(text):
            _same("text before the error", text, wanted.text[: len(text)])
        return Judgement("error", f"{error['code']}: {', '.join(error['attempts'])}", text)


def _thoughts(got: str, wanted: Wanted) -> None:
    if got == wanted.reasoning:
        return
    if wanted.thinks_anew and got.endswith(wanted.reasoning):
        first = got[: len(got) - len(wanted.reasoning)]
        if wanted.reasoning.startswith(first):
            return
    _same("reasoning", got, wanted.reasoning)


def _same(what: str, got: Any, wanted: Any) -> None:
    if got == wanted:
        return
    if isinstance(got, str) and isinstance(wanted, str):
        at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted)))
        near = slice(max(0, at - 12), at + 20)
        raise _Lie(f"{what} differs at character {at}: …{got[near]!r} instead of …{wanted[near]!r}")
    raise _Lie(f"{what} is {got!r} instead of {wanted!r}")
