"""A fleet at once: 500 ModelDeployments and 100 RoutePolicies, then rest; and the memory that it takes.

The operator is a process of its own, as in a cluster, and the numbers are printed.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import httpx
import pytest

from genset import kinds
from genset.kube.client import METADATA_LIST
from testbed.cluster.webhook import mutating
from tests.support.integration import samples
from tests.support.integration.process import Process
from tests.support.integration.world import World

DEPLOYMENTS = 500
POLICIES = 100
CHILDREN = {
    kinds.DEPLOYMENT: DEPLOYMENTS + POLICIES,
    kinds.SERVICE: 2 * DEPLOYMENTS + POLICIES,
    kinds.NETWORK_POLICY: DEPLOYMENTS + POLICIES,
    kinds.DISRUPTION_BUDGET: DEPLOYMENTS + POLICIES,
    kinds.CONFIG_MAP: POLICIES,
    kinds.SERVICE_ACCOUNT: POLICIES,
    kinds.SECRET: POLICIES + 1,  # and the user's own
}
MEBIBYTE = 1024 * 1024


def _rss(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _count(world: World, kind: kinds.Kind) -> int:
    """Objects of a kind, without reading them all: a test that polls must not be the load."""
    page = await world.api.request(
        "GET", kind.path(world.namespace), query={"limit": "1"}, headers={"Accept": METADATA_LIST}
    )
    return len(page["items"] or ()) + int(page["metadata"].get("remainingItemCount") or 0)


async def _metric(port: int, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.timeout(720)
async def test_a_fleet_at_once_and_then_rest(world: World, tmp_path: Path) -> None:
    operator = Process(
        world, tmp_path, "fleet", "fleet", "--no-leader-election", "--namespace", world.namespace,
        "--resync-seconds", "10",
    )  # fmt: skip
    try:
        await _fleet(world, operator)
        await _rest(world, operator)
    finally:
        operator.end()


#: What policy engines do to each Deployment: a field replaced, things added to maps and lists, what we say made larger.
POLICY_ENGINE = [
    {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 45},
    {"op": "add", "path": "/metadata/labels/corp.example~1scanned", "value": "yes"},
    {"op": "add", "path": "/spec/template/metadata/labels/corp.example~1team", "value": "models"},
    {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "CORP_CA", "value": "/etc/corp"}},
    {"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Always"},
    {"op": "replace", "path": "/spec/template/spec/securityContext/runAsUser", "value": 1000650000},
    {"op": "add", "path": "/spec/template/spec/tolerations", "value": [{"key": "corp", "operator": "Exists"}]},
]


@pytest.mark.timeout(720)
async def test_a_fleet_under_a_mutating_webhook_rests_too(world: World, tmp_path: Path) -> None:
    async with mutating(world.api, world.namespace, tmp_path, POLICY_ENGINE):
        operator = Process(
            world, tmp_path, "fleet", "fleet", "--no-leader-election", "--namespace", world.namespace,
            "--resync-seconds", "10",
        )  # fmt: skip
        try:
            await _fleet(world, operator)
            live = await world.get(kinds.DEPLOYMENT, "m-0")
            assert live is not None and live["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 45
            await _rest(world, operator)
        finally:
            operator.end()


async def _fleet(world: World, operator: Process) -> None:
    """Makes the fleet, and prints how long that took."""
    namespace = world.namespace
    await world.apply(samples.secret(namespace))
    began = time.monotonic()
    await world.apply(
        *(samples.model_deployment(namespace, f"m-{n}") for n in range(DEPLOYMENTS)),
        *(samples.route_policy(namespace, f"p-{n}", deployment=f"m-{n}") for n in range(POLICIES)),
    )
    applied = time.monotonic() - began
    missing: dict[str, int] = {}

    async def complete() -> bool:
        for kind, count in CHILDREN.items():
            missing[kind.kind] = count - await _count(world, kind)
            if missing[kind.kind] > 0:
                return False
        return True

    try:
        await world.until("all children exist", complete, seconds=300, pause=0.2)
    except AssertionError as error:
        raise AssertionError(f"children missing: {missing}; log: {operator.log.read_text()[-3000:]}") from error
    took = time.monotonic() - began
    print(f"\n{DEPLOYMENTS} + {POLICIES} resources applied in {applied:.1f} s; all children there after {took:.1f} s")

    async def accepted() -> bool:
        items = [*await world.list(kinds.MODEL_DEPLOYMENT), *await world.list(kinds.ROUTE_POLICY)]
        return all(item.get("status") for item in items)

    await world.until("all resources have a status", accepted, seconds=30, pause=1)
    print(f"all status written after {time.monotonic() - began:.1f} s")


async def _rest(world: World, operator: Process) -> None:
    """A whole resync without one write."""

    def writes(since: int) -> list[str]:
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in world.plane.writes(since, "genset-operator")
            if event["objectRef"].get("namespace") == world.namespace
        ]

    async def calm() -> bool:
        before = world.plane.audit_position()
        await asyncio.sleep(1.5)
        return not writes(before)

    await world.until("a while without a write", calm, seconds=180)
    port = await _metrics_port(operator)
    position, resyncs = world.plane.audit_position(), await _metric(port, "genset_resync_total")
    reconciled = await _metric(port, "genset_reconcile_total")

    async def resynced() -> bool:
        return await _metric(port, "genset_resync_total") >= resyncs + 1 and (
            await _metric(port, "genset_reconcile_total") >= reconciled + DEPLOYMENTS + POLICIES
        )

    await world.until("a full resync has run", resynced, seconds=180, pause=0.3)
    await asyncio.sleep(0.5)
    assert writes(position) == [], "at rest nothing is written"
    reconciles = await _metric(port, "genset_reconcile_total") - reconciled
    rss = _rss(operator.process.pid)
    print(f"full resync: {reconciles:.0f} reconciles, 0 writes; memory of the operator: {rss / MEBIBYTE:.0f} MiB")
    assert await _metric(port, "genset_workqueue_retries_total") == 0
    assert rss < 150 * MEBIBYTE


async def _metrics_port(operator: Process) -> int:
    return operator.ports()[-1]
