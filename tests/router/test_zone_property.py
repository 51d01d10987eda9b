"""Whatever fails, rests or is full, in whichever order and API, whoever asks and says what, and whatever helper runs: no byte of
a request reaches a zone that is not allowed to it, and no connection is opened to one that nobody may use.

Counted at the sockets of the stub clouds: by connection, and by the request that came over it. The helpers are probes, watches of
servers, adapters and senses, proofs of refused keys, recoveries, the search for a way out, counts of tokens, answers rebuilt from
streams, and continuations; rules change while the router runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import unittest.mock
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genset.router.http import connect
from genset.router.process import server
from genset.router.process.options import Bounds
from genset.router.watch.verify import VerifyTimeouts
from testbed.router import RunningRouter, cloud, config, house, pods
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Close, Raw, Reset, Status, Step
from tests.support.router.consumers import KEYS, access, consumer, keys

ZONES = ("house", "eu", "us", "world")
IBAN = "pay to DE89370400440532013000"
SECRET = "count-canary"  # stands in every request of a client, and in none of the router's own
CONSUMERS = ("lab", "invoices")
BOUNDS = Bounds(cloud_probe=0.05, verify=VerifyTimeouts(look=0.05, unlisted=0.1))
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")  # an outage of the clouds takes two
SETTLED_SECONDS = 0.15  # in which a helper that was under way ends, and a new one would have dialled
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
    "/v1/responses/input_tokens",
    "/v1/rerank",
)
REQUEST = st.fixed_dictionaries(
    {
        "zones": SAID,
        "stream": st.booleans(),
        "text": st.sampled_from([SECRET, SECRET, f"{SECRET} {IBAN}"]),
        "model": st.sampled_from(["counting", "counting", "free"]),
        "path": st.sampled_from((PATHS[0], *PATHS)),
        "key": st.sampled_from(["lab", "lab", "lab", "invoices", "nobody"]),
    }
)
SAYS = st.dictionaries(
    # Few rules at once: where all say something, hardly a zone is left, and nothing is tried.
    st.sampled_from(["cluster", "policy", "route", "free", "lab", "lab", "invoices"]), ALLOWED, max_size=2
)  # fmt: skip
PLAN = st.fixed_dictionaries(
    {
        "said": SAYS,
        "later": st.none() | SAYS,
        "then": st.sampled_from([None, "House", "Refuse"]),
        "order": st.permutations(range(4)),
        "zones": st.lists(st.sampled_from(ZONES), min_size=3, max_size=3),
        "probed": st.booleans(),
        "down": st.sets(st.integers(0, 3), max_size=3),
        "faults": st.lists(st.lists(FAULTS, max_size=2), min_size=4, max_size=4),
        "record": st.sampled_from([None, True, False]),
        "required": st.booleans(),
        "house": st.sampled_from(["awake", "at rest", "full", "pods"]),
        "coldStart": st.sampled_from(["Bridge", "Hold"]),
        "requests": st.lists(REQUEST, min_size=3, max_size=6),
    }
)
Plan = dict[str, Any]
Said = dict[str, list[str]]


def together(said: Said, *who: str) -> set[str]:
    """What all of these allow together."""
    return set(ZONES).intersection(*(said[one] for one in who if one in said))


def allowed(plan: Plan, said: Said, asked: dict[str, Any]) -> set[str]:
    """What the rules allow a request, written down once more, in the words of the page."""
    if plan["required"] and asked["key"] not in CONSUMERS:
        return set()
    route = "route" if asked["model"] == "counting" else "free"
    zones = together(said, "cluster", "policy", route, *([asked["key"]] if plan["required"] else []))
    zones &= set(ZONES if asked["zones"] is None else asked["zones"])
    if IBAN in asked["text"] and plan["then"] is not None and route == "route":
        zones &= {"house"} if plan["then"] == "House" else set()
    return zones


def probed(plan: Plan, said: Said) -> set[str]:
    """In which zones the rules let routers look after backends, whoever asks."""
    return together(said, "cluster", "policy", "route") | together(said, "cluster", "policy", "free")


def document(plan: Plan, said: Said, stubs: list[ScriptedUpstream]) -> dict[str, Any]:
    backends = [house(stubs[0].base_url, "b0")]
    if plan["house"] == "at rest":
        backends[0] = pods("nobody.test", 1, "b0")
        backends[0]["local"]["wakes"] = "house-small"
    elif plan["house"] == "full":
        backends[0]["balancing"] = {"maxInFlightPerEndpoint": 1, "maxQueued": 1, "queueSeconds": 0.05}
    elif plan["house"] == "pods":
        backends[0] = pods("pods.test", stubs[0].port, "b0", adapters=["poems"], adapterList="Models")
    elif plan["probed"]:
        backends[0]["url"]["healthPath"] = "/health"
    backends += [cloud(stubs[n].base_url, f"b{n}", dataZone=plan["zones"][n - 1]) for n in (1, 2, 3)]
    for backend in backends[1:] if plan["probed"] else ():
        backend["url"]["healthPath"] = "/health"
    made = config(*backends, tiers=[[f"b{n}"] for n in plan["order"]], failover={"totalSeconds": 10})
    made["dataZones"] = [{"saidBy": who, "zones": said[who]} for who in ("cluster", "policy") if who in said] or None
    route = made["routes"][0]
    route["coldStart"] = {"mode": plan["coldStart"], "seconds": 0.2}
    free = {**route, "name": "free", "match": {**route["match"], "models": ["free"]}, "dataZones": said.get("free")}
    route["dataZones"] = said.get("route")
    if plan["then"] is not None:
        route["sensitive"] = {"detect": ["iban"], "countries": [], "patterns": [], "then": plan["then"]}
    made["routes"].append(free)
    made["egress"] = None if plan["record"] is None else {"required": plan["record"]}
    if plan["required"]:
        made["access"] = access(*(consumer(name, dataZones=said.get(name)) for name in CONSUMERS))
    return made


def found(host: str) -> tuple[str, ...]:
    """Answers for the Service of the house, and for one without pods: its model is at rest."""
    if host == "pods.test":
        return (HOSTS[0],)
    raise socket.gaierror(socket.EAI_NONAME, host)


def body(asked: dict[str, Any]) -> dict[str, Any]:
    """Says the text in the API of the path."""
    text, path, stream, model = asked["text"], asked["path"], {"stream": asked["stream"]}, {"model": asked["model"]}
    message = {"role": "user", "content": text}
    if path == "/v1/messages":
        return {**model, "max_tokens": 9, "messages": [message], **stream}
    if path == "/v1/messages/count_tokens":
        return {**model, "messages": [message]}
    if path in ("/v1/responses", "/v1/responses/input_tokens"):
        return {**model, "input": text, **(stream if path == "/v1/responses" else {})}
    if path == "/v1/completions":
        return {**model, "prompt": text, **stream}
    if path == "/v1/embeddings":
        return {**model, "input": [text]}
    if path == "/v1/rerank":
        return {**model, "query": "count", "documents": [text]}
    return chat(**stream, **model, messages=[message])


def outside(said: Said, then: str | None = None, more: Plan | None = None, **asked: Any) -> Plan:
    """Makes a plan in which one rule alone stands between a request and the cloud that would be asked first."""
    request = {
        "zones": None, "stream": False, "text": SECRET, "model": "counting", "path": PATHS[0], "key": "lab", **asked,
    }  # fmt: skip
    return {
        "said": said, "later": None, "then": then, "order": [1, 0, 2, 3], "zones": ["eu", "us", "world"], "probed": False,
        "down": set(), "faults": [[], [], [], []], "record": None, "required": True, "house": "awake", "coldStart": "Hold",
        "requests": [request] * 2, **(more or {}),
    }  # fmt: skip


BROKEN = Answer(words=6, brk=Break("rst", after_chunks=2))
IN_EUROPE = {"zones": ["eu", "eu", "us"], "down": {0, 1, 2}, "order": [0, 1, 2, 3]}


@example(outside({"cluster": ["house", "us"]}))
@example(outside({"policy": ["house", "us"]}))
@example(outside({"route": ["house", "us"]}))
@example(outside({"lab": ["house", "us"]}))
@example(outside({}, zones=["house", "us"]))
@example(outside({}, then="House", text=IBAN))
@example(outside({}, then="Refuse", text=IBAN, path="/v1/messages"))
@example(outside({"lab": ["house"]}) | {"house": "at rest", "coldStart": "Bridge"})
@example(outside({"policy": ["house"]}, more={"probed": True}))
@example(outside({"policy": ["eu"]}, more={"house": "pods"}))
@example(outside({}, more={"later": {"route": ["house"]}, "probed": True}, zones=["eu", "house"]))
@example(outside({}, more={"later": {"policy": ["house"]}, "probed": True}))
@example(outside({}, more=IN_EUROPE, zones=["eu", "house"]))
@example(outside({"lab": ["eu"]}, more=IN_EUROPE))
@example(outside({}, more={"order": [0, 1, 2, 3], "faults": [[BROKEN], [], [], []]}, zones=["house"], stream=True))
@example(outside({}, path="/v1/messages/count_tokens", zones=["house"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PLAN)
def test_nothing_reaches_a_zone_that_is_not_allowed(plan: Plan) -> None:
    asyncio.run(play(plan))


async def play(plan: Plan) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stubs = [
            await stack.enter_async_context(ScriptedUpstream(script, host=host))
            for script, host in zip(plan["faults"], HOSTS, strict=True)
        ]
        for number in plan["down"]:
            await stubs[number].stop_listening()
        stack.enter_context(unittest.mock.patch.object(connect, "_getaddrinfo", found))
        # As in a cluster, where servers elsewhere are asked for completions.
        stack.enter_context(unittest.mock.patch.object(server, "is_in_pod", lambda *_: True))
        router = await stack.enter_async_context(
            RunningRouter(folder, document(plan, plan["said"], stubs), keys(), spool=folder / "spool", bounds=BOUNDS)
        )
        assert router.configured and router.config_error is None, router.config_error
        may = await asks(router, plan, plan["said"], "a")
        seen = may
        reach = probed(plan, plan["said"])
        if plan["later"] is not None:
            for number in plan["down"]:
                stubs[number].listen()
            router.write(document(plan, plan["later"], stubs))
            assert await router.router.reload(), router.config_error
            await asyncio.sleep(SETTLED_SECONDS)
            before = [stub.accepted for stub in stubs]
            seen = {**may, **await asks(router, plan, plan["later"], "b")}
            reach |= probed(plan, plan["later"])
            await asyncio.sleep(SETTLED_SECONDS)
            judge(plan, stubs, before, seen, probed(plan, plan["later"]))
        await asyncio.sleep(SETTLED_SECONDS if plan["down"] or plan["probed"] else 0)
        judge(plan, stubs, [0] * 4, seen, reach)


async def asks(router: RunningRouter, plan: Plan, said: Said, phase: str) -> dict[str, set[str]]:
    """Sends the plan's requests; returns what each was allowed, by its identity."""

    async def ask(identity: str, asked: dict[str, Any]) -> None:
        headers = {"x-request-id": identity}
        if asked["zones"] is not None:
            headers["x-genset-data-zones"] = ", ".join(asked["zones"])
        if plan["required"]:
            headers |= {"x-api-key": KEYS.get(asked["key"], "gs-nobody-has-this-key-0")}
        with contextlib.suppress(Exception):  # what became of it is other tests' concern
            await router.ask(body(asked), asked["path"], headers=headers)

    named = {f"{phase}{number}": asked for number, asked in enumerate(plan["requests"])}
    asking = [ask(identity, asked) for identity, asked in named.items()]
    if plan["house"] == "full":
        await asyncio.gather(*asking)
    else:
        for one in asking:
            await one
    return {identity: allowed(plan, said, asked) for identity, asked in named.items()}


def judge(
    plan: Plan, stubs: list[ScriptedUpstream], before: list[int], may: dict[str, set[str]], reach: set[str]
) -> None:
    """Looks at every stub. `before`: connections that do not count; `may`: what each request is allowed; `reach`: where routers
    may look after backends."""
    for number, stub in enumerate(stubs):
        zone = "house" if number == 0 else plan["zones"][number - 1]
        for request in stub.requests:
            identity = request.headers["x-request-id"]
            assert zone in may[identity], f"request {identity} reached {zone}"
        for request in (*stub.own, *stub.probes):
            said = json.dumps(request.headers) + request.path + request.body.decode("latin-1")
            assert SECRET not in said and IBAN not in said, "a request of the router's own holds what a client has said"
        opened = stub.accepted - before[number]
        assert zone in reach or not opened, f"a connection to {zone} was opened, which no route may use"
        looked_after = plan["probed"] or number == 0
        if not looked_after and not any(zone in zones for zones in may.values()):
            assert not opened, f"a connection to {zone} was opened, where no request may go"
