"""The inbox leads from a watch event to the keys that it concerns.

Decides only who is to be reconciled and how soon; what is to be done is found out by the reconcile. An event may come
twice, late or never (the resync covers that), so nothing here may matter for correctness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from genset import names
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.controllers.references import References
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics

# The event of our own write may arrive before the answer to that write: a short wait tells them apart, and gathers the
# many events of a rollout into one reconcile.
SETTLE_SECONDS = 0.15

_OWNER_LABELS = {
    names.LABEL_MODEL_DEPLOYMENT: names.MODEL_DEPLOYMENT,
    names.LABEL_ROUTE_POLICY: names.ROUTE_POLICY,
}


_State = tuple[int, bool, str | None]  # of a resource: generation, being deleted, the annotation that asks for new pods


#: What policies reckon with of a model: whether it is Ready and why not, whether it should run, where it does and how fast.
_Standing = tuple[str, str, bool, str]


class Inbox:
    """The inbox receives what the watches see."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        references: References,
        echoes: Echoes,
        metrics: Metrics,
        *,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._queue = queue
        self._references = references
        self._echoes = echoes
        self._metrics = metrics
        self._settle_seconds = settle
        self._generations: dict[str, _State] = {}  # by uid
        self._standings: dict[Key, _Standing] = {}  # of ModelDeployments

    def resource(self, kind: str, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Takes the event of a ModelDeployment or RoutePolicy: listed (type None), added, modified or deleted."""
        self._metrics.watch_events.labels(kind=kind).inc()
        metadata = body["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        stands_otherwise = kind == names.MODEL_DEPLOYMENT and self._stands_otherwise(key, event_type, body)
        changed = self._changed(event_type, metadata)
        if changed:
            self._queue.add(key, background=event_type is None)
        else:
            self._settle(key, metadata)
        if kind == names.MODEL_DEPLOYMENT and event_type is not None and (changed or stands_otherwise):
            for dependent in self._references.dependents(key.namespace, key.name):
                self._queue.add(dependent)

    def child(self, kind: str, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Takes the event of something that carries our label: listed, added, modified or deleted."""
        self._metrics.watch_events.labels(kind=kind).inc()
        metadata = body["metadata"]
        for label, owner in _OWNER_LABELS.items():
            name = (metadata.get("labels") or {}).get(label)
            if name:
                self._settle(Key(owner, metadata["namespace"], name), metadata, background=event_type is None)

    def _changed(self, event_type: str | None, metadata: Mapping[str, Any]) -> bool:
        """Returns whether the spec is new, new pods are asked for, or the resource comes or goes; no other metadata counts."""
        uid = str(metadata.get("uid"))
        if event_type == "DELETED":
            self._generations.pop(uid, None)
            return True
        roll = (metadata.get("annotations") or {}).get(names.ANNOTATION_ROLL)
        state = (int(metadata.get("generation") or 0), "deletionTimestamp" in metadata, roll)
        before = self._generations.get(uid)
        self._generations[uid] = state
        return state != before

    def _stands_otherwise(self, key: Key, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Returns whether a model's status says something else of what policies reckon with; our own writes count, too."""
        before = self._standings.pop(key, None)
        if event_type == "DELETED":
            return True
        status = body.get("status") or {}
        ready: Mapping[str, str] = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})
        wanted, places = bool(status.get("desiredReplicas")), str([status.get("capacity"), status.get("lostNodes")])
        standing = self._standings[key] = (ready.get("status", ""), ready.get("reason", ""), wanted, places)
        return standing != before

    def _settle(self, key: Key, metadata: Mapping[str, Any], *, background: bool = False) -> None:
        version = {"uid": metadata.get("uid"), "resourceVersion": metadata.get("resourceVersion")}
        asyncio.get_running_loop().call_later(self._settle_seconds, self._settled, key, version, background)

    def _settled(self, key: Key, version: Mapping[str, Any], background: bool) -> None:
        if not self._echoes.is_own(version):
            self._queue.add(key, background=background)
