"""`python -m bench router`: the router beside its peers, on the same core, under the same load, in turns.

Rounds go A B C A B C, each with a fresh process, so that a machine that slows down for a minute slows all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import report
from bench.install import load_generator
from bench.measure import Load, Plan, wait_until_answers
from bench.peers import Peer, Place, peers
from bench.processes import Cores, running
from bench.summary import DIRECT, Round, goals, rows
from e2e.cluster.ports import free_ports

log = logging.getLogger(__name__)


@click.command("router")
@click.option("--peers", "names", default=",".join(peers()), show_default=True, help="Which, in which order.")
@click.option("--quick", is_flag=True, help="One short round: a look, not a result. Writes nothing.")
@click.option("--rounds", type=click.IntRange(1, 50), default=None, help=f"Default: {Plan.rounds}.")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=None, help=f"Per window. Default: {Plan.seconds:g}."
)
@click.option("--streams", type=click.IntRange(1, 5000), default=None, help=f"Default: {Plan.streams}.")
@click.option("--peer-core", type=int, default=None, help="Default: the last core.")
@click.option("--load-core", type=int, default=None, help="Load generator and upstream. Default: the last but one.")
@click.option(
    "--nice",
    type=click.IntRange(-20, 19),
    default=0,
    help="Priority of peer, load generator and upstream; below 0 needs root.",
)
@click.option(
    "--write/--no-write", default=None, help="docs/performance.md and bench/results. Default: unless --quick."
)
def command(
    names: str,
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    streams: int | None,
    peer_core: int | None,
    load_core: int | None,
    nice: int,
    write: bool | None,
) -> None:
    """The router beside its peers: requests/s, CPU per request and chunk, added latency, memory."""
    chosen = choose(names)
    plan = Plan.quick() if quick else Plan()
    plan = dataclasses.replace(
        plan, rounds=rounds or plan.rounds, seconds=seconds or plan.seconds, streams=streams or plan.streams
    )
    cores = Cores.choose(peer_core, load_core, nice)
    if cores.peer == cores.load:
        log.warning("One core for everything: the peers compete with the load generator, ratios are blurred")
    for peer in chosen:
        peer.install()
    versions = {peer.name: peer.version() for peer in chosen}
    done = measure(chosen, plan, cores)
    found = rows(done)
    text = "\n\n".join(
        part
        for part in (
            _setting(plan, versions, chosen),
            report.table(found, versions),
            report.caveats(found),
            report.verdicts(goals(found)),
        )
        if part
    )
    click.echo(text)
    if write if write is not None else not quick:
        content = {"plan": plan, "versions": versions, "rows": found, "goals": goals(found), "rounds": done}
        log.info("Wrote %s", report.write_json("router", content, datetime.now(UTC)))
        report.write_section("router", text)


def choose(names: str) -> list[Peer]:
    """The named peers. BadParameter naming the known ones."""
    known = peers()
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise click.BadParameter(f"unknown peer {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def _setting(plan: Plan, versions: dict[str, str], chosen: Sequence[Peer]) -> str:
    facts = report.machine()
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}; "
        f"medians of {plan.rounds} rounds of {plan.seconds:g} s; peer on one core, upstream and load on another. "
        f"Requests/s with {plan.connections} connections, answers of 1 KB; chunks with {plan.streams} streams of "
        f"{plan.chunk_rate}/s; latency at {plan.rate} requests/s, without what a direct call takes.",
        *(f"- {peer.name} {versions[peer.name]}: {peer.about}" for peer in chosen),
    ]
    return "\n".join([lines[0], "", *lines[1:]])


def measure(chosen: Sequence[Peer], plan: Plan, cores: Cores) -> list[Round]:
    """All rounds of all peers, and of the load generator straight against the upstream."""
    program = load_generator()
    done: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder:
        top = Path(folder)
        with upstream(program, cores, plan, top) as (port, pid):
            load = Load(program, cores, plan, pid)
            for number in range(plan.rounds):
                done.append(one_direct(load, number, port, cores))
                for peer in chosen:
                    place_folder = top / f"{peer.name}-{number}"
                    place_folder.mkdir()
                    done.append(one_round(peer, load, number, port, cores, place_folder))
    return done


@contextlib.contextmanager
def upstream(program: Path, cores: Cores, plan: Plan, folder: Path) -> Iterator[tuple[int, int]]:
    """The upstream's port and pid."""
    output = folder / "upstream.log"
    interval = f"{1e6 / plan.chunk_rate:.0f}us"
    with running(
        [str(program), "upstream", "--chunk-interval", interval], cores.load, output, nice=cores.nice
    ) as process:
        deadline = time.monotonic() + 10
        while not (text := output.read_text()).endswith("\n"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"the upstream did not start: {text}")
            time.sleep(0.02)
        started = json.loads(text)
        yield started["port"], started["pid"]


def one_direct(load: Load, number: int, port: int, cores: Cores) -> Round:
    """The load generator's own limit, and the latency that is not the peers'."""
    runs = load.saturate(port, None), load.rate(port, None), load.streams(port, None)
    done = Round(DIRECT, number, *runs, idle_rss_bytes=0, load_core=cores.load, peer_core=cores.peer)
    tell(done)
    return done


def one_round(peer: Peer, load: Load, number: int, upstream_port: int, cores: Cores, folder: Path) -> Round:
    """One peer: started, warmed, measured, ended."""
    port, spare = free_ports(2)
    place = Place(folder, port, spare, upstream_port)
    output = folder / "output.log"
    command_line = peer.command(place)
    with running(command_line, cores.peer, output, peer.environment(), cores.nice) as process:
        wait_until_answers(peer.name, port, output, lambda: process.poll() is None)
        idle = resident(process)
        saturate = load.saturate(port, process.pid)
        rate = load.rate(port, process.pid)
        streams = load.streams(port, process.pid)
    done = Round(peer.name, number, saturate, rate, streams, idle, cores.load, cores.peer)
    tell(done)
    return done


def tell(done: Round) -> None:
    """One line while the benchmark runs."""
    row = rows([done])[0]
    flaws = {name: done.flaw(getattr(done, name)) for name in ("saturate", "rate", "streams")}
    log.info(
        "Round %d, %s: %.0f requests/s, %.1f µs/request, %.1f µs/chunk, lag p99 %.1f ms, %d failures %s",
        done.number,
        row.peer,
        row.requests_per_second.median or 0.0,
        row.cpu_per_request.median or 0.0,
        row.cpu_per_chunk.median or 0.0,
        row.lag_p99.median or 0.0,
        row.failures,
        "; ".join(f"{name}: {flaw}" for name, flaw in flaws.items() if flaw),
    )


def resident(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes of a process and its children."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            pages[int(stat.parent.name)] = int(fields[21])

    def below(pid: int) -> bool:
        while pid not in (process.pid, 0, 1):
            pid = parents.get(pid, 0)
        return pid == process.pid

    return sum(count for pid, count in pages.items() if below(pid)) * os.sysconf("SC_PAGE_SIZE")
