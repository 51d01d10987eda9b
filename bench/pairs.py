"""`python -m bench pairs`: two routers and more, all of them running, in windows of a second that take turns.

Rounds of minutes compare what a machine was at two times; where neighbours take half of it and give it back within
seconds that says more of them than of the routers. A turn is one window of each peer, one right after the other, in an
order that changes with each turn; what is compared is a turn's ratio, and what is told is the median of the ratios.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import click

from bench.install import load_generator
from bench.measure import Load, Plan, Run
from bench.network import isolate
from bench.peers import Peer
from bench.peers.before import Before
from bench.processes import Cores
from bench.router import choose, install, scenarios, upstream
from bench.scenarios import CHUNKS, SCENARIOS, SHORT, UNTOUCHED, WHOLE, Scenario
from bench.started import started
from bench.summary import Round

log = logging.getLogger(__name__)
Turn = Mapping[str, Round]  # by peer


@click.command("pairs")
@click.option(
    "--peers", "names", default="genset,envoy", show_default=True, help="The first is compared with the others."
)
@click.option("--before", default=None, help="A commit: its router is one more peer.")
@click.option("--only", default=f"{WHOLE},{SHORT},{UNTOUCHED},{CHUNKS}", show_default=True, help="Which scenarios.")
@click.option("--turns", type=click.IntRange(2, 200), default=16, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=1.0, show_default=True, help="Per window.")
@click.option("--nice", type=click.IntRange(-20, 19), default=0, help="Priority; below 0 needs root.")
def command(names: str, before: str | None, only: str, turns: int, seconds: float, nice: int) -> None:
    """Routers side by side in short windows, for machines that others use: medians of the ratios of each turn."""
    chosen = [*choose(names), *([Before(before)] if before else [])]
    wanted = [SCENARIOS[name] for name in scenarios(only) if name in SCENARIOS]
    if unfit := [one.name for one in wanted if one.fresh]:
        raise click.BadParameter(f"{', '.join(unfit)} want a process of their own: see `bench router`")
    installed, missing = install(chosen)
    load_generator()
    isolate()
    for name, why in missing.items():
        click.echo(f"{name} is not compared: {why}")
    plan = Plan(rounds=turns, seconds=seconds, calm=0.0)
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder, contextlib.suppress(KeyboardInterrupt):
        for scenario, found in measure(list(installed), wanted, plan, Cores.choose(None, None, nice), Path(folder)):
            for told in compared(found, scenario.name, [peer.name for peer in installed]):
                click.echo(told)


@dataclass(frozen=True)
class Ratio:
    """Of what one peer passes for what it costs, to what another does, over all turns."""

    scenario: str
    peer: str
    other: str
    ratios: Sequence[float]
    flawed: int  # turns that count only where there is no other

    def __str__(self) -> str:
        head = f"{self.scenario}: {self.peer} to {self.other}"
        if len(self.ratios) < 2:
            return f"{head}: fewer than two turns passed anything"
        low, _, high = quantiles(self.ratios, n=4)
        spread = f"half of {len(self.ratios)} turns from {low:.3f} to {high:.3f}"
        doubt = f"; {self.flawed} turns were disturbed" if self.flawed else ""
        return f"{head}: {median(self.ratios):.3f} ({spread}{doubt})"


def measure(
    peers: Sequence[Peer], wanted: Sequence[Scenario], plan: Plan, cores: Cores, folder: Path
) -> Iterator[tuple[Scenario, list[Turn]]]:
    """All turns of each scenario. Raises ClickException for a peer that does not start."""
    program = load_generator()
    with upstream(program, cores, folder) as (port, pid), contextlib.ExitStack() as stack:
        load = Load(program, cores, plan, port, pid)
        places = {peer.name: stack.enter_context(started(peer, port, folder / peer.name, cores)) for peer in peers}
        for scenario in wanted:
            turns: list[Turn] = []
            for number in range(plan.rounds):
                turn: dict[str, Round] = {}
                for name in _order([peer.name for peer in peers], number):
                    one = places[name]
                    run = load.run(scenario, one.port, one.process.pid, one.headers)
                    turn[name] = Round(name, number, {scenario.name: run}, 0, cores.load, cores.peer)
                turns.append(turn)
            log.info("%s: %d turns", scenario.name, len(turns))
            yield scenario, turns


def _order(names: Sequence[str], turn: int) -> list[str]:
    """Whoever comes first finds other caches than whoever comes second: nobody always does."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def compared(turns: Sequence[Turn], scenario: str, names: Sequence[str]) -> list[Ratio]:
    """The first peer beside each other one, by the turns that nothing disturbed; where there is none, by all."""
    own, *others = names
    found = []
    for other in others:
        pairs = [(turn[own], turn[other]) for turn in turns]
        good = [pair for pair in pairs if not any(one.flaw(scenario) or one.runs[scenario].failures for one in pair)]
        ratios = [
            _worth(a.runs[scenario]) / _worth(b.runs[scenario]) for a, b in good or pairs if _worth(b.runs[scenario])
        ]
        found.append(Ratio(scenario, own, other, ratios, len(pairs) - len(good)))
    return found


def _worth(run: Run) -> float:
    """Requests per second; of streams, which keep to a schedule, chunks per CPU second."""
    if run.mode == "streams":
        used = run.used.get("peer")
        return run.chunks / used.cpu_seconds if used and used.cpu_seconds else 0.0
    return run.per_second
