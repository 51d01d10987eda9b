"""The soak's clients send the next request as soon as one is due, and judge every answer.

They use raw sockets, because a client library would cost more than the router that it measures.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

from testbed.soak.faults import WORDS
from testbed.soak.judge import problem_of

MODEL = "counting"
PATIENCE_SECONDS = 30.0  # of a client: longer than the route's own deadline
STREAMS = 0.7
ASK_USAGE = 0.5
LEAVE = 0.03  # share of clients that leave before the answer has ended
DAWDLE = 0.02  # share of clients that do not read for a while
NEW_CONNECTION = 0.1
SHOWN_PROBLEMS = 20


@dataclass
class Tally:
    """A tally is what the clients saw."""

    sent: int = 0
    whole: int = 0
    left: int = 0
    problems: list[str] = field(default_factory=list)  # answers that were lost, cut or wrong
    backends: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds

    def __str__(self) -> str:
        return f"{self.sent} sent, {self.whole} whole, {self.left} left by their clients, {len(self.problems)} lost"


class Callers:
    """`count` clients run a closed loop if no rate is set, else `rate` requests per second, each by whoever is free."""

    def __init__(self, port: int, count: int, seed: int, tally: Tally) -> None:
        self._port = port
        self._count = count
        self._seed = seed
        self.tally = tally
        self._due = asyncio.Semaphore(0)
        self._stopped = False
        self._open_loop = False

    async def run(self, seconds: float, rate: float | None = None) -> float:
        """Runs for `seconds` and lets the last answers end. Returns requests per second."""
        loop = asyncio.get_running_loop()
        self._stopped, self._open_loop, self._due = False, rate is not None, asyncio.Semaphore(0)
        before, began = self.tally.sent, loop.time()
        tasks = [asyncio.create_task(self._caller(random.Random(self._seed + n))) for n in range(self._count)]
        if rate is None:
            await asyncio.sleep(seconds)
        else:
            given = 0
            while (passed := loop.time() - began) < seconds:
                for _ in range(int(passed * rate) - given):
                    self._due.release()
                    given += 1
                await asyncio.sleep(0.01)
        passed = loop.time() - began
        self._stopped = True
        for _ in range(self._count):
            self._due.release()
        sent = self.tally.sent - before
        await asyncio.gather(*tasks)
        return sent / passed

    async def _caller(self, chance: random.Random) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                if self._open_loop:
                    await self._due.acquire()
                if self._stopped:
                    return
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self._port)
                if not await self._ask(chance, *connection) or chance.random() < NEW_CONNECTION:
                    connection[1].close()
                    connection = None
        finally:
            if connection is not None:
                connection[1].close()

    async def _ask(self, chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends one request. Returns whether the connection can take another one."""
        tally, loop = self.tally, asyncio.get_running_loop()
        tally.sent += 1
        stream, usage = chance.random() < STREAMS, chance.random() < ASK_USAGE
        body = {"model": MODEL, "messages": [{"role": "user", "content": "count"}], "stream": stream}
        if stream and usage:
            body["stream_options"] = {"include_usage": True}
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: soak\r\ncontent-length: {len(data)}\r\n\r\n"
        began = loop.time()
        writer.write(head.encode() + data)
        if chance.random() < LEAVE:
            await asyncio.sleep(chance.random() * 0.1)
            if chance.random() < 0.5:
                writer.transport.abort()
            tally.left += 1
            return False
        if chance.random() < DAWDLE:
            await asyncio.sleep(chance.random())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, headers, answer = await read_answer(reader)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ValueError) as error:
            tally.problems.append(f"after {loop.time() - began:.2f} s: {type(error).__name__} {error}")
            return False
        tally.slowest = max(tally.slowest, loop.time() - began)
        problem = problem_of(status, answer, stream=stream, words=WORDS, usage=usage)
        if problem:
            trail = headers.get("x-genset-attempts", "")
            tally.problems.append(f"{'stream' if stream else 'whole'} after {loop.time() - began:.2f} s "
                                  f"(first {headers.get('x-genset-backend')}, {trail}): {problem}")  # fmt: skip
        else:
            tally.whole += 1
            tally.backends[headers.get("x-genset-backend", "?")] += 1
        return headers.get("connection", "") != "close"


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Returns status, headers and body. Raises IncompleteReadError if the body is cut, ValueError if it is not HTTP."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    if headers.get("transfer-encoding") != "chunked":
        raise ValueError(f"an answer without a length: {first}")
    raw = b""
    while not raw.endswith(b"\r\n0\r\n\r\n"):
        more = await reader.read(65536)
        if not more:
            raise asyncio.IncompleteReadError(raw[-200:], None)
        raw += more
    return status, headers, unchunked(raw)


def unchunked(raw: bytes) -> bytes:
    """Returns the body in a chunked one (RFC 9112, 7.1)."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = raw.index(b"\r\n", position)
        size = int(raw[position:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(raw[end + 2 : end + 2 + size])
        position = end + 4 + size
