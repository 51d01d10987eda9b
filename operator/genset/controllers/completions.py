"""Completions prove that an engine serves: real ones are asked when the pods are new, and remembered afterwards.

Ready=True means that every replica of the current pod template has answered a completion. Results live in memory, by
resource and template: the same pods are not asked again, new pods are. A completion may take a minute on a busy CPU,
so it runs beside the workers; a reconcile waits for it a moment only. Only pods of ours are asked: a server elsewhere is
at an address that a user has chosen, so routers of the user's namespace ask it (`controllers.servers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from genset import names
from genset.api.modeldeployment import ConditionType, ModelDeployment, Reason
from genset.controllers.keys import Key
from genset.controllers.session import Session
from genset.engines import CompletionRequest, engine_of, managed_engine_of
from genset.kube.client import Object
from genset.kube.probe import ProbeAnswer, host
from genset.status.observed import CompletionProbe, template_key
from genset.status.pod import PodView

WAIT_SECONDS = 3.0  # that a reconcile waits for a completion in its own time
FIRST_RETRY = 2.0  # seconds after the first failure; doubles up to ...
LONGEST_RETRY = 60.0

_Target = tuple[str, str]  # identity of what answers (pod uid and restarts), URL prefix


@dataclass
class _Proofs:
    """These are the proofs that completions have given of one resource's current template."""

    uid: str
    template: str
    proven: frozenset[str] = frozenset()  # identities that have answered
    paces: dict[str, float] = field(default_factory=dict)  # tokens a second, by identity
    probe: CompletionProbe | None = None  # last outcome
    failures: int = 0
    due: float = 0.0  # loop time before which nothing is asked
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Completions:
    """Completions asks replicas for completions, and remembers which of them have answered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[Key, _Proofs] = {}

    def forget(self, key: Key) -> None:
        """Forgets a resource that is gone."""
        known = self._known.pop(key, None)
        if known is not None and known.task is not None:
            known.task.cancel()

    async def check(
        self,
        key: Key,
        resource: ModelDeployment,
        deployment: Object | None,
        pods: Sequence[PodView],
    ) -> tuple[CompletionProbe | None, float | None]:
        """Returns the last outcome for the current template (None: none yet), and when to look again (None: no need)."""
        template = template_key(resource, deployment)
        if not template or managed_engine_of(resource) is None:
            self.forget(key)
            return None, None
        known = self._of(key, resource, template)
        targets = _replicas(resource, deployment, pods)
        if targets is None:
            return known.probe, None  # still rolling out: the pods' next event comes by itself
        unproven = [target for target in targets if target[0] not in known.proven]
        if unproven and known.task is None and self._now() >= known.due:
            await self._ask(key, known, resource, unproven)
        if known.task is not None:
            return known.probe or self._trusted(resource, template), None  # its end enqueues the key
        if known.failures:
            return known.probe, max(0.1, known.due - self._now())
        return known.probe, None

    async def _ask(
        self,
        key: Key,
        known: _Proofs,
        resource: ModelDeployment,
        targets: Sequence[_Target],
    ) -> None:
        """Starts the completions and waits a moment for them."""
        task = self._session.background(self._prove(key, known, resource, targets), name=f"completion of {key}")
        known.task = task
        done, _ = await asyncio.wait({task}, timeout=WAIT_SECONDS)
        for ended in done:
            ended.result()
        if not done:
            task.add_done_callback(lambda _: self._session.queue.add(key))

    async def _prove(
        self,
        key: Key,
        known: _Proofs,
        resource: ModelDeployment,
        targets: Sequence[_Target],
    ) -> None:
        try:
            failures = await asyncio.gather(*(self._one(known, resource, *target) for target in targets))
            proven = {identity for (identity, _), failure in zip(targets, failures, strict=True) if failure is None}
            known.proven |= proven
            failure = next((failure for failure in failures if failure is not None), None)
            known.probe = CompletionProbe(failure is None, failure or "", known.template)
            if failure is None:
                known.failures, known.due = 0, self._now()  # new pods are asked at once
            else:
                known.failures += 1
                known.due = self._now() + min(FIRST_RETRY * 2 ** (known.failures - 1), LONGEST_RETRY)
        finally:
            known.task = None

    async def _one(self, known: _Proofs, resource: ModelDeployment, identity: str, prefix: str) -> str | None:
        """Returns why one server did not complete; None if it did. Notes how fast it wrote."""
        engine = engine_of(resource)
        request = _at(engine.completion(resource), prefix)
        answer: ProbeAnswer = await self._session.prober.completion(request)
        if answer.status == 0:
            return f"POST {request.url}: {answer.failure}"
        failure = engine.completion_failure(answer.status, answer.body)
        if failure is None and (pace := engine.completion_pace(answer.body, answer.seconds)) is not None:
            known.paces[identity] = pace
        return failure

    def paces(self, key: Key, pods: Sequence[PodView]) -> dict[str, float]:
        """Returns how fast pods wrote when they proved themselves, in tokens a second, by name of the pod."""
        known = self._known.get(key)
        found = {pod.name: known.paces.get(_identity(pod)) for pod in pods} if known is not None else {}
        return {name: pace for name, pace in found.items() if pace is not None}

    def _of(self, key: Key, resource: ModelDeployment, template: str) -> _Proofs:
        known = self._known.get(key)
        if known is None or known.uid != resource.metadata.uid or known.template != template:
            self.forget(key)
            known = self._known[key] = _Proofs(resource.metadata.uid, template)
        return known

    @staticmethod
    def _trusted(resource: ModelDeployment, template: str) -> CompletionProbe | None:
        """Believes a Ready that the last operator wrote, while the first answer to a new one is awaited."""
        status = resource.status
        if status is None or status.observed_generation != resource.metadata.generation:
            return None
        ready = any(
            item.type == ConditionType.READY and item.status == "True" and item.reason == Reason.READY
            for item in status.conditions
        )
        return CompletionProbe(True, "", template) if ready else None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _replicas(resource: ModelDeployment, deployment: Object | None, pods: Sequence[PodView]) -> list[_Target] | None:
    """Returns the replicas to ask; None while they are not all there, or there are to be none."""
    if managed_engine_of(resource) is None or deployment is None:
        return None
    wanted = int((deployment.get("spec") or {}).get("replicas") or 0)
    status = deployment.get("status") or {}
    current = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    counts = [int(status.get(field) or 0) for field in ("updatedReplicas", "availableReplicas")]
    ready = [pod for pod in pods if pod.ready and pod.address]
    if not wanted or not current or any(count < wanted for count in counts) or len(ready) < wanted:
        return None
    return [(_identity(pod), f"http://{host(pod.address)}:{names.ENGINE_PORT}") for pod in ready]


def _identity(pod: PodView) -> str:
    """Names a pod and the starts of its engine: one whose engine was started again must prove itself again."""
    engine = pod.container(names.ENGINE_CONTAINER)
    return f"{pod.uid}/{engine.restarts if engine is not None else 0}"


def _at(request: CompletionRequest, prefix: str) -> CompletionRequest:
    """Returns the request sent to one pod instead of the Service."""
    base, url = urlsplit(prefix), urlsplit(request.url)
    return replace(request, url=urlunsplit((base.scheme, base.netloc, url.path, url.query, "")))
