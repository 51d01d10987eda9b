"""`python -m bench continuity`: what clients get while the first of two places that answer is taken away."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from bench import report
from bench.continuity.faults import FAULTS, Side
from bench.continuity.near import enter, far_side
from bench.continuity.peers import ContinuityPeer, peers
from bench.continuity.peers.genset import GensetFailover
from bench.continuity.run import MOMENTS, QUICK_MOMENTS, WARM, Benchmark, Outcome, Plan
from bench.continuity.table import Result, results, table, totals
from bench.install import ROOT
from bench.interpreter import interpreter
from bench.processes import Cores
from genset.contracts.route_config import FailoverConfig
from testbed.router_config import made

PAGE: Final = ROOT / "docs" / "continuity.md"
_MODES: Final = {"stream": True, "whole": False}


@click.command("continuity")
@click.option("--peers", "names", default=",".join(peers()), show_default=True, help="Which, separated by commas.")
@click.option("--faults", default=",".join(FAULTS), show_default=True, help="Which, separated by commas.")
@click.option(
    "--first", default="cloud,house", show_default=True, help="Which side is the first choice, and is taken away."
)
@click.option("--answers", default="stream,whole", show_default=True, help="Which kinds of answers are asked for.")
@click.option("--runs", type=click.IntRange(1, 1000), default=100, show_default=True, help="Of each fault.")
@click.option(
    "--at-once", type=click.IntRange(1, 100), default=5, show_default=True, help="Runs that meet one outage together."
)
@click.option(
    "--patience", type=click.FloatRange(1, 600), default=60, show_default=True, help="Seconds that a client waits."
)
@click.option("--nice", type=click.IntRange(-20, 19), default=0, help="Priority of the peers; below 0 needs root.")
@click.option(
    "--quick",
    is_flag=True,
    help="genset alone, one process with short deadlines, few requests: a look. Writes nothing.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if genset lost a request, or lied.")
@click.option(
    "--write/--no-write", default=None, help="docs/continuity.md and bench/results. Default: if nothing is left out."
)
def command(
    names: str,
    faults: str,
    first: str,
    answers: str,
    runs: int,
    at_once: int,
    patience: float,
    nice: int,
    quick: bool,
    strict: bool,
    write: bool | None,
) -> None:
    """Every fault of the first choice, in both directions, for streams and whole answers: what clients get, and when.

    Needs root on Linux, for network namespaces and a TUN device. The peers are installed into the user's cache on the first run.
    """
    known = peers()
    chosen = [_quick()] if quick else [known[name] for name in _listed(names, known)]
    plan = Plan(
        faults=[FAULTS[name] for name in _listed(faults, FAULTS)],
        firsts=[Side(name) for name in _listed(first, list(Side))],
        modes=[_MODES[name] for name in _listed(answers, _MODES)],
        runs=runs,
        at_once=min(at_once, runs),
        patience=patience,
        moments=QUICK_MOMENTS if quick else MOMENTS,
        warm=0 if quick else WARM,
    )
    for peer in chosen:
        peer.install()
    versions = {peer.name: peer.version() for peer in chosen}
    found = results(measure(plan, chosen, nice))
    text = _text(plan, chosen, versions, found)
    click.echo(text)
    whole = len(chosen) == len(known) and len(plan.blocks) == len(FAULTS) * len(Side) and len(plan.modes) == len(_MODES)
    if not quick and (whole if write is None else write):
        report.write_json("continuity", {"runs": runs, "versions": versions, "results": found}, datetime.now(UTC))
        report.write_section("continuity", text, PAGE)
    if strict and (bad := [one for one in found if one.peer == "genset" and one.lost + one.lied]):
        raise click.ClickException("; ".join(f"{one.fault}, {one.first} first: {dict(one.details)}" for one in bad))


def _quick() -> ContinuityPeer:
    return GensetFailover(made(FailoverConfig, first_token_seconds=2.0, stall_seconds=2.0), lasts=True)


def measure(plan: Plan, chosen: Sequence[ContinuityPeer], nice: int = 0) -> list[Outcome]:
    """Runs a plan in a network of its own, which this process does not leave again."""
    rootfs = interpreter().rootfs
    with tempfile.TemporaryDirectory(prefix="genset-continuity-") as name:
        folder = Path(name)
        near = enter(folder, [rootfs] if rootfs is not None else [])

        found: list[Outcome] = []

        async def run() -> None:
            async with far_side(near, folder) as far:
                await Benchmark(plan, far, folder, Cores.choose(None, None, nice), _tell).measure(chosen, found)

        with contextlib.suppress(KeyboardInterrupt):  # interrupted: what there is, counts
            asyncio.run(run())
        return found


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _listed(names: str, known: Collection[str]) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return wanted


def _text(plan: Plan, chosen: Sequence[ContinuityPeer], versions: dict[str, str], found: Sequence[Result]) -> str:
    facts = report.machine()
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, Linux {facts['kernel']}, {interpreter().about}; {plan.runs} runs of each "
        f"row, {plan.at_once} in one outage, all peers in the same one; a client waits {plan.patience:g} s."
    )
    about = [f"- {peer.name} {versions[peer.name]}: {peer.about}" for peer in chosen]
    return "\n\n".join([head, "\n".join(about), totals(found), *(table(found, side) for side in plan.firsts)])
