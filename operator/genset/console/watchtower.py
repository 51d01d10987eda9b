"""The watchtower hears of everything that pages show: it follows resources, asks routers, and keeps what they told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from genset import kinds, names
from genset.console import heard as hearing
from genset.console.following import Followed, Key, namespaces
from genset.console.heard import Heard, HeardModel, HeardPolicy, HeardRouter, SourceHealth
from genset.console.history import PolicyTrack
from genset.console.ledger_asked import LedgerAsked
from genset.console.memory_used import MemoryUsed
from genset.console.numbers import RouterNumbers
from genset.console.outage_log import OutageLog
from genset.console.router_polls import RouterPolls
from genset.console.routes import tiers_of
from genset.kube.client import ApiServer
from genset.off_limits import OffLimits

log = logging.getLogger(__name__)

LOOKED_SECONDS: Final = 20.0  # that a policy counts as looked at
ROUTERS: Final = f"{names.LABEL_ROUTE_POLICY},{names.LABEL_COMPONENT}={names.COMPONENT_ROUTER}"


class Watchtower:
    """A watchtower looks at some namespaces of a cluster, or at all. `version` grows with everything that is new."""

    def __init__(
        self,
        api: ApiServer,
        ledger: LedgerAsked,
        given: Sequence[str] = (),
        off_limits: OffLimits | None = None,
        admin_port: int = names.ROUTER_ADMIN_PORT,
    ) -> None:
        self.ledger = ledger
        self.version = 0
        self._models: dict[Key, HeardModel] = {}
        self._policies: dict[Key, HeardPolicy] = {}
        self._tracks: dict[str, PolicyTrack] = {}
        self._outages = OutageLog()
        self._looked: dict[str, float] = {}
        self._new = asyncio.Event()
        self._used = MemoryUsed(api, given)
        self._polls = RouterPolls(self._told, self._looked_at, off_limits or OffLimits(), admin_port)
        self._followed = [
            Followed(api, kind, where, changed, selector)
            for where in namespaces(given)
            for kind, changed, selector in (
                (kinds.MODEL_DEPLOYMENT, self._model, ""),
                (kinds.ROUTE_POLICY, self._policy, ""),
                (kinds.ENDPOINT_SLICE, self._polls.changed, ROUTERS),
            )
        ]

    async def look_forever(self) -> None:
        """Looks until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._followed:
                tasks.create_task(one.follow())
            tasks.create_task(self._polls.ask_forever())
            tasks.create_task(self._used.ask_forever())
            tasks.create_task(self._forget_forever())

    def heard(self) -> Heard:
        """Returns everything as it is known now."""
        return Heard(
            time.time(),
            list(self._models.values()),
            list(self._policies.values()),
            self._polls.routers(),
            self._tracks,
            self._outages.seen(),
            [*(one.health for one in self._followed), *self._ledger()],
            self._used.used,
        )

    @property
    def unready(self) -> str:
        """Says why nothing is known yet; "" once there is something to show."""
        return next((f"{one.health.name}: {one.health.problem}" for one in self._followed if not one.health.at), "")

    def knows(self, namespace: str, policy: str) -> bool:
        return (namespace, policy) in self._policies

    def look(self, policy: str) -> None:
        """Says that somebody looks at a policy, so that its routers are asked often."""
        self._looked[policy] = time.monotonic()

    async def news(self, since: int, seconds: float) -> int:
        """Waits for something new, or so long. Returns the version then."""
        if self.version == since:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new.wait(), seconds)
        return self.version

    def _ledger(self) -> list[SourceHealth]:
        return [SourceHealth("The ledger", self.ledger.at, self.ledger.problem)] if self.ledger.url else []

    def _model(self, key: Key, item: Mapping[str, Any] | None) -> None:
        if item is None:
            self._models.pop(key, None)
        else:
            self._models[key] = hearing.model(item)
        self._is_new()

    def _policy(self, key: Key, item: Mapping[str, Any] | None) -> None:
        if item is None:
            self._policies.pop(key, None)
            self._tracks.pop("/".join(key), None)
        else:
            self._policies[key] = hearing.policy(item)
        self._outages.heard(*key, (item or {}).get("status") or {}, time.time())
        self._is_new()

    def _told(self, router: HeardRouter, counted: RouterNumbers | None) -> None:
        """Hears an answer of a router. Numbers of policies that are not known are not kept."""
        policy = self._policies.get((router.namespace, router.policy))
        if counted is not None and policy is not None:
            track = self._tracks.setdefault(policy.key, PolicyTrack())
            track.heard(router.pod, counted, tiers_of(policy), time.time())
        self._is_new()

    def _looked_at(self, policy: str) -> bool:
        return time.monotonic() - self._looked.get(policy, float("-inf")) < LOOKED_SECONDS

    async def _forget_forever(self) -> None:
        """Forgets routers that are gone, and who has looked at what."""
        while True:
            await asyncio.sleep(30)
            there = {f"{one.namespace}/{one.policy}/{one.pod}" for one in self._polls.routers()}
            for policy, track in self._tracks.items():
                track.forget([pod for pod in track.routers if f"{policy}/{pod}" not in there])
            self._looked = {policy: at for policy, at in self._looked.items() if self._looked_at(policy)}

    def _is_new(self) -> None:
        self.version += 1
        self._new.set()  # wakes those who wait for this one; others wait for the next
        self._new = asyncio.Event()
