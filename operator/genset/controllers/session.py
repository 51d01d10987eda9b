"""A session is what the controllers work with; the steps that they share stand beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genset import kinds, names
from genset.api import modeldeployment, routepolicy
from genset.api.base import Condition
from genset.api.event_reasons import EventReason
from genset.api.modeldeployment import Reason
from genset.controllers.demand import DemandBook
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References
from genset.controllers.servers import ServerBook
from genset.controllers.surroundings import Surroundings
from genset.controllers.upgrades import Upgrades
from genset.desired.context import Settings
from genset.desired.secrets import UserSecret
from genset.kinds import Kind
from genset.kube.apply import Applier, ApplyResult
from genset.kube.client import ApiError, ApiServer, Object
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics
from genset.kube.observe import user_secret
from genset.kube.probe import Prober
from genset.kube.recorder import Recorder
from genset.kube.status import StatusWriter
from genset.router.process.advice import describe
from genset.status.conditions import Event
from genset.status.pod import PodView
from genset.status.problem import Problem
from genset.times import rfc3339

BLOCKED_SECONDS = 60.0  # before a look at what only a person can change and no watch shows, e.g. a foreign object
PATIENCE = 3  # failed attempts in a row after which status tells why
SANDBOX_SECONDS = 10.0  # before a look at a pod whose containers cannot be begun: no watch shows why
DELETING_SECONDS = 3.0  # before a look at a child that is being deleted and wanted again
TOLD_MISTAKES = 5  # of a spec, in a condition
_TYPES: dict[str, type[BaseModel]] = {
    names.MODEL_DEPLOYMENT: modeldeployment.ModelDeployment,
    names.ROUTE_POLICY: routepolicy.RoutePolicy,
}
CONDITION_TYPES: dict[str, tuple[str, ...]] = {
    names.MODEL_DEPLOYMENT: tuple(modeldeployment.ConditionType),
    names.ROUTE_POLICY: tuple(routepolicy.ConditionType),
}


@dataclass
class Session:
    """A session holds what everything that reconciles works with, from the begin of the watches to their end."""

    api: ApiServer
    surroundings: Surroundings
    queue: WorkQueue[Key]
    references: References
    applier: Applier
    status: StatusWriter
    echoes: Echoes
    recorder: Recorder
    prober: Prober
    demand: DemandBook
    servers: ServerBook
    upgrades: Upgrades
    metrics: Metrics
    now: Callable[[], str]
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        """Returns the operator's settings; those of one namespace are its surroundings' to say."""
        return self.surroundings.settings

    def background(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs the work beside the workers until it ends or the session does."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Cancels what runs in the background."""
        for task in list(self._tasks):
            task.cancel()

    async def tell(self, kind: Kind, live: Object, status: BaseModel, events: Iterable[Event]) -> None:
        """Writes a status if it says something else than the live one, and with it the Events of the difference."""
        if await self.status.write(kind, live, status, CONDITION_TYPES[kind.kind]):
            for event_type, reason, message in events:
                self.recorder.record(live, event_type, reason, message)

    def endure(self, key: Key, applied: ApplyResult) -> None:
        """Has a failed write tried again, by raising it; after several attempts the pass goes on, and status tells why."""
        if applied.failed is None:
            return
        if self.queue.failures(key) < PATIENCE:
            raise applied.failed
        applied.problems.append(
            Problem(
                Reason.APPLY_REJECTED,
                f"The API server could not take the children: {applied.failed.message}. It is tried again.",
            )
        )

    async def patch_pod(self, pod: PodView, metadata: Object, verb: str) -> bool:
        """Changes metadata of a running pod. Returns whether it was there to be changed. `verb` is for the metrics."""
        body: Object = {"metadata": {"uid": pod.uid, **metadata}}
        try:
            stored = await self.api.merge_patch(
                kinds.POD, pod.namespace, pod.name, body, field_manager=names.FIELD_MANAGER
            )
        except ApiError as error:
            if error.not_found or error.conflict or error.namespace_not_managed:
                return False  # the pod went away meanwhile; or the children's refusal has told it
            raise
        self.echoes.wrote(stored)
        self.metrics.applies.labels(kind=kinds.POD.kind, verb=verb).inc()
        return True

    def note(self, live: Object, notes: Iterable[str]) -> None:
        """Tells news of children as Events that say nothing of a condition."""
        for note in notes:
            self.recorder.record(live, "Normal", EventReason.FIELD_OVERRULED, note)

    async def refuse(
        self,
        kind: Kind,
        live: Object,
        error: ValidationError,
        status: type[BaseModel],
        events: Iterable[Event] = (),
        **more: Any,
    ) -> None:
        """Tells of a stored resource that today's rules refuse, e.g. from before an upgrade: children stay as they are.

        `status` is the type of its status, and `more` what that says beside generation and conditions, with `events` of its own.
        """
        generation = live["metadata"].get("generation") or 0
        conditions = _invalid_conditions(kind.kind, live, error, self.now())
        new = status(observed_generation=generation, conditions=conditions, **more)
        message = conditions[0].message
        told = any(item.get("message") == message for item in (live.get("status") or {}).get("conditions") or ())
        refusal: list[Event] = [] if told else [("Warning", Reason.INVALID_SPEC, message)]
        await self.tell(kind, live, new, [*refusal, *events])

    async def read_secrets(
        self, key: Key, wanted: Iterable[str]
    ) -> tuple[dict[str, UserSecret], dict[str, str | None]]:
        """Returns the Secrets that exist, and the version of each that was asked for."""
        ordered = sorted(set(wanted))
        found = await asyncio.gather(*(self.api.get(kinds.SECRET, key.namespace, name) for name in ordered))
        data = {name: user_secret(secret) for name, secret in zip(ordered, found, strict=True) if secret is not None}
        return data, {name: version_of(secret) for name, secret in zip(ordered, found, strict=True)}


def version_of(live: Object | None) -> str | None:
    """Returns the resourceVersion of an object; None if there is none."""
    return str(live["metadata"]["resourceVersion"]) if live is not None else None


def now() -> str:
    """Returns this moment, as Kubernetes writes it."""
    return rfc3339(time.time())


Resource = TypeVar("Resource", bound=BaseModel)


def parse(model: type[Resource], live: Object) -> Resource:
    """Reads a resource from the API server. A status that it cannot read, e.g. of a later version, is none."""
    try:
        return model.model_validate(live)
    except ValidationError as error:
        if all(item["loc"][:1] == ("status",) for item in error.errors()):
            return model.model_validate({key: value for key, value in live.items() if key != "status"})
        raise


def _invalid_conditions(kind: str, live: Object, error: ValidationError, now: str) -> list[Condition]:
    """Makes Accepted and Ready False because today's rules refuse the stored spec."""
    message = (
        f"The spec is refused: {describe(error, _TYPES[kind], live, most=TOLD_MISTAKES)}; correct it and apply it again"
    )
    before = {item.get("type"): item for item in (live.get("status") or {}).get("conditions") or ()}
    return [
        Condition(
            type=condition,
            status="True" if condition == "Stalled" else "False",
            reason=Reason.INVALID_SPEC,
            message=message,
            observed_generation=live["metadata"].get("generation"),
            last_transition_time=_since(before.get(condition), "True" if condition == "Stalled" else "False", now),
        )
        for condition in ("Accepted", "Ready", "Stalled")
    ]


def _since(before: dict[str, str] | None, status: str, now: str) -> str:
    return before["lastTransitionTime"] if before is not None and before.get("status") == status else now


def soonest(*delays: float | None) -> float | None:
    """Returns the least of the delays that are given."""
    given = [delay for delay in delays if delay is not None]
    return min(given) if given else None
