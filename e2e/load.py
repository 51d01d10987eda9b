"""A running load of chat requests, as many clients as a small office would have.

Each answer is checked token by token against the counting model, so that "nothing was lost" is a measured fact.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from e2e.counting import TOKEN_CHARACTERS, fault

#: The least that OpenAI's libraries wait before the first retry (_constants.py, less their jitter); twice that next.
RETRY_SECONDS = 0.375


@dataclass(frozen=True)
class Answer:
    """One request as its client saw it. Times are seconds of the monotonic clock."""

    started: float
    first_byte: float
    ended: float
    status: int
    backend: str
    attempts: str
    problem: str  # "" when the answer was whole
    drill: str = ""  # whose way it took

    @property
    def seconds_to_first_byte(self) -> float:
        return self.first_byte - self.started


@dataclass
class Load:
    """`clients` at once, each sending the next request when the last one ended, until stopped."""

    url: str
    model: str
    tokens: int = 40
    clients: int = 8
    pause: float = 0.05
    stream: bool = True
    retries: int = 0  # of requests that broke at the connection, as every OpenAI client library does
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self.clients)]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(120, connect=5), trust_env=False) as http:
            while not self._stop.is_set():
                for attempt in range(self.retries + 1):
                    answer = await ask(
                        http, self.url, self.model, self.tokens, stream=self.stream, headers=self.headers
                    )
                    if answer.status or attempt == self.retries:
                        break
                    await asyncio.sleep(RETRY_SECONDS * 2**attempt)
                self.answers.append(answer)
                await asyncio.sleep(self.pause)

    @property
    def lost(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.problem]

    def by_backend(self, since: float = 0.0) -> Counter[str]:
        return Counter(a.backend for a in self.answers if a.started >= since and not a.problem)

    async def until_answered_by(self, backend: str, *, since: float, seconds: float) -> Answer:
        """The first answer that `backend` gave to a request begun after `since`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for answer in self.answers:
                if answer.started >= since and answer.backend == backend and not answer.problem:
                    return answer
            await asyncio.sleep(0.02)
        raise TimeoutError(
            f"no request was answered by {backend} within {seconds:.0f} s; answered since then: "
            f"{dict(self.by_backend(since))}, lost: {[a.problem for a in self.lost][:3]}"
        )


async def ask(
    http: httpx.AsyncClient,
    url: str,
    model: str,
    tokens: int,
    *,
    stream: bool = True,
    headers: dict[str, str] | None = None,
    reading: Reading | None = None,
) -> Answer:
    """One chat request, read to its end and checked. A client that cannot connect sees status 0.

    `reading` grows while the answer arrives, for whoever wants to watch.
    """
    started = time.monotonic()
    reading = reading or Reading()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "count"}],
        "stream": stream,
        "max_tokens": tokens,
        "temperature": 0,
    }
    try:
        async with http.stream("POST", f"{url}/chat/completions", json=body, headers=headers or {}) as response:
            reading.status = response.status_code
            reading.headers = response.headers
            if response.status_code != 200:
                await response.aread()
                reading.problem = f"HTTP {response.status_code}: {response.text[:300]}"
            elif stream:
                async for line in response.aiter_lines():
                    reading.line(line)
                if not reading.problem and not reading.done:
                    reading.problem = "the stream ended without [DONE]"
            else:
                await response.aread()
                reading.first = time.monotonic()
                reading.text = response.json()["choices"][0]["message"]["content"]
    except httpx.HTTPError as error:
        reading.problem = f"{type(error).__name__}: {error}{_cause(error)}"
    return Answer(
        started=started,
        first_byte=reading.first or time.monotonic(),
        ended=time.monotonic(),
        status=reading.status,
        backend=reading.headers.get("x-genset-backend", ""),
        attempts=reading.headers.get("x-genset-attempts", ""),
        problem=reading.problem or fault(reading.text, tokens),
        drill=reading.headers.get("x-genset-drill", ""),
    )


def _cause(error: BaseException) -> str:
    """The operating system's words at the bottom of an error, which httpx leaves out."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        nested = getattr(cause, "exceptions", None)
        cause = nested[0] if nested else cause.__cause__ or cause.__context__
    return f" ({cause})" if cause is not None else ""


@dataclass
class Reading:
    """What has been read of one answer so far."""

    text: str = ""
    status: int = 0
    first: float = 0.0
    done: bool = False
    problem: str = ""
    headers: httpx.Headers = field(default_factory=httpx.Headers)

    @property
    def tokens(self) -> int:
        """Of the counting model. Not events: a server that is busy puts several tokens into one."""
        return len(self.text) // TOKEN_CHARACTERS

    def line(self, line: str) -> None:
        """One line of a stream."""
        if not line.startswith("data: "):
            return
        if line == "data: [DONE]":
            self.done = True
            return
        event = json.loads(line[6:])
        if "error" in event:
            self.problem = f"in-band error: {event['error']}"
            return
        for choice in event.get("choices", ()):
            content = choice.get("delta", {}).get("content")
            if content:
                self.first = self.first or time.monotonic()
                self.text += content
