"""The fault exam: what a client sees of each fault of a model server, a cloud or the way to it, streamed and not.

One row per fault: what the house (the first tier) does, what the client must see, and the trail that must be left. The
cloud (the last tier) is well unless the row says otherwise. Every row must end in time, and leave nothing running.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.router import RunningRouter, cloud, config, house, until
from testbed.upstream import steps
from testbed.upstream.client import Response, chat
from testbed.upstream.counting import counted
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, OnAccept, Raw, Reset, Silence, Step
from testbed.upstream.tls import Authority

Server = dict[str, Any]  # arguments of a ScriptedUpstream
WELL: Server = {}
FAST = {"firstTokenSeconds": 0.4, "stallSeconds": 0.4}


@dataclass(frozen=True)
class Fault:
    """`sees`: "whole", "told" (part of an answer and an error in the stream), or the status and code of an error.

    `trail`: attempts of a stream, `whole_trail` of an answer that is none (the same, unless given). A step of the house
    that is no dict is its `default`.
    """

    house: Step | Server
    trail: str
    whole_trail: str | None = None
    sees: str = "whole"
    whole_sees: str | None = None
    cloud: Step | Server = field(default_factory=dict)
    second: Step | Server | None = None  # a tier between the two
    text: str = counted(10)
    usage: bool = True  # the answer has one; where it never came, none is made up
    seconds: float = 2.0
    requests: int = 1
    way: str = ""  # what is wrong with the way to the house, instead of with the house
    house_backend: dict[str, Any] = field(default_factory=dict)
    cloud_backend: dict[str, Any] = field(default_factory=dict)
    failover: dict[str, Any] = field(default_factory=lambda: FAST)


def breaks(how: Any, after: int = 4, send: bytes = b"", **more: Any) -> Step:
    return Answer(brk=Break(how, after_chunks=after, send=send), **more)


LINE = b'data: {"id":"scripted-0","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" 00'
CHARACTER = LINE[:-2] + "🏠".encode()[:2]
MALFORMED = b'data: {"id": "x", "cho\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR_BODY = steps.Status(200, steps.error_body("The model crashed", "server_error"))


def no_prefill(received: Any) -> Step | None:
    messages = (received.json or {}).get("messages") or [{}]
    return steps.prefill_refused() if messages[-1].get("role") == "assistant" else None


FAULTS: dict[str, Fault] = {
    # refusals
    "429 short": Fault({"script": [steps.rate_limited(1)]}, "house:rate_limited_short house:ok", seconds=3),
    "429 long": Fault(steps.rate_limited(60), "house:rate_limited cloud:ok"),
    "429 without Retry-After": Fault(steps.rate_limited(), "house:rate_limited cloud:ok"),
    "429 everywhere": Fault(
        steps.rate_limited(60),
        "house:rate_limited cloud:rate_limited",
        sees="429 upstream_rate_limited",
        cloud=steps.rate_limited(20),
    ),
    "500 once": Fault({"script": [steps.server_error()]}, "house:server_error house:ok"),
    "500 always": Fault(steps.server_error(), "house:server_error house:server_error cloud:ok"),
    "503 for a minute": Fault(steps.loading(), "house:unavailable house:unavailable cloud:ok", requests=8, seconds=4),
    "503 with Retry-After": Fault(steps.server_error(503, 60), "house:rate_limited cloud:ok"),
    "context overflow, a larger one is there": Fault(
        steps.context_overflow("vllm"),
        "house:context_exceeded cloud:ok",
        house_backend={"contextTokens": 8192},
        cloud_backend={"contextTokens": 32768},
    ),
    "context overflow, none is larger": Fault(
        steps.context_overflow(),
        "house:context_exceeded",
        sees="400 context_length_exceeded",
        house_backend={"contextTokens": 8192},
        cloud_backend={"contextTokens": 8192},
    ),
    "content filter": Fault(steps.content_filter(), "house:content_filter", sees="400 content_filter"),
    "a mistake of the caller": Fault(steps.invalid_request(), "house:rejected", sees="400 invalid_value"),
    # before the first token
    "reset before headers": Fault(Reset(), "house:unreachable cloud:ok"),
    "closed before headers": Fault(steps.Close(), "house:unreachable cloud:ok"),
    "no HTTP": Fault(Raw(b"SSH-2.0-OpenSSH_9\r\n"), "house:unreachable cloud:ok"),
    "nothing at all": Fault(Silence(headers=False), "house:too_late cloud:ok"),
    "headers, then silence": Fault(Silence(), "house:too_late cloud:ok"),
    "first token late": Fault(Answer(first_delay=30), "house:too_late cloud:ok"),
    "accepts and never reads": Fault({"every_accept": OnAccept("never-read")}, "house:too_late cloud:ok"),
    "accepts and resets": Fault({"every_accept": OnAccept("reset")}, "house:unreachable cloud:ok"),
    "error in a 200": Fault(ERROR_BODY, "house:invalid_response cloud:ok"),
    "error in a 200, as an event": Fault(
        breaks("end", 0, steps.in_band_error()), "house:invalid_response cloud:ok"
    ),
    "malformed first chunk": Fault(breaks("continue", 0, MALFORMED), "house:invalid_response cloud:ok"),
    "ends before the first token": Fault(breaks("end", 0), "house:invalid_response cloud:ok"),
    # after the first token
    "connection cut": Fault(breaks("fin"), "house:interrupted cloud:ok"),
    "connection reset": Fault(breaks("rst"), "house:interrupted cloud:ok"),
    "body ends without a finish_reason": Fault(
        breaks("end"), "house:interrupted cloud:ok", "house:invalid_response cloud:ok"
    ),
    "[DONE] without a finish_reason": Fault(
        breaks("end", send=b"data: [DONE]\n\n"), "house:interrupted cloud:ok", "house:invalid_response cloud:ok"
    ),
    "stall": Fault(breaks("stall"), "house:stalled cloud:ok", "house:too_late cloud:ok"),
    "cut in a line": Fault(breaks("fin", send=LINE), "house:interrupted cloud:ok"),
    "cut inside a multi-byte character": Fault(breaks("fin", send=CHARACTER), "house:interrupted cloud:ok"),
    "malformed chunk": Fault(
        breaks("continue", send=MALFORMED), "house:interrupted cloud:ok", "house:invalid_response cloud:ok"
    ),
    "error between tokens": Fault(
        breaks("end", send=steps.in_band_error()), "house:error cloud:ok", "house:invalid_response cloud:ok"
    ),
    "error and then [DONE]": Fault(
        breaks("end", send=steps.in_band_error() + b"data: [DONE]\n\n"),
        "house:error cloud:ok",
        "house:invalid_response cloud:ok",
    ),
    "missing [DONE]": Fault(Answer(done=False), "house:ok"),
    "missing [DONE], and the connection stays": Fault(breaks("stall", 10, FINISH), "house:ok", usage=False),
    "reset right after the finish_reason": Fault(breaks("rst", 10, FINISH), "house:ok", usage=False),
    # while somebody writes on
    "prefill refused": Fault(
        breaks("fin"),
        "house:interrupted cloud:no_prefill cloud:ok",
        "house:interrupted cloud:ok",
        cloud={"choose": no_prefill},
        cloud_backend={"continuation": "Prefill"},
    ),
    "prefill taken": Fault(breaks("fin"), "house:interrupted cloud:ok", cloud_backend={"continuation": "Prefill"}),
    "a second cut while continuing": Fault(
        breaks("fin"),
        "house:interrupted second:interrupted cloud:ok",
        second=breaks("rst", 7),
        cloud_backend={"continuation": "Prefill"},
    ),
    "refused while continuing": Fault(
        breaks("fin"), "house:interrupted second:rate_limited cloud:ok", second=steps.rate_limited()
    ),
    "silence while continuing": Fault(
        breaks("fin"), "house:interrupted second:too_late cloud:ok", second=Silence(), seconds=3
    ),
    "nobody may write on": Fault(
        breaks("fin"),
        "house:interrupted",
        "house:interrupted cloud:ok",
        sees="told",
        whole_sees="whole",
        failover={**FAST, "continueStreams": False},
    ),
    "nobody can write on": Fault(
        {"script": [breaks("fin")], "default": Reset()},
        "house:interrupted cloud:unreachable house:unreachable",
        sees="told",
        whole_sees="502 upstream_unreachable",
        cloud=Reset(),
    ),
    # everywhere
    "both sides down": Fault(
        Reset(), "house:unreachable cloud:unreachable", sees="502 upstream_unreachable", cloud=Reset()
    ),
    "both sides silent": Fault(
        Silence(), "house:too_late cloud:too_late", sees="504 upstream_timeout", cloud=Silence(), seconds=3
    ),
    # the way there
    "refused connection": Fault(WELL, "house:unreachable cloud:ok", way="refused"),
    "DNS that fails": Fault(WELL, "house:unreachable cloud:ok", way="dns"),
    "TLS of an unknown CA": Fault(WELL, "house:unreachable cloud:ok", way="unknown CA"),
    "TLS for another name": Fault(WELL, "house:unreachable cloud:ok", way="other name"),
    "no TLS where it should be": Fault(WELL, "house:unreachable cloud:ok", way="no TLS", seconds=6),
    "TLS handshake that hangs": Fault(WELL, "house:unreachable cloud:ok", way="TLS hangs", seconds=6),
    "a proxy that is away": Fault(WELL, "house:unreachable cloud:ok", way="proxy away"),
    "a proxy that refuses": Fault(WELL, "house:unreachable cloud:ok", way="proxy refuses"),
    "a proxy that hangs": Fault(WELL, "house:unreachable cloud:ok", way="proxy hangs", seconds=6),
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", FAULTS)
async def test_what_a_client_sees_of_each_fault(tmp_path: Path, name: str, stream: bool) -> None:
    fault = FAULTS[name]
    bounds = Bounds(attempts=Timeouts(usage=1.0))
    log = tmp_path / "log"
    async with contextlib.AsyncExitStack() as stack:
        backends, files = await backends_of(stack, fault)
        content = config(*backends, failover=fault.failover)
        router = await stack.enter_async_context(RunningRouter(tmp_path, content, files, log=log, bounds=bounds))
        for _ in range(fault.requests):
            async with asyncio.timeout(fault.seconds):
                answer = await router.ask(chat(stream=stream, padding="x" * 200_000))
            seen = _seen(answer, fault.text)
            assert seen != "whole" or (answer.usage is not None) == fault.usage
            assert seen == (fault.whole_sees or fault.sees if not stream else fault.sees), (answer, seen)
        await until(lambda: not router.exchanges and not router.running_out, what="the end")
        for backend in router.table.backends.values():
            assert [endpoint.in_flight for endpoint in backend.endpoints] == [0], backend.name
    first = json.loads(log.read_text().splitlines()[0])
    trail = " ".join(step.rsplit(":", 1)[0] for step in first["attempts"])
    assert trail == (fault.whole_trail or fault.trail if not stream else fault.trail)


def _seen(answer: Response, text: str) -> str:
    """What an application makes of it. Anything that looks whole and is not shows here."""
    assert answer.ended == "clean", f"the answer was cut without a word: {answer}"
    if answer.status != 200:
        assert answer.json["error"]["message"], answer
        assert (answer.status != 429) or 15 <= int(answer.headers["retry-after"]) <= 20, "not the least of all"
        return f"{answer.status} {answer.json['error']['code']}"
    if answer.complete:
        assert answer.text == text, f"damaged and called whole: {answer.text!r}"
        return "whole"
    assert answer.error is not None and answer.error["type"] == "upstream_stream_interrupted", answer
    assert not answer.done and answer.finish_reason is None and text.startswith(answer.text), answer
    return "told"


async def backends_of(stack: contextlib.AsyncExitStack, fault: Fault) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    trusted, files = Authority(), {}
    ways: dict[str, Server] = {
        "unknown CA": {"tls": Authority()},
        "other name": {"tls": trusted, "names": ("elsewhere.test",)},
        "TLS hangs": {"tls": trusted, "every_accept": OnAccept("silent")},
    }
    options = _server(fault.house) | ways.get(fault.way, {})
    first = await stack.enter_async_context(ScriptedUpstream(**options))
    url, target = first.base_url, fault.house_backend.get("url", {})
    if fault.way == "refused":
        await first.stop_listening()
    elif fault.way == "dns":
        url = "http://no-such-host.invalid:80/v1"
    elif "TLS" in fault.way or fault.way in ("unknown CA", "other name"):
        url = url.replace("http://", "https://")
        files["ca"] = trusted.ca_pem
        target = {"caFile": "ca"}
    elif fault.way.startswith("proxy"):
        proxy = ConnectProxy(refuse=403) if "refuses" in fault.way else ConnectProxy(hang="hangs" in fault.way)
        await stack.enter_async_context(proxy)
        target = {"proxyUrl": "http://127.0.0.1:1" if "away" in fault.way else proxy.url}
    backends = [house(url, **{**fault.house_backend, "url": target})]
    if fault.second is not None:
        middle = await stack.enter_async_context(ScriptedUpstream(**_server(fault.second)))
        backends.append(cloud(middle.base_url, "second"))
    last = await stack.enter_async_context(ScriptedUpstream(**_server(fault.cloud)))
    return [*backends, cloud(last.base_url, **fault.cloud_backend)], files


def _server(given: Step | Server) -> Server:
    return dict(given) if isinstance(given, dict) else {"default": given}


#: What the data plane promises to survive, and the rows that show it.
PROMISED = {
    "429 short": "429 short",
    "429 long": "429 long",
    "429 without Retry-After": "429 without Retry-After",
    "500 once": "500 once",
    "503 for a minute": "503 for a minute",
    "reset before headers": "reset before headers",
    "headers then silence": "headers, then silence",
    "first token late": "first token late",
    "stall": "stall",
    "cut in a line": "cut in a line",
    "cut inside a multi-byte character": "cut inside a multi-byte character",
    "missing [DONE]": "missing [DONE]",
    "malformed chunk": "malformed chunk",
    "error in a 200": "error in a 200",
    "context overflow": "context overflow, a larger one is there",
    "content filter": "content filter",
    "prefill refused": "prefill refused",
    "both sides down": "both sides down",
    "a second cut while continuing": "a second cut while continuing",
    "DNS that fails": "DNS that fails",
    "TLS that fails": "TLS of an unknown CA",
    "a proxy that fails": "a proxy that refuses",
    "a backend that accepts and never reads": "accepts and never reads",
}


@pytest.mark.parametrize("promise", PROMISED)
def test_every_promise_has_its_row(promise: str) -> None:
    assert PROMISED[promise] in FAULTS
