"""How long a client waits for the next candidate when one fails: genset alone, against scripted upstreams.

Two servers stand in this process: one that fails as the request's model says, and one that answers at once. One clock
sees everything: when the first one failed, when the second one had the request and when it had answered, when the client
read that. What is left is the router's own time. Every sample has a backend and a route of its own, so that no breaker
has seen a failure before; the time includes a new connection to the next candidate.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bench.measure import PATH
from bench.peers import Place
from bench.peers.genset import Genset
from bench.processes import Cores, running
from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.route_config import FailoverConfig, MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import PolicyRef, RouterConfig
from testbed.cluster.ports import free_ports
from testbed.router_config import made

MARK = "the next candidate writes on from here, and says enough for a seam to be found"
BEFORE = 5  # chunks that a stream gets before it is cut
SECONDS = 5.0  # for one answer
_ANSWER_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """One way to fail. `kind` names the bound that holds for it."""

    name: str
    kind: str
    about: str


CASES = (
    Case("refused", "refused", "connection refused"),
    Case("early", "cut", "connection reset before the answer"),
    Case("fin", "cut", "stream ended between two events"),
    Case("line", "cut", "stream reset inside an event"),
)


@dataclass(frozen=True)
class CaseResult:
    """Milliseconds from the failure to the first byte of the next candidate's answer, without its own time."""

    name: str
    kind: str
    about: str
    samples: int
    lost: int  # answers that did not come, or not whole
    p50: float
    p99: float
    most: float


@dataclass(frozen=True)
class FailoverResult:
    cases: tuple[CaseResult, ...]


class _Script:
    """What both servers noted. Seconds on the monotonic clock."""

    def __init__(self) -> None:
        self.failed = 0.0
        self.asked = 0.0
        self.answered = 0.0


class _Server(asyncio.Protocol):
    """One connection: reads whole requests, hands each to `answer`."""

    def __init__(self, script: _Script) -> None:
        self.script = script
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if len(body) >= length:
            self.received = body[length:]
            self.answer(json.loads(body[:length] or b"{}"))

    def answer(self, asked: dict[str, object]) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        """RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


class _Failing(_Server):
    def answer(self, asked: dict[str, object]) -> None:
        if asked["model"] == "early":
            self.script.failed = time.monotonic()
            self.reset()
            return
        words = "".join(_frame(_event({"content": f"word {number} "})) for number in range(BEFORE))
        self.transport.write(_ANSWER_HEAD + (_frame(_event({"role": "assistant", "content": ""})) + words).encode())
        asyncio.get_running_loop().call_later(0.01, self._fail, asked["model"])

    def _fail(self, how: object) -> None:
        if how == "line":
            self.transport.write(b'40\r\ndata: {"id":"chatcmpl-bench","obj')
        # The bytes must be on their way before the end is: a reset may overtake them.
        asyncio.get_running_loop().call_later(0.005, self._end, how)

    def _end(self, how: object) -> None:
        self.script.failed = time.monotonic()
        if how == "line":
            self.reset()
        else:
            self.transport.close()


class _Next(_Server):
    def answer(self, asked: dict[str, object]) -> None:
        self.script.asked = time.monotonic()
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        text = "".join(
            _frame(event)
            for event in (
                _event({"role": "assistant", "content": ""}),
                _event({"content": MARK}),
                f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', 'model': 'next', **last})}\n\n",
                "data: [DONE]\n\n",
            )
        )
        self.transport.write(_ANSWER_HEAD + text.encode() + b"0\r\n\r\n")
        self.script.answered = time.monotonic()


def _event(delta: dict[str, str]) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


def _frame(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


def config(samples: int, failing: int, following: int, closed: int) -> RouterConfig:
    """A route per sample: a backend that fails, the one that answers behind it. Ports at 127.0.0.1."""

    def backend(name: str, model: str, port: int) -> BackendConfig:
        url = UrlTarget(base_url=f"http://127.0.0.1:{port}/v1", provider="openAICompatible")
        return made(BackendConfig, name=name, kind="local", model=model, url=url, continuation="Prefill")

    named = [(case, f"{case.name}-{number}") for case in CASES for number in range(samples)]
    backends = [backend(name, case.name, closed if case.name == "refused" else failing) for case, name in named]
    return made(
        RouterConfig,
        policy=made(PolicyRef, namespace="bench", name="failover", generation=1),
        backends=(backend("next", "next", following), *backends),
        routes=tuple(
            made(
                RouteConfig,
                name=name,
                match=made(MatchConfig, models=(name,)),
                tiers=((made(WeightedBackend, backend=name),), (made(WeightedBackend, backend="next"),)),
                failover=made(FailoverConfig),
            )
            for _, name in named
        ),
    )


def measure(samples: int, cores: Cores, folder: Path) -> FailoverResult:
    """All cases, one request at a time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores.load})
    try:
        return asyncio.run(_measure(samples, cores, folder))
    finally:
        os.sched_setaffinity(0, before)


async def _measure(samples: int, cores: Cores, folder: Path) -> FailoverResult:
    loop = asyncio.get_running_loop()
    script = _Script()
    failing = await loop.create_server(lambda: _Failing(script), "127.0.0.1", 0)
    following = await loop.create_server(lambda: _Next(script), "127.0.0.1", 0)
    port, admin, closed = free_ports(3)
    fails, follows = (server.sockets[0].getsockname()[1] for server in (failing, following))
    content = config(samples, fails, follows, closed)
    with _router(content, port, admin, cores, folder) as log:
        await _until_listening(port, log)
        results = [await _case(case, samples, port, script) for case in CASES]
    for server in (failing, following):
        server.close()
    return FailoverResult(tuple(results))


@contextlib.contextmanager
def _router(content: RouterConfig, port: int, admin: int, cores: Cores, folder: Path) -> Iterator[Path]:
    peer = Genset()
    log = folder / "router.log"
    command = peer.command(Place(folder, port, admin, 0), content)
    with running(command, cores.peer, log, peer.environment(), cores.nice):
        yield log


async def _until_listening(port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise click.ClickException(f"genset did not listen; its log ends:\n{log.read_text()[-2000:]}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def _case(case: Case, samples: int, port: int, script: _Script) -> CaseResult:
    found = [await _sample(f"{case.name}-{number}", port, script) for number in range(samples)]
    times = sorted(value for value in found if value is not None) or [math.nan]

    def rank(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))] * 1000

    lost = sum(value is None for value in found)
    return CaseResult(case.name, case.kind, case.about, samples, lost, rank(0.5), rank(0.99), times[-1] * 1000)


async def _sample(model: str, port: int, script: _Script) -> float | None:
    """Seconds of the router's own; None where the answer was not whole."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Count."}]}).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    script.failed = time.monotonic()
    writer.write(head.encode() + body)
    read, seen = b"", 0.0
    mark = MARK[:20].encode()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(SECONDS):
            while not read.endswith(b"0\r\n\r\n") and (piece := await reader.read(65536)):
                now = time.monotonic()
                read += piece
                if not seen and mark in read:
                    seen = now
    writer.close()
    if not seen or b"[DONE]" not in read or b'"error"' in read:
        return None
    return (seen - script.failed) - (script.answered - script.asked)
