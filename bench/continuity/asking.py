"""A client of the benchmark asks as SDKs do, and judges what it gets by what a program would take it for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.continuity.server import ALL
from testbed.upstream.counting import fault


class Verdict(StrEnum):
    WHOLE = "whole"
    LOST = "lost"  # an error, an answer that breaks off and can be seen to, or none in time
    LIED = "lied"  # looks whole and is not


@dataclass
class Answer:
    """An answer is what became of one request. Times are seconds of the monotonic clock."""

    asked: float
    verdict: Verdict = Verdict.LOST
    detail: str = ""
    heard: list[float] = field(default_factory=list)  # when a piece of text came
    ended: float = 0.0

    def waited(self, since: float) -> float:
        """Returns the longest silence after `since`: to the first text of a new answer, or between two of one on its way."""
        marks = [max(self.asked, since), *(at for at in self.heard if at > since)]
        if self.verdict is Verdict.LOST:
            marks.append(self.ended)
        return max((later - before for before, later in itertools.pairwise(marks)), default=0.0)


async def ask(port: int, path: str, model: str, *, stream: bool, patience: float, words: int | None = None) -> Answer:
    """Asks once, for an answer of all words unless told otherwise, and waits `patience` seconds at most for all of it."""
    bound = {} if words is None else {"max_tokens": words}
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Count."}], **bound}
    answer = Answer(time.monotonic())
    reading = _Reading(stream, answer)
    try:
        async with asyncio.timeout(patience):
            complete = await _exchange(port, path, json.dumps(body).encode(), reading)
    except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as problem:
        answer.detail = f"{type(problem).__name__}: {problem}"[:200]
    else:
        reading.judge(complete)
    answer.ended = time.monotonic()
    return answer


class _Reading:
    """A reading takes an answer's body in pieces."""

    def __init__(self, stream: bool, answer: Answer) -> None:
        self._stream = stream
        self._answer = answer
        self._body = b""
        self._text = ""
        self._error = ""
        self.status = 0

    def take(self, piece: bytes) -> None:
        self._body += piece
        while self._stream and b"\n\n" in self._body:
            event, _, self._body = self._body.partition(b"\n\n")
            for line in event.splitlines():
                if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
                    self._event(json.loads(data))

    def _event(self, content: dict[str, Any]) -> None:
        if content.get("error"):
            self._error = json.dumps(content["error"])[:200]
        for choice in content.get("choices") or ():
            if text := (choice.get("delta") or {}).get("content"):
                self._text += text
                self._answer.heard.append(time.monotonic())

    def judge(self, complete: bool) -> None:
        """Decides what a program would take the answer for. `complete`: its HTTP message has come to its end."""
        answer = self._answer
        if not self._stream and self.status == 200:
            self._whole()
        if self.status != 200 or self._error or not complete:
            answer.detail = self._error or f"{self.status}, {'complete' if complete else 'cut'}: {self._body[:200]!r}"
            return
        wrong = fault(self._text, len(ALL) // 5)
        answer.verdict = Verdict.LIED if wrong else Verdict.WHOLE
        answer.detail = wrong or ""

    def _whole(self) -> None:
        """Takes the text out of a whole answer. A 200 that holds an error, or half an answer, holds none: it lies."""
        self._answer.heard.append(time.monotonic())
        with contextlib.suppress(ValueError, LookupError, TypeError):
            self._text = json.loads(self._body)["choices"][0]["message"]["content"] or ""


async def _exchange(port: int, path: str, body: bytes, reading: _Reading) -> bool:
    """Returns whether the answer's message was complete, by its framing (RFC 9112, 6.3)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nauthorization: Bearer none\r\n"
        )
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        reading.status = int(first.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "chunked" not in headers.get("transfer-encoding", ""):
            reading.take(await reader.readexactly(int(headers.get("content-length", "0"))))
            return True
        with contextlib.suppress(asyncio.IncompleteReadError):
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                reading.take((await reader.readexactly(size + 2))[:-2])
            return True
        return False
    finally:
        writer.close()
