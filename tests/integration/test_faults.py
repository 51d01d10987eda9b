"""An API server that refuses, conflicts, breaks connections and restarts loses nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from aiohttp import web

from genset import kinds
from testbed.cluster.controlplane import ControlPlane
from tests.support.integration import rbac, samples
from tests.support.integration.fakes import FaultProxy, refusal
from tests.support.integration.world import World, make_world, prepare

COUNT = 20


async def _all_accepted(world: World, count: int = COUNT, seconds: float = 40.0) -> None:
    async def accepted() -> bool:
        items = await world.list(kinds.MODEL_DEPLOYMENT)
        good = [item for item in items if _is_true(item, "Accepted")]
        return len(good) == count

    await world.until(f"{count} ModelDeployments are accepted", accepted, seconds, pause=0.2)
    assert len(await world.list(kinds.DEPLOYMENT)) == count
    assert len(await world.list(kinds.SERVICE)) == 2 * count


def _is_true(item: dict, condition: str) -> bool:  # type: ignore[type-arg]
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(found["type"] == condition and found["status"] == "True" for found in conditions)


async def test_refused_conflicting_and_broken_requests_lose_nothing(world: World, tmp_path: Path) -> None:
    """A third of all requests that are no watches fail, in every way that is known."""
    rng = random.Random(7)
    proxy = FaultProxy(world.plane, rbac.USER)
    ways = {
        "409": lambda: refusal(409, "Conflict"),
        "429": lambda: refusal(429, "TooManyRequests", {"Retry-After": "0.1"}),
        "500": lambda: refusal(500, "InternalError"),
        "503": lambda: refusal(503, "ServiceUnavailable"),
        "504": lambda: web.Response(status=504, text="<html>gateway</html>", content_type="text/html"),
    }

    def fault(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("watch") or request.path.count("/") < 5 or rng.random() > 0.33:
            return None
        if request.method == "GET" and rng.random() < 0.2 and request.transport is not None:
            request.transport.abort()  # no answer at all
        return rng.choice([ways[key] for key in ways if key != "409" or request.method != "GET"])()

    async with proxy.listening(tmp_path) as kubeconfig:
        proxy.fault = fault
        operator = await world.start(kubeconfig=kubeconfig)
        await world.apply(*(samples.model_deployment(world.namespace, f"m-{n}") for n in range(COUNT)))
        await _all_accepted(world)
        assert proxy.faults > 50, "the test must have hurt"
        proxy.fault = lambda _: None
        await world.quiet(operator, seconds=70)
        await world.stop(operator)


async def test_every_write_refused_once_is_done_in_the_end(world: World, tmp_path: Path) -> None:
    """The request succeeds on the server and its answer is lost: the next attempt finds it done."""
    proxy = FaultProxy(world.plane, rbac.USER)
    seen: set[tuple[str, str]] = set()

    def fault(request: web.Request) -> web.StreamResponse | None:
        key = (request.method, request.path)
        if request.method == "GET" or key in seen:
            return None
        seen.add(key)
        return refusal(500, "InternalError")

    async with proxy.listening(tmp_path) as kubeconfig:
        proxy.fault = fault
        operator = await world.start(kubeconfig=kubeconfig)
        await world.apply(samples.secret(world.namespace), samples.route_policy(world.namespace, "assistant"))
        await world.until_condition(kinds.ROUTE_POLICY, "assistant", "Accepted", "True")
        assert await world.get(kinds.DEPLOYMENT, "assistant-router") is not None
        await world.stop(operator)


async def test_children_that_cannot_be_written_for_long_are_told(world: World, tmp_path: Path) -> None:
    """An admission webhook that is down answers 500 for ever: the user reads it in the status, and it heals by itself."""
    proxy = FaultProxy(world.plane, rbac.USER)

    def fault(request: web.Request) -> web.StreamResponse | None:
        broken = request.method == "PATCH" and request.path.endswith("/deployments/house")
        return refusal(500, "InternalError", words="failed calling webhook policy.corp: refused") if broken else None

    async with proxy.listening(tmp_path) as kubeconfig:
        proxy.fault = fault
        operator = await world.start(kubeconfig=kubeconfig)
        await world.apply(samples.model_deployment(world.namespace, "house"))
        told = await world.until_condition(
            kinds.MODEL_DEPLOYMENT, "house", "Accepted", "False", "ApplyRejected", seconds=60
        )
        assert "webhook policy.corp" in told["message"]
        proxy.fault = lambda _: None
        await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True", seconds=30)
        await world.stop(operator)


async def test_a_status_that_changes_under_our_hands(world: World) -> None:
    """Another controller writes its own condition all the time; neither loses, and rest is reached."""
    operator = await world.start()
    await world.apply(samples.model_deployment(world.namespace, "house"))
    path = kinds.MODEL_DEPLOYMENT.path(world.namespace, "house", "status")
    for count in range(10):
        condition = {
            "type": "Audited", "status": "True", "reason": "Audited", "message": f"round {count}",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        body = {
            "apiVersion": kinds.MODEL_DEPLOYMENT.api_version,
            "kind": kinds.MODEL_DEPLOYMENT.kind,
            "status": {"conditions": [condition]},
        }
        await world.api.request(
            "PATCH", path, query={"fieldManager": "auditor"}, body=body,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )  # fmt: skip
        await asyncio.sleep(0.02)
    await world.until_condition(kinds.MODEL_DEPLOYMENT, "house", "Accepted", "True")
    await world.quiet(operator)
    assert (await world.condition(kinds.MODEL_DEPLOYMENT, "house", "Audited"))["message"] == "round 9"
    since = world.plane.audit_position()
    await world.patch(kinds.MODEL_DEPLOYMENT, "house", {"metadata": {"labels": {"x": "y"}}})
    await world.quiet(operator)
    assert world.writes(since) == [], "a foreign condition is no reason to write"


async def test_a_restart_of_the_api_server_loses_nothing(tmp_path: Path) -> None:
    """Killed while 40 resources are half done; what is applied, changed and deleted around it ends right."""
    with ControlPlane(tmp_path / "plane") as plane:
        prepare(plane)
        async with make_world(plane) as world:
            operator = await world.start()
            await world.apply(*(samples.model_deployment(world.namespace, f"m-{n}") for n in range(COUNT)))
            await asyncio.to_thread(plane.stop_apiserver)
            await asyncio.sleep(3)
            assert operator.unhealthy() is None, "an API server that is away is no reason to restart the operator"
            await asyncio.to_thread(plane.start_apiserver)
            await world.apply(*(samples.model_deployment(world.namespace, f"n-{n}") for n in range(COUNT)))
            await _all_accepted(world, 2 * COUNT)
            await world.patch(kinds.MODEL_DEPLOYMENT, "m-0", {"spec": {"replicas": 4}})

            async def scaled() -> bool:
                return (await world.get(kinds.DEPLOYMENT, "m-0") or {})["spec"]["replicas"] == 4

            await world.until("the watches follow again", scaled)
