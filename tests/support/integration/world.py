"""A world is one namespace of a real API server, with operators in the test's process, and waits for what should be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from genset import kinds
from genset.controllers.demand import SETTLE_SECONDS
from genset.desired.context import Settings
from genset.kinds import Kind, kind_of
from genset.kube.client import ApiError, ApiServer, load_configuration
from genset.kube.metrics import Metrics
from genset.runtime import Operator, Options
from testbed.cluster.controlplane import ControlPlane
from testbed.resources import namespace as managed
from tests.support.integration import rbac

Object = dict[str, Any]
OPERATOR_AGENT = "genset-operator"  # user agent of the operator's own requests
TEST_AGENT = "test-client"
SETTINGS = Settings(
    image="registry.invalid/genset:test",
    engine_images={"llama.cpp": {"cpu": "registry.invalid/llama:test"}},
    operator_namespace="genset-system",
)


def prepare(plane: ControlPlane) -> None:
    """Installs CRDs, the operator's namespace, its user and its rights."""
    root = Path(__file__).parents[3]
    plane.kubectl("apply", "--server-side", "-f", str(root / "crds"))
    plane.kubectl("create", "namespace", "genset-system")
    items = {"apiVersion": "v1", "kind": "List", "items": rbac.objects("genset-system")}
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(items))
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(rbac.admission(root / "charts" / "genset")))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def operator_kubeconfig(plane: ControlPlane) -> Path:
    """Returns credentials of the operator's own user, with the rights of `rbac`."""
    return plane.client_config("genset-operator", rbac.USER)


@dataclass
class World:
    """A world is one namespace of the control plane, with a client that waits for what should become true."""

    plane: ControlPlane
    namespace: str
    api: ApiServer
    operators: list[tuple[Operator, asyncio.Event, asyncio.Task[None]]] = field(default_factory=list)

    # -- what a user does ---------------------------------------------------------------------------------------------

    async def apply(self, *items: Object) -> list[Object]:
        """Does what `kubectl apply --server-side` by a user does."""
        slots = asyncio.Semaphore(20)

        async def one(item: Object) -> Object:
            async with slots:
                kind = kind_of(item)
                return await self.api.apply(kind, item, field_manager="user", force=True)

        return list(await asyncio.gather(*(one(item) for item in items)))

    async def apply_others(self, *items: Object) -> None:
        """Applies objects of kinds that the operator does not know."""
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        await asyncio.to_thread(self.plane.kubectl, "apply", "--server-side", "-f", "-", stdin=body)

    async def get(self, kind: Kind, name: str) -> Object | None:
        return await self.api.get(kind, self.namespace, name)

    async def list(self, kind: Kind) -> list[Object]:
        return await self.api.list(kind, self.namespace)

    async def patch(self, kind: Kind, name: str, body: Object) -> Object:
        return await self.api.merge_patch(kind, self.namespace, name, body, field_manager="user")

    async def delete(self, kind: Kind, name: str) -> None:
        live = await self.get(kind, name)
        if live is not None:
            await self.api.request("DELETE", kind.path(self.namespace, name))

    # -- what a user sees ---------------------------------------------------------------------------------------------

    async def condition(self, kind: Kind, name: str, condition_type: str) -> Object:
        """Returns a condition of a resource; {} while it has none."""
        live = await self.get(kind, name) or {}
        conditions = (live.get("status") or {}).get("conditions") or ()
        return next((item for item in conditions if item["type"] == condition_type), {})

    async def until(
        self, what: str, condition: Callable[[], Awaitable[Any]], seconds: float = 20.0, pause: float = 0.05
    ) -> Any:
        """Returns the first true result. Raises AssertionError that says what did not come true, with the last result."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        last: Any = None
        while loop.time() < deadline:
            with contextlib.suppress(ApiError):
                last = await condition()
                if last:
                    return last
            self._check_operators()
            await asyncio.sleep(pause)
        raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {last!r}")

    async def until_condition(
        self, kind: Kind, name: str, condition_type: str, status: str, reason: str | None = None, seconds: float = 20.0
    ) -> Object:
        """Waits for a condition; on failure the message shows the whole status."""
        seen: Object = {}

        async def reached() -> Object | None:
            live = await self.get(kind, name) or {}
            seen.clear()
            seen.update(live.get("status") or {})
            for item in seen.get("conditions") or ():
                if item["type"] == condition_type and item["status"] == status and reason in (None, item["reason"]):
                    return dict(item)
            return None

        try:
            found: Object = await self.until(f"{condition_type}={status}", reached, seconds)
        except AssertionError as error:
            wanted = f"{condition_type}={status} ({reason or 'any reason'})"
            raise AssertionError(
                f"{kind.kind} {name} never had {wanted}; its status: {json.dumps(seen, indent=1)}"
            ) from error
        return found

    async def quiet(self, operator: Operator, seconds: float = 20.0) -> None:
        """Waits until the operator has had nothing to do for half a second on end."""
        calm = 0

        async def idle() -> bool:
            nonlocal calm
            queue = operator.queue
            calm = calm + 1 if queue is not None and queue.idle else 0
            return calm >= 10

        await self.until("the operator's queue is idle", idle, seconds)

    def writes(self, since: int) -> list[str]:
        """Lists what the operator wrote in this namespace since a position of the audit log, one line each."""
        return [
            f"{event['verb']} {event['requestURI'].split('?')[0]} -> {event['responseStatus']['code']}"
            for event in self.plane.writes(since, OPERATOR_AGENT)
            if event["objectRef"].get("namespace") == self.namespace
        ]

    # -- the operator -------------------------------------------------------------------------------------------------

    async def start(self, *, demand_settle: float = SETTLE_SECONDS, **options: Any) -> Operator:
        """Starts an operator in this process, for this namespace, with its own user's rights."""
        given: Options = replace(
            Options(
                settings=SETTINGS,
                namespaces=(self.namespace,),
                kubeconfig=operator_kubeconfig(self.plane),
                leader_election=False,
                resync_seconds=3600.0,
                secrets_seconds=0.3,
                outages_seconds=0.3,
            ),
            **options,
        )
        operator, stop = Operator(given, rng=random.Random(1), demand_settle=demand_settle), asyncio.Event()
        task = asyncio.create_task(operator.run(stop), name=f"operator of {self.namespace}")
        self.operators.append((operator, stop, task))

        async def ready() -> bool:
            return operator.unready() is None

        await self.until("the operator is ready", ready)
        return operator

    async def stop(self, operator: Operator, seconds: float = 10.0) -> None:
        """Stops one operator as SIGTERM does."""
        for known, stop, task in self.operators:
            if known is operator:
                stop.set()
                await asyncio.wait_for(task, seconds)
        self.operators = [entry for entry in self.operators if entry[0] is not operator]

    def _check_operators(self) -> None:
        for _, stop, task in self.operators:
            if task.done() and not stop.is_set():
                task.result()
                raise AssertionError("the operator ended by itself")


@contextlib.asynccontextmanager
async def make_world(plane: ControlPlane) -> AsyncIterator[World]:
    configuration = await load_configuration(plane.kubeconfig, None)
    api = ApiServer(configuration, Metrics(), user_agent=TEST_AGENT)
    namespace = f"t-{uuid.uuid4().hex[:10]}"
    await api.request(
        "POST",
        "/api/v1/namespaces",
        body=managed(namespace),
    )
    world = World(plane, namespace, api)
    try:
        yield world
    finally:
        for operator, _, _ in list(world.operators):
            await world.stop(operator)
        for kind in (
            kinds.MODEL_DEPLOYMENT,
            kinds.ROUTE_POLICY,
        ):  # a later test's cluster-wide operator would serve them
            await api.request("DELETE", kind.path(namespace))
        await api.close()
