"""`python -m bench translations`: what a translation costs the router, beside gateways that do the same.

CPU time of the peer's processes (/proc/PID/stat), per whole answer and per chunk of a stream; in turns, a fresh process each
round. Not requests a second: these say more about what a machine else does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx

from bench import report
from bench.interpreter import interpreter
from bench.peers import UPSTREAM_MODEL, Peer, Place
from bench.peers.genset import Genset
from bench.peers.litellm_proxy import LiteLlm
from bench.peers.portkey import Portkey
from bench.processes import Cores, running
from bench.translation_upstream import EVENTS, WORD, serve
from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.route_config import MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import PolicyRef, RouterConfig
from testbed.cluster.ports import free_ports
from testbed.router_config import made

CLAUDE: Final = "claude-opus-4-5"
AT_ONCE: Final = 8
START_SECONDS: Final = 120.0
_SAID: Final[list[dict[str, str]]] = [{"role": "user", "content": "count" * 20}]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Translation:
    """A translation is a client's API in front of a backend's: path and body of its request."""

    about: str
    path: str
    body: dict[str, Any]


TRANSLATIONS: Final = {
    "chat": Translation("chat → chat", "/v1/chat/completions", {"model": UPSTREAM_MODEL, "messages": _SAID}),
    "messages": Translation(
        "Messages → chat", "/v1/messages", {"model": UPSTREAM_MODEL, "max_tokens": 500, "messages": _SAID}
    ),
    "responses": Translation("Responses → chat", "/v1/responses", {"model": UPSTREAM_MODEL, "input": _SAID}),
    "claude": Translation(
        "chat → Messages", "/v1/chat/completions", {"model": CLAUDE, "max_tokens": 500, "messages": _SAID}
    ),
}


class _Genset(Genset):
    """genset with a house and a Claude; the same upstream plays both."""

    def configuration(self, place: Place, content: RouterConfig | None) -> str:
        return super().configuration(place, content or _config(place))


def _config(place: Place) -> RouterConfig:
    def backend(name: str, provider: str, base: str) -> BackendConfig:
        return made(BackendConfig, name=name, kind="cloud", model=name, url=UrlTarget(base_url=base, provider=provider))

    return made(
        RouterConfig,
        policy=made(PolicyRef, namespace="bench", name="bench", generation=1),
        backends=(
            backend(UPSTREAM_MODEL, "openAICompatible", f"{place.upstream_url}/v1"),
            backend(CLAUDE, "anthropic", f"{place.upstream_url}/v1"),
        ),
        routes=tuple(
            made(
                RouteConfig,
                name=name,
                match=made(MatchConfig, models=(name,)),
                tiers=((made(WeightedBackend, backend=name),),),
            )
            for name in (UPSTREAM_MODEL, CLAUDE)
        ),
    )


#: hosted_vllm/: with openai/ LiteLLM asks the Responses API of its upstream for a Messages client.
_PEERS: Final[tuple[Peer, ...]] = (
    _Genset(),
    LiteLlm({UPSTREAM_MODEL: f"hosted_vllm/{UPSTREAM_MODEL}", CLAUDE: f"anthropic/{CLAUDE}"}),
    Portkey(),
)


@click.command("translations")
@click.option("--peers", "names", default=",".join(peer.name for peer in _PEERS), show_default=True)
@click.option("--rounds", type=click.IntRange(1, 20), default=2, show_default=True)
@click.option(
    "--requests", "count", type=click.IntRange(8, 100_000), default=400, show_default=True, help="Whole answers."
)
@click.option(
    "--streams", type=click.IntRange(1, 10_000), default=48, show_default=True, help=f"Of {EVENTS} chunks each."
)
@click.option("--write/--no-write", default=False, help="docs/performance.md and bench/results.")
def command(names: str, rounds: int, count: int, streams: int, write: bool) -> None:
    """CPU per answer and per chunk through each translation, beside LiteLLM and Portkey."""
    chosen = [peer for peer in _PEERS if peer.name in names.split(",")]
    for peer in chosen:
        peer.install()
    found: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(rounds):
        for peer in chosen:
            for key, cost in asyncio.run(_round(peer, count, streams)).items():
                found.setdefault((peer.name, *key), []).append(cost)
    text = _table(chosen, found)
    click.echo(text)
    if write:
        report.write_section("translations", text)


async def _round(peer: Peer, count: int, streams: int) -> dict[tuple[str, str], float]:
    """Returns µs of CPU by translation and kind ("answer", "chunk") of one fresh process of a peer."""
    port, spare, upstream = free_ports(3)
    found: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as name:
        place = Place(Path(name), port, spare, upstream)
        server = await serve(upstream)
        cores = Cores.choose(None, None)
        with running(peer.command(place), cores.peer, Path(name) / "log", peer.environment()) as process:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
                await _wait(http)
                for translation, told in TRANSLATIONS.items():
                    headers = {**_headers(peer, place, translation)}
                    try:
                        await _ask(http, told, headers, AT_ONCE, stream=False)  # warm
                        await _ask(http, told, headers, AT_ONCE, stream=True)
                        before = _cpu(process.pid)
                        await _ask(http, told, headers, count, stream=False)
                        middle = _cpu(process.pid)
                        await _ask(http, told, headers, streams, stream=True)
                        after = _cpu(process.pid)
                    except (click.ClickException, httpx.HTTPError) as problem:
                        log.warning("%s does not do %s: %s", peer.name, told.about, str(problem)[:300])
                        continue
                    found[translation, "answer"] = (middle - before) / count * 1e6
                    found[translation, "chunk"] = (after - middle) / (streams * EVENTS) * 1e6
        server.close()
    return found


def _headers(peer: Peer, place: Place, translation: str) -> dict[str, str]:
    headers = dict(peer.headers(place))
    if translation == "claude" and "x-portkey-provider" in headers:
        headers["x-portkey-provider"] = "anthropic"
    return {"authorization": "Bearer none", **headers}


async def _wait(http: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            await http.get("/v1/models")
        except httpx.HTTPError:
            await asyncio.sleep(0.2)
        else:
            return
    raise click.ClickException(f"the peer did not answer within {START_SECONDS:.0f} s")


async def _ask(
    http: httpx.AsyncClient, told: Translation, headers: dict[str, str], count: int, *, stream: bool
) -> None:
    """Asks so often, AT_ONCE at a time. Raises click.ClickException if an answer is not what it should be."""
    body = {**told.body, **({"stream": True} if stream else {})}
    left = iter(range(count))

    async def ask() -> None:
        for _ in left:
            answer = await http.post(told.path, json=body, headers=headers)
            if answer.status_code != 200 or answer.text.count(WORD) < EVENTS:
                raise click.ClickException(f"{answer.status_code} {answer.text[:200]}")

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))


def _cpu(session: int) -> float:
    """Returns the CPU seconds that the processes of a session have used, those of children that have ended included."""
    used = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            used += sum(int(ticks) for ticks in fields[11:15])
    return used / os.sysconf("SC_CLK_TCK")


def _table(chosen: Iterable[Peer], found: dict[tuple[str, str, str], list[float]]) -> str:
    """Returns a row for each translation, with the ratio to genset's."""
    peers = list(chosen)
    lines = [
        f"{interpreter().about}; CPU µs of each peer, medians of the rounds; in brackets: as many times genset's.",
        "",
        "| translation | per | " + " | ".join(f"{peer.name} {peer.version()}" for peer in peers) + " |",
        "|---|---|" + "---:|" * len(peers),
    ]
    for name, told in TRANSLATIONS.items():
        for kind in ("answer", "chunk"):
            costs = [found.get((peer.name, name, kind)) for peer in peers]
            medians = [None if cost is None else statistics.median(cost) for cost in costs]
            cells = []
            for median in medians:
                ratio = f" ({median / medians[0]:.1f})" if median and medians[0] and median is not medians[0] else ""
                cells.append("–" if median is None else f"{median:,.0f}{ratio}")
            lines.append(f"| {told.about} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
