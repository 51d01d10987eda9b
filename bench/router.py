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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import failover, report
from bench.failover import FailoverResult
from bench.goals import goals
from bench.install import load_generator
from bench.interpreter import interpreter
from bench.measure import Load, Plan, Run
from bench.network import isolate
from bench.peers import Peer, peers
from bench.peers.before import Before
from bench.processes import Cores, running
from bench.scenarios import SCENARIOS, Scenario
from bench.started import started
from bench.summary import DIRECT, Round, rows

FAILOVER = "failover"
FAILOVER_SAMPLES = 100  # per way to fail

log = logging.getLogger(__name__)


@click.command("router")
@click.option("--peers", "names", default=",".join(peers()), show_default=True, help="Which, in which order.")
@click.option(
    "--only",
    default=",".join([*SCENARIOS, FAILOVER]),
    show_default=True,
    help="Which scenarios, separated by commas. With fewer than all nothing is written.",
)
@click.option("--before", default=None, help="A commit: its router is one more peer, second in turn. Writes nothing.")
@click.option("--quick", is_flag=True, help="One short round: a look, not a result. Writes nothing.")
@click.option("--rounds", type=click.IntRange(1, 50), default=None, help=f"Default: {Plan.rounds}.")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=None, help=f"Per window. Default: {Plan.seconds:g}."
)
@click.option("--peer-core", type=int, default=None, help="Default: the last core.")
@click.option("--load-core", type=int, default=None, help="Load generator and upstream. Default: the last but one.")
@click.option(
    "--nice",
    type=click.IntRange(-20, 19),
    default=0,
    help="Priority of peer, load generator and upstream; below 0 needs root.",
)
@click.option(
    "--network",
    type=click.Choice(["own", "machine"]),
    default="own",
    show_default=True,
    help="own: a network namespace without packet filters.",
)
@click.option(
    "--write/--no-write",
    default=None,
    help="docs/performance.md and bench/results. Default: unless --quick, --only or --peers.",
)
def command(
    names: str,
    only: str,
    before: str | None,
    quick: bool,
    rounds: int | None,
    seconds: float | None,
    peer_core: int | None,
    load_core: int | None,
    nice: int,
    network: str,
    write: bool | None,
) -> None:
    """The router beside its peers: requests/s, CPU per request and chunk, added latency, many streams, memory."""
    wanted = scenarios(only)
    chosen = choose(names)
    if before is not None:
        chosen.insert(1, Before(before))
    whole = len(wanted) == len(SCENARIOS) + 1 and len(chosen) == len(peers()) and not quick
    plan = Plan.quick() if quick else Plan()
    plan = dataclasses.replace(
        plan,
        rounds=rounds or plan.rounds,
        seconds=seconds or plan.seconds,
        scenarios=tuple(name for name in wanted if name in SCENARIOS),
    )
    cores = Cores.choose(peer_core, load_core, nice)
    if cores.peer == cores.load:
        log.warning("One core for everything: the peers compete with the load generator, ratios are blurred")
    installed, missing = install(chosen)
    load_generator()
    own_network = network == "own" and isolate()
    done, broken = measure(list(installed), plan, cores) if plan.scenarios else ([], {})
    found_failover = measure_failover(cores, quick) if FAILOVER in wanted and "genset" in names else None
    result = Result(plan, own_network, installed, {**missing, **broken}, done, found_failover)
    text = result.text()
    click.echo(text)
    if whole if write is None else write:
        log.info("Wrote %s", report.write_json("router", result.content(), datetime.now(UTC)))
        report.write_section("router", text)


@dataclass(frozen=True)
class Result:
    """Everything that a run has found. `missing`: peers that could not be measured, and why."""

    plan: Plan
    own_network: bool
    installed: Mapping[Peer, str]  # with version
    missing: Mapping[str, str]
    rounds: Sequence[Round]
    failover: FailoverResult | None

    @property
    def versions(self) -> dict[str, str]:
        return {peer.name: version for peer, version in self.installed.items()}

    def text(self) -> str:
        """Markdown."""
        found = rows(self.rounds)
        parts = (
            self._setting(),
            report.table(found, self.versions) if found else "",
            report.caveats(found),
            report.errors(found),
            "\n".join(f"- {name} was not measured: {why}" for name, why in self.missing.items()),
            report.failover_table(self.failover) if self.failover else "",
            report.verdicts(goals(found, self.failover)),
            report.instrument(self.rounds) if found else "",
        )
        return "\n\n".join(part for part in parts if part)

    def content(self) -> dict[str, object]:
        """JSON."""
        found = rows(self.rounds)
        judged = [{**dataclasses.asdict(goal), "held": goal.held} for goal in goals(found, self.failover)]
        return {
            "plan": self.plan,
            "own_network": self.own_network,
            "versions": self.versions,
            "missing": self.missing,
            "rows": found,
            "failover": self.failover,
            "goals": judged,
            "rounds": self.rounds,
        }

    def _setting(self) -> str:
        facts = report.machine()
        plan = self.plan
        network = "a network namespace of its own" if self.own_network else "the machine's own network"
        head = (
            f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, Linux {facts['kernel']}, {interpreter().about}; "
            f"medians of {plan.rounds} rounds of {plan.seconds:g} s; peer on one core, upstream and load on another, "
            f"in {network}; lag measured on every twelfth stream, at least 25."
        )
        peers_told = [f"- {peer.name} {version}: {peer.about}" for peer, version in self.installed.items()]
        return "\n".join([head, "", *peers_told])


def choose(names: str) -> list[Peer]:
    """The named peers. BadParameter naming the known ones."""
    known = peers()
    return [known[name] for name in _listed(names, "peer", known)]


def scenarios(names: str) -> list[str]:
    """The named scenarios. BadParameter naming the known ones."""
    return _listed(names, "scenario", [*SCENARIOS, FAILOVER])


def _listed(names: str, what: str, known: Sequence[str] | Mapping[str, object]) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise click.BadParameter(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
    return wanted


def install(chosen: Sequence[Peer]) -> tuple[dict[Peer, str], dict[str, str]]:
    """Peers with their versions; those that could not be had, with the reason."""
    installed: dict[Peer, str] = {}
    missing: dict[str, str] = {}
    for peer in chosen:
        try:
            peer.install()
            installed[peer] = peer.version()
        except (click.ClickException, OSError, subprocess.CalledProcessError) as problem:
            said = problem.message if isinstance(problem, click.ClickException) else str(problem)
            log.warning("%s could not be installed: %s", peer.name, said)
            missing[peer.name] = said.strip().splitlines()[-1]
    return installed, missing


def measure(chosen: Sequence[Peer], plan: Plan, cores: Cores) -> tuple[list[Round], dict[str, str]]:
    """All rounds of all peers, and of the load generator straight against the upstream; peers that did not start."""
    program = load_generator()
    done: list[Round] = []
    broken: dict[str, str] = {}
    hopeless: set[tuple[str, str]] = set()
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder:
        top = Path(folder)
        # Interrupted: what there is, counts.
        with upstream(program, cores, top) as (port, pid), contextlib.suppress(KeyboardInterrupt):
            load = Load(program, cores, plan, port, pid)
            for number in range(plan.rounds):
                windows = Windows(load, number, plan, frozenset(hopeless))
                done.append(windows.direct(port))
                for peer in chosen:
                    if peer.name in broken:
                        continue
                    try:
                        done.append(windows.of(peer, port, top / f"{peer.name}-{number}"))
                    except click.ClickException as problem:
                        log.warning("%s", problem.message)
                        broken[peer.name] = problem.message.splitlines()[0]
                hopeless |= {(one.peer, name) for one in done for name, run in one.runs.items() if run.hopeless}
    return done, broken


def measure_failover(cores: Cores, quick: bool) -> FailoverResult:
    """genset alone, against upstreams that fail."""
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder:
        log.info("Measuring how long the next candidate takes")
        return failover.measure(10 if quick else FAILOVER_SAMPLES, cores, Path(folder))


@contextlib.contextmanager
def upstream(program: Path, cores: Cores, folder: Path) -> Iterator[tuple[int, int]]:
    """The upstream's port and pid."""
    output = folder / "upstream.log"
    with running([str(program), "upstream"], cores.load, output, nice=cores.nice) as process:
        deadline = time.monotonic() + 10
        while not (text := output.read_text()).endswith("\n"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"the upstream did not start: {text}")
            time.sleep(0.02)
        started = json.loads(text)
        yield started["port"], started["pid"]


@dataclass(frozen=True)
class Windows:
    """The windows of one round. `hopeless`: (peer, scenario) that failed in an earlier one and are not done again."""

    load: Load
    number: int
    plan: Plan
    hopeless: frozenset[tuple[str, str]]

    def direct(self, port: int) -> Round:
        """The load generator's own limit, and the latency that is not the peers'."""
        cores = self.load.cores
        chosen = [SCENARIOS[known] for known in self.plan.scenarios]
        return Round(DIRECT, self.number, self._runs(DIRECT, chosen, port, None, {}), 0, cores.load, cores.peer)

    def of(self, peer: Peer, upstream_port: int, folder: Path) -> Round:
        """One peer: started, warmed, measured, ended; again for scenarios that want a fresh process."""
        cores = self.load.cores
        runs: dict[str, Run] = {}
        idle: list[int] = []
        for number, group in enumerate(self._groups(peer.name)):
            with started(peer, upstream_port, folder / str(number), cores) as one:
                idle.append(resident(one.process))
                runs |= self._runs(peer.name, group, one.port, one.process, one.headers)
        return Round(peer.name, self.number, runs, min(idle, default=0), cores.load, cores.peer)

    def _groups(self, name: str) -> list[list[Scenario]]:
        """What is done with one process each."""
        wanted = [SCENARIOS[known] for known in self.plan.scenarios if (name, known) not in self.hopeless]
        together = [scenario for scenario in wanted if not scenario.fresh]
        return [group for group in (together, *([scenario] for scenario in wanted if scenario.fresh)) if group]

    def _runs(
        self,
        name: str,
        scenarios: Sequence[Scenario],
        port: int,
        process: subprocess.Popen[bytes] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        cores = self.load.cores
        for scenario in scenarios:
            if process is not None and process.poll() is not None:
                run = Run.nothing(scenario.mode, f"the peer had ended ({process.returncode})")
            else:
                run = self.load.run(scenario, port, process.pid if process else None, headers)
            runs[scenario.name] = run
            one = Round(name, self.number, {scenario.name: run}, 0, cores.load, cores.peer)
            log.info("Round %d/%d, %s", self.number + 1, self.plan.rounds, told(one, scenario.name))
        return runs


def told(one: Round, scenario: str) -> str:
    """One window in a line."""
    run = one.runs[scenario]
    rate = f"{run.chunks_per_second:,.0f} chunks/s" if run.mode == "streams" else f"{run.per_second:,.0f} requests/s"
    tail = run.lag if run.mode == "streams" else run.latency
    parts = [f"{one.peer}, {scenario}: {rate}", f"p99 {tail.get('p99', 0.0):,.1f} ms"]
    if run.mode == "streams":
        own = "" if run.own_lag is None else f", {run.own_lag:,.1f} ms of it the instrument's at most"
        parts[-1] += own
        parts.append(f"all began within {run.begun_in:.1f} s")
    if "peer" in run.used and (count := run.chunks or run.requests):
        parts.append(f"{run.used['peer'].cpu_seconds / count * 1e6:.1f} µs each")
    if run.failures:
        parts.append(f"{run.failures} failed: {', '.join(run.errors) or 'incomplete'}")
    if flaw := one.flaw(scenario):
        parts.append(flaw)
    return "; ".join(parts)


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
