"""A rig is a router with everything behind it that clients are tried with: a real llama-server, and scripted clouds.

Each name that a client can ask for is a situation: a backend that answers, or one way in which it does not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from e2e.cloud import free_port
from e2e.vllm.engines import ADDRESS, LLAMA_START_SECONDS, EngineProcess
from genset.router.machine.patience import Timeouts
from genset.router.process.options import Bounds
from testbed.cluster.processes import Daemons
from testbed.images import host_llama_server
from testbed.models import calling
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.claude import ScriptedClaude, Told
from testbed.upstream.gpt import PIECE, ScriptedGpt
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Step, context_overflow, unauthorized

FORM = {"city": "Paris", "sunny": True}  # what a client gets that demands a form
#: Backends that answer, by the name that clients ask for.
ANSWERING = ("house", "anthropic", "openai")
#: Backends that do not. A program tells of each what it met.
FAILING = ("broken", "toolong", "refused", "nobody")
SLOW = "cold"  # answers late, so that the client hears signs of life
ALIAS = "claude-house"  # Claude Code's list shows names that begin so
WAIT_SECONDS = 1.5
SIGNS_EVERY = 0.2
CONTEXT_TOKENS = 65_536  # for each of two requests at once

_CUT = Answer(
    texts=tuple(calling.HELLO[n : n + PIECE] for n in range(0, len(calling.HELLO), PIECE)), brk=Break("fin", 3)
)
_LATE = Answer(texts=(calling.HELLO,), first_delay=WAIT_SECONDS)


class Rig:
    """`url` is the router's; `mistakes` says what the clouds have refused in requests that the router made."""

    def __init__(self, url: str, gpt: ScriptedGpt, claude: ScriptedClaude, log: Path) -> None:
        self.url = url
        self._gpt = gpt
        self._claude = claude
        self.log = log

    @property
    def mistakes(self) -> list[str]:
        return [*self._gpt.mistakes, *self._claude.mistakes]


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """Runs a rig; its files are in `folder`."""
    engine = calling_server(Daemons(folder))
    engine.begin()
    gpt = ScriptedGpt(
        calling.HELLO, json.dumps(FORM), calling.WISH, calling.TOOLS["get_weather"], calling.PROOF, calling.DONE
    )
    claude = ScriptedClaude()

    def as_claude(received: Received) -> Step | None:
        claude.told = _told(received.json)
        return claude.choose(received)

    try:
        async with contextlib.AsyncExitStack() as stack:
            held = {
                "anthropic": ScriptedUpstream(choose=as_claude),
                "openai": ScriptedUpstream(choose=gpt.choose),
                "broken": ScriptedUpstream(default=_CUT),
                "toolong": ScriptedUpstream(default=context_overflow("openai")),
                "refused": ScriptedUpstream(default=unauthorized()),
                SLOW: ScriptedUpstream(default=_LATE),
            }
            for upstream in held.values():
                await stack.enter_async_context(upstream)
            engine.wait()
            urls = {"house": engine.base_url + "/v1", **{name: one.base_url for name, one in held.items()}}
            log = folder / "access.log"
            bounds = Bounds(attempts=Timeouts(comment=SIGNS_EVERY, working=SIGNS_EVERY, quiet=SIGNS_EVERY))
            router = RunningRouter(folder, _policy(urls), {"key": b"sk-scripted"}, log=log, bounds=bounds)
            await stack.enter_async_context(router)
            if not router.configured:
                raise RuntimeError(f"the router refused its configuration: {router.config_error}")
            yield Rig(router.url, gpt, claude, log)
    finally:
        engine.kill()


def calling_server(daemons: Daemons) -> EngineProcess:
    """A llama-server with the model that uses tools."""
    port = free_port(ADDRESS)
    command: list[str | Path] = [
        *host_llama_server(), "-m", calling.cached(), "--alias", "calling", "--host", ADDRESS, "--port", str(port),
        "-c", str(CONTEXT_TOKENS * 2), "-np", "2", "-t", "1", "-tb", "1", "--fit", "off", "--cache-ram", "0",
        "--no-cache-idle-slots", "--jinja", "--offline",
    ]  # fmt: skip
    return EngineProcess(daemons, "calling", command, port, LLAMA_START_SECONDS)


def _policy(urls: dict[str, str]) -> dict[str, Any]:
    def backend(name: str) -> dict[str, Any]:
        if name == "house":
            return house(urls[name], contextTokens=CONTEXT_TOKENS) | {"model": "calling"}
        provider = name if name in ("anthropic", "openai") else "openAICompatible"
        made = cloud(urls[name], name, provider, url={"keyFile": "key"})
        return made | {"model": "claude-opus-5" if name == "anthropic" else "gpt-6"}

    names = {**{name: [name] for name in urls}, "house": ["house", ALIAS]}
    routes = [
        {
            "name": name,
            "match": {"models": models},
            "tiers": [[{"backend": name}]],
            "failover": {"continueStreams": False},
        }
        for name, models in names.items()
    ]
    return config(*(backend(name) for name in urls), routes=routes)


def _told(body: Any) -> Told:
    """Returns what the scripted Claude says to a request."""
    body = body if isinstance(body, dict) else {}
    said = json.dumps(body.get("messages"))
    if calling.PROOF in said and "tool_result" in said:
        return Told(texts=(calling.DONE,))
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if body.get("tools") and (calling.WISH in said or forced):
        arguments = json.dumps(calling.TOOLS["get_weather"] if calling.WISH in said else FORM)
        call = ("toolu_7", body["tools"][0]["name"], (arguments[:5], arguments[5:]))
        return Told(texts=("I ask.",), calls=(call,), stop_reason="tool_use")
    if "format" in (body.get("output_config") or {}):
        return Told(texts=(json.dumps(FORM),))
    return Told(texts=(calling.HELLO[:5], calling.HELLO[5:]))
