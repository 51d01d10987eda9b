"""`python -m bench operator`: the control plane at fleet scale, and the way of a change to the routers."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench import crowd, fleet, propagation, report

log = logging.getLogger(__name__)

MEMORY_GOAL_MIB = 150.0
FLEET_MEMORY_GOAL_MIB = 200.0
PROPAGATION_GOAL_SECONDS = 2.0


@click.command("operator")
@click.option("--deployments", type=click.IntRange(1, 5000), default=500, show_default=True)
@click.option("--policies", type=click.IntRange(1, 5000), default=100, show_default=True)
@click.option("--changes", type=click.IntRange(10, 5000), default=200, show_default=True)
@click.option("--routers", type=click.IntRange(1, 10), default=2, show_default=True, help="Replicas of the router.")
@click.option("--only", type=click.Choice(["memory", "propagation"]), default=None, help="One half. Writes nothing.")
@click.option("--write/--no-write", default=True, show_default=True, help="docs/performance.md and bench/results.")
def command(deployments: int, policies: int, changes: int, routers: int, only: str | None, write: bool) -> None:
    """Memory of the idle operator with a fleet; time from a change of a RoutePolicy to all routers programmed."""
    logging.getLogger("genset").setLevel(logging.WARNING)
    parts: list[str] = []
    content: dict[str, Any] = {}
    if only != "propagation":
        with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder:
            memory = asyncio.run(fleet.measure(Path(folder), deployments, policies))
        parts.append(memory_text(memory))
        content["memory"] = memory
    if only != "memory":
        spread = asyncio.run(propagation.measure(changes, routers))
        parts.append(propagation_text(spread))
        content["propagation"] = spread
    facts = report.machine()
    head = f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}."
    text = "\n\n".join([head, *parts])
    click.echo(text)
    if write and only is None:
        log.info("Wrote %s", report.write_json("operator", content, datetime.now(UTC)))
        report.write_section("operator", text)


@click.command("fleet")
@click.option("--deployments", type=click.IntRange(1, 5000), default=1000, show_default=True)
@click.option("--replicas", type=click.IntRange(1, 50), default=5, show_default=True, help="Pods of each.")
@click.option("--watch", type=click.IntRange(10, 3600), default=180, show_default=True, help="Seconds at rest.")
@click.option("--write/--no-write", default=True, show_default=True, help="docs/performance.md and bench/results.")
def fleet_command(deployments: int, replicas: int, watch: int, write: bool) -> None:
    """Time until a fleet is Ready, memory and CPU time of the operator, its writes at rest: pods on pretending nodes."""
    logging.getLogger("genset").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="genset-bench-") as folder:
        found = asyncio.run(crowd.measure(Path(folder), deployments, replicas, watch))
    facts = report.machine()
    head = f"{datetime.now(UTC):%Y-%m-%d}, {facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}."
    text = f"{head}\n\n{crowd_text(found)}"
    click.echo(text)
    if write:
        log.info("Wrote %s", report.write_json("fleet", {"fleet": found}, datetime.now(UTC)))
        report.write_section("fleet", text)


def crowd_text(found: crowd.CrowdResult) -> str:
    """The table of the fleet with pods."""
    hourly = found.writes * 3600 / found.watched
    lines = [
        f"{found.deployments} ModelDeployments with {found.pods} pods on {found.nodes} nodes that pretend to run (kwok). API "
        "server, controllers, scheduler and operator are real, and share the machine with the server of the completions:",
        "",
        "| | |",
        "|---|---:|",
        f"| all applied | {found.applied_seconds:.0f} s |",
        f"| until every one is Ready | {found.ready_seconds:.0f} s |",
        f"| CPU time of the operator until then | {found.cpu_seconds:.0f} s |",
        f"| RSS of the operator at rest, most | {found.idle_mib:.0f} MiB, {found.peak_mib:.0f} MiB |",
        f"| CPU time at rest, with {found.resyncs} full resyncs in {found.watched:.0f} s | {found.rest_cpu_seconds:.1f} s |",
        f"| writes at rest, an hour | {hourly:.0f} |",
        "",
        _verdict(
            f"Most memory, {found.peak_mib:.0f} MiB",
            f"{FLEET_MEMORY_GOAL_MIB:.0f} MiB",
            found.peak_mib < FLEET_MEMORY_GOAL_MIB,
        ),
        _verdict(f"Writes at rest, {hourly:.0f} an hour", "1", hourly < 1),
    ]
    return "\n".join(lines)


def memory_text(found: fleet.FleetResult) -> str:
    """The table of the fleet."""
    count = found.model_deployments + found.route_policies
    lines = [
        f"Operator with {found.model_deployments} ModelDeployments and {found.route_policies} RoutePolicies "
        f"({found.children} children) on a real kube-apiserver, no nodes:",
        "",
        "| | |",
        "|---|---:|",
        f"| RSS, ready, without resources | {found.empty_mib:.0f} MiB |",
        f"| RSS, idle with {count} resources | {found.idle_mib:.0f} MiB |",
        f"| RSS, most so far | {found.peak_mib:.0f} MiB |",
        f"| all applied at once, until each has a status | {found.reconciled_seconds:.1f} s |",
        f"| CPU time of one full resync | {found.resync_seconds:.2f} s |",
        "",
        _verdict(
            f"Memory idle, {found.idle_mib:.0f} MiB", f"{MEMORY_GOAL_MIB:.0f} MiB", found.idle_mib < MEMORY_GOAL_MIB
        ),
    ]
    return "\n".join(lines)


def propagation_text(found: propagation.PropagationResult) -> str:
    """The table of the changes."""
    lines = [
        f"{len(found.changes)} changes of a RoutePolicy with {found.routers} routers on the embedded cluster, from the "
        "server-side apply:",
        "",
        "| seconds | p50 | p90 | p99 | most |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, value in (
        ("every router serves it", lambda change: change.served),
        ("status says Programmed", lambda change: change.programmed),
    ):
        cells = " | ".join(f"{found.percentile(share, value):.2f}" for share in (0.5, 0.9, 0.99, 1.0))
        lines.append(f"| {name} | {cells} |")
    slowest = found.percentile(0.99, lambda change: change.programmed)
    goal = PROPAGATION_GOAL_SECONDS
    return "\n".join([*lines, "", _verdict(f"Programmed, p99 {slowest:.2f} s", f"{goal:g} s", slowest < goal)])


def _verdict(measured: str, goal: str, held: bool) -> str:
    return f"- {measured}, wanted below {goal}: {'held' if held else 'missed'}"
