"""Whatever fails, rests or is full, in whichever order and API, whoever asks and says what: no byte of a request reaches a zone
that is not allowed to it.

Counted at the sockets of the stub clouds: by connection, and by the request that came over it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import unittest.mock
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genset.router.http import connect
from testbed.router import RunningRouter, cloud, config, house, pods
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Close, Raw, Reset, Status, Step
from tests.support.router.consumers import KEYS, access, consumer, keys

ZONES = ("house", "eu", "us", "world")
IBAN = "pay to DE89370400440532013000"
CONSUMERS = ("lab", "invoices")
ALLOWED = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True)
SAID = st.none() | ALLOWED
FAULTS: st.SearchStrategy[Step] = st.sampled_from(
    [
        Answer(words=6), Answer(words=6, brk=Break("rst", after_chunks=2)), Answer(words=6, brk=Break("fin", after_chunks=3)),
        Status(500), Status(503), Status(429, headers={"retry-after": "0"}), Status(401), Status(404), Status(400), Reset(),
        Close(), Raw(b"no http at all\r\n\r\n"),
    ]
)  # fmt: skip
PATHS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages/count_tokens",
)
REQUEST = st.fixed_dictionaries(
    {
        "zones": SAID,
        "stream": st.booleans(),
        "text": st.sampled_from(["count", "count", IBAN]),
        "path": st.sampled_from((PATHS[0], *PATHS)),
        "key": st.sampled_from(["lab", "lab", "lab", "invoices", "nobody"]),
    }
)
PLAN = st.fixed_dictionaries(
    {
        # Few rules at once: where all say something, hardly a zone is left, and nothing is tried.
        "said": st.dictionaries(
            st.sampled_from(["cluster", "policy", "route", "lab", "lab", "invoices"]), ALLOWED, max_size=2
        ),
        "then": st.sampled_from([None, "House", "Refuse"]),
        "order": st.permutations(range(4)),
        "zones": st.lists(st.sampled_from(ZONES), min_size=3, max_size=3),
        "down": st.sets(st.integers(0, 3), max_size=1),
        "faults": st.lists(st.lists(FAULTS, max_size=2), min_size=4, max_size=4),
        "record": st.sampled_from([None, True, False]),
        "required": st.booleans(),
        "house": st.sampled_from(["awake", "at rest", "full"]),
        "coldStart": st.sampled_from(["Bridge", "Hold"]),
        "requests": st.lists(REQUEST, min_size=3, max_size=6),
    }
)


def allowed(plan: dict[str, Any], asked: dict[str, Any]) -> set[str]:
    """What the rules allow, written down once more, in the words of the page."""
    zones = set(ZONES)
    if plan["required"] and asked["key"] not in CONSUMERS:
        return set()
    theirs = plan["said"].get(asked["key"]) if plan["required"] else None
    for said in (*(plan["said"].get(who) for who in ("cluster", "policy", "route")), theirs, asked["zones"]):
        zones &= set(said) if said is not None else zones
    if asked["text"] == IBAN and plan["then"] is not None:
        zones &= {"house"} if plan["then"] == "House" else set()
    return zones


def document(plan: dict[str, Any], stubs: list[ScriptedUpstream]) -> dict[str, Any]:
    backends = [house(stubs[0].base_url, "b0")]
    if plan["house"] == "at rest":
        backends[0] = pods("nobody.test", 1, "b0")
        backends[0]["local"]["wakes"] = "house-small"
    elif plan["house"] == "full":
        backends[0]["balancing"] = {"maxInFlightPerEndpoint": 1, "maxQueued": 1, "queueSeconds": 0.05}
    backends += [cloud(stubs[n].base_url, f"b{n}", dataZone=plan["zones"][n - 1]) for n in (1, 2, 3)]
    made = config(*backends, tiers=[[f"b{n}"] for n in plan["order"]], failover={"totalSeconds": 10})
    said = plan["said"]
    made["dataZones"] = [{"saidBy": who, "zones": said[who]} for who in ("cluster", "policy") if who in said] or None
    made["routes"][0]["dataZones"] = said.get("route")
    if plan["then"] is not None:
        made["routes"][0]["sensitive"] = {"detect": ["iban"], "countries": [], "patterns": [], "then": plan["then"]}
    made["routes"][0]["coldStart"] = {"mode": plan["coldStart"], "seconds": 0.2}
    made["egress"] = None if plan["record"] is None else {"required": plan["record"]}
    if plan["required"]:
        made["access"] = access(*(consumer(name, dataZones=said.get(name)) for name in CONSUMERS))
    return made


def nowhere(host: str) -> tuple[str, ...]:
    """Answers for a Service without pods: its model is at rest."""
    raise socket.gaierror(socket.EAI_NONAME, host)


def body(asked: dict[str, Any]) -> dict[str, Any]:
    """Says the text in the API of the path."""
    text, path, stream = asked["text"], asked["path"], {"stream": asked["stream"]}
    message = {"role": "user", "content": text}
    if path == "/v1/messages":
        return {"model": "counting", "max_tokens": 9, "messages": [message], **stream}
    if path == "/v1/messages/count_tokens":
        return {"model": "counting", "messages": [message]}
    if path == "/v1/responses":
        return {"model": "counting", "input": text, **stream}
    if path == "/v1/completions":
        return {"model": "counting", "prompt": text, **stream}
    if path == "/v1/embeddings":
        return {"model": "counting", "input": [text]}
    return chat(stream=asked["stream"], messages=[message])


def outside(said: dict[str, list[str]], then: str | None = None, **asked: Any) -> dict[str, Any]:
    """Makes a plan in which one rule alone stands between a request and the cloud that would be asked first."""
    request = {"zones": None, "stream": False, "text": "count", "path": PATHS[0], "key": "lab", **asked}
    return {
        "said": said, "then": then, "order": [1, 0, 2, 3], "zones": ["eu", "us", "world"], "down": set(),
        "faults": [[], [], [], []],
        "record": None, "required": True, "house": "awake", "coldStart": "Hold", "requests": [request],
    }  # fmt: skip


@example(outside({"cluster": ["house", "us"]}))
@example(outside({"policy": ["house", "us"]}))
@example(outside({"route": ["house", "us"]}))
@example(outside({"lab": ["house", "us"]}))
@example(outside({}, zones=["house", "us"]))
@example(outside({}, then="House", text=IBAN))
@example(outside({}, then="Refuse", text=IBAN, path="/v1/messages"))
@example(outside({"lab": ["house"]}) | {"house": "at rest", "coldStart": "Bridge"})
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PLAN)
def test_nothing_reaches_a_zone_that_is_not_allowed(plan: dict[str, Any]) -> None:
    asyncio.run(play(plan))


async def play(plan: dict[str, Any]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stubs = [await stack.enter_async_context(ScriptedUpstream(script)) for script in plan["faults"]]
        for number in plan["down"]:
            await stubs[number].stop_listening()
        stack.enter_context(unittest.mock.patch.object(connect, "_getaddrinfo", nowhere))
        router = await stack.enter_async_context(
            RunningRouter(folder, document(plan, stubs), keys(), spool=folder / "spool")
        )
        assert router.configured and router.config_error is None, router.config_error

        async def ask(number: int, asked: dict[str, Any]) -> None:
            headers = {"x-request-id": f"r{number}"}
            if asked["zones"] is not None:
                headers["x-genset-data-zones"] = ", ".join(asked["zones"])
            if plan["required"]:
                headers |= {"x-api-key": KEYS.get(asked["key"], "gs-nobody-has-this-key-0")}
            with contextlib.suppress(Exception):  # what became of it is other tests' concern
                await router.ask(body(asked), asked["path"], headers=headers)

        asking = [ask(number, asked) for number, asked in enumerate(plan["requests"])]
        if plan["house"] == "full":
            await asyncio.gather(*asking)
        else:
            for one in asking:
                await one
        may = [allowed(plan, asked) for asked in plan["requests"]]
        for number, stub in enumerate(stubs):
            zone = "house" if number == 0 else plan["zones"][number - 1]
            for seen in stub.requests:
                identity = seen.headers["x-request-id"]
                assert zone in may[int(identity[1:])], f"request {identity} reached {zone}"
            if not any(zone in zones for zones in may):
                assert stub.accepted == 0, f"a connection to {zone} was opened"
