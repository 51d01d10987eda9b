"""Makes the children be what is desired, and nothing more: apply what differs, prune what is no longer wanted.

An object is applied (server-side, field manager `genset`) when its desired-hash annotation tells of another desired
state, or when a desired field has another value in the live object. An object that is not ours, i.e. that has no
controller reference to our resource, is never touched: it becomes a NameConflict problem. One that a deleted resource of
the name has left behind (`--cascade=orphan`) has no owner and our marks: it is adopted. Nothing is written when nothing
differs, nor what would end as it did the last time (`genset.kube.settled`). What is refused, or fails, holds back nothing
but itself, and pods that would miss it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genset import names
from genset.api.modeldeployment import Reason
from genset.kinds import PVC, Kind, ObjectKey, key_of, kind_of
from genset.kube.client import ApiError, ApiServer, Object
from genset.kube.diff import desired_hash, differences
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics
from genset.kube.problems import conflict, contest, is_left_behind, overruled, refusal, shared
from genset.kube.settled import Settled
from genset.status.problem import Problem

log = logging.getLogger(__name__)

Children = Mapping[ObjectKey, Object]


@dataclass
class ApplyResult:
    """The result is what came of one pass over the children."""

    objects: dict[ObjectKey, Object] = field(default_factory=dict)  # live, ours, as after the pass
    problems: list[Problem] = field(default_factory=list)  # what the API server refused, and foreign objects
    notes: list[str] = field(default_factory=list)  # news for a person that keep nothing from working
    behind: set[ObjectKey] = field(default_factory=set)  # children that are not as desired
    failed: ApiError | None = None  # the first failure that another attempt can heal
    namespace_terminating: bool = False
    deleting: bool = False  # a child that is wanted is still being deleted: come again soon
    written: int = 0  # writes sent


def unchanged(owner: Mapping[str, Any], children: Children) -> ApplyResult:
    """Returns what there is before anything is written: the children that are the owner's."""
    ours = {key: item for key, item in children.items() if is_owned(item, owner) or is_retained(item)}
    return ApplyResult(objects=ours)


class Applier:
    """The applier writes children of one owner at a time. It remembers only what came of its writes.

    `identity` names this operator to others: NAMESPACE/NAME of its Lease.
    """

    def __init__(
        self,
        api: ApiServer,
        metrics: Metrics,
        echoes: Echoes,
        *,
        identity: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._metrics = metrics
        self._echoes = echoes
        self.identity = identity
        self._settled = Settled(clock)

    async def reconcile(
        self, owner: Object, desired: Sequence[Mapping[str, Any]], children: Children, *, prune: bool = True
    ) -> ApplyResult:
        """Applies `desired` over `children` (what a LIST by label returned) and deletes the rest."""
        result = unchanged(owner, children)
        first = [item for item in desired if kind_of(item).before_pods]
        rest = [item for item in desired if not kind_of(item).before_pods]
        await _all(self._apply_one(owner, item, children, result) for item in first)
        if result.namespace_terminating:
            return result
        if any(key_of(item) not in result.objects for item in first):
            # No pod may mount, or run as, what is not ours or not there; but those that run may go.
            rest = [item for item in rest if not kind_of(item).makes_pods or item["spec"].get("replicas") == 0]
            prune = False
        await _all(self._apply_one(owner, item, children, result) for item in rest)
        if any(kind_of(item).makes_pods and key_of(item) in result.behind for item in rest):
            prune = False  # its pods, as they are, may need what is no longer wanted
        if prune and not result.namespace_terminating:
            wanted = {key_of(item) for item in desired}
            mounted = set(_claims(desired))  # a volume that is now named as one that is there already stays
            unwanted = [
                item
                for key, item in children.items()
                if key not in wanted and not (kind_of(item) is PVC and item["metadata"]["name"] in mounted)
            ]
            await _all(self._prune_one(owner, item, result) for item in unwanted)
        return result

    async def _apply_one(
        self, owner: Object, desired: Mapping[str, Any], children: Children, result: ApplyResult
    ) -> None:
        key, kind, metadata = key_of(desired), kind_of(desired), desired["metadata"]
        live: Object | None = children.get(key)
        try:
            if live is None:
                live = await self._api.get(kind, metadata["namespace"], metadata["name"])
            if live is not None and not self._may_take(owner, desired, live, result):
                result.behind.add(key)
                return
            stored: Object | None = await self._made(owner, kind, desired, live, result)
        except ApiError as error:
            result.behind.add(key)
            stored = await self._refused(owner, kind, desired, live, error, result)
        if stored is not None:
            result.objects[key] = stored

    def _may_take(self, owner: Object, desired: Mapping[str, Any], live: Object, result: ApplyResult) -> bool:
        """Returns whether an object of the wanted name is ours to write, and stays."""
        if not is_owned(live, owner):
            if is_left_behind(live, desired):
                if desired["metadata"].get("ownerReferences"):
                    log.info("Adopted %s, which a deleted resource had left behind", _where(desired))
                return True
            problem = conflict(desired, live, owner)
            result.problems.append(problem)
            # No watch tells of every kind's end: not of a Secret's.
            result.deleting |= problem.reason == Reason.PREDECESSOR_LEAVING
            return False
        if live["metadata"].get("deletionTimestamp"):
            result.objects.pop(key_of(desired), None)
            result.deleting = True
            return False
        return True

    async def _made(
        self, owner: Object, kind: Kind, desired: Mapping[str, Any], live: Object | None, result: ApplyResult
    ) -> Object:
        """Returns the object as it is after the pass: written, if that changes anything."""
        body = with_hash(desired)
        changed = differences(body, live) if live is not None else {}
        if live is not None:
            self._look_for_others(desired, live, bool(changed), result)
            if not changed or self._settled.rests(body, live, changed):
                return live
            if self._settled.contested(body, live):
                result.behind.add(key_of(desired))
                if not self._settled.shared_with(live):
                    result.problems.append(contest(desired, live, list(changed)))
                return live
        stored = await self._write(kind, body, live, result)
        remaining = differences(body, stored)
        if self._settled.wrote(body, stored, remaining):
            result.notes.append(overruled(desired, owner, list(remaining)))
        log.info("Applied %s%s", _where(desired), f" ({', '.join(list(changed)[:5])})" if changed else "")
        return stored

    def _look_for_others(self, desired: Mapping[str, Any], live: Object, changed: bool, result: ApplyResult) -> None:
        """Tells of another operator that writes the object in turn with this one, whichever of them gives way."""
        writer = (live["metadata"].get("annotations") or {}).get(names.ANNOTATION_OPERATOR)
        if changed and writer and writer != self.identity:
            self._settled.saw(live, writer)
        if other := self._settled.shared_with(live):
            result.problems.append(shared(desired, self.identity, other))

    async def _write(self, kind: Kind, body: Object, live: Object | None, result: ApplyResult) -> Object:
        """Writes the object. Creation never forces: an object that came into being since the read wins with a conflict.

        An update is bound to the uid that was read, and takes over every field that genset wants.
        """
        metadata = {**body["metadata"]}
        if live is not None:
            metadata["uid"] = live["metadata"]["uid"]
        if self.identity:
            metadata["annotations"] = {**metadata["annotations"], names.ANNOTATION_OPERATOR: self.identity}
        sent = {**body, "metadata": metadata}
        stored = await self._api.apply(kind, sent, field_manager=names.FIELD_MANAGER, force=live is not None)
        self._echoes.wrote(stored)
        self._metrics.applies.labels(kind=kind.kind, verb="create" if live is None else "update").inc()
        result.written += 1
        return stored

    async def _refused(
        self,
        owner: Object,
        kind: Kind,
        desired: Mapping[str, Any],
        live: Object | None,
        error: ApiError,
        result: ApplyResult,
    ) -> Object | None:
        """Notes why a child is not as desired. Returns it as it is; pods of a refused template can still be scaled."""
        ours = live is not None and (is_owned(live, owner) or is_left_behind(live, desired))
        if error.namespace_terminating or (error.not_found and "namespaces" in error.message):
            result.namespace_terminating = True
        elif error.transient:
            result.failed = result.failed or error
        elif error.namespace_not_managed:
            result.problems.append(unmanaged(desired["metadata"]["namespace"]))
        else:
            log.warning("Could not apply %s: %s", _where(desired), error.message)
            result.problems.append(refusal(desired, owner, error))
            if live is not None and ours and kind.makes_pods:
                return await self.scale(kind, live, desired["spec"]["replicas"], result)
        return live if ours else None

    async def scale(self, kind: Kind, live: Object, wanted: int, result: ApplyResult) -> Object:
        """Gives an object its wanted number of pods, and changes nothing else of it. Returns it as it is then."""
        metadata = live["metadata"]
        if live["spec"].get("replicas") == wanted or metadata.get("deletionTimestamp"):
            return live
        body: Object = {"metadata": {"uid": metadata["uid"]}, "spec": {"replicas": wanted}}
        try:
            stored = await self._api.merge_patch(
                kind, metadata["namespace"], metadata["name"], body, field_manager=names.FIELD_MANAGER
            )
        except ApiError as error:
            result.failed = result.failed or (error if error.transient else None)
            return live
        self._echoes.wrote(stored)
        self._metrics.applies.labels(kind=kind.kind, verb="update").inc()
        result.written += 1
        return stored

    async def _prune_one(self, owner: Object, live: Object, result: ApplyResult) -> None:
        if not is_owned(live, owner):
            return
        result.objects.pop(key_of(live), None)
        if live["metadata"].get("deletionTimestamp"):
            return
        kind = kind_of(live)
        try:
            await self._api.delete(kind, live)
        except ApiError as error:
            if error.namespace_not_managed:
                result.problems.append(unmanaged(live["metadata"]["namespace"]))
            else:
                result.failed = result.failed or error
            return
        result.written += 1
        self._metrics.applies.labels(kind=kind.kind, verb="delete").inc()
        log.info("Pruned %s", _where(live))


def unmanaged(namespace: str) -> Problem:
    """Says that an administrator has to let the operator into a namespace."""
    return Problem(
        Reason.NAMESPACE_NOT_MANAGED,
        f"genset may not write in namespace {namespace}: its administrator lets it in by kubectl label namespace "
        f"{namespace} {names.LABEL_MANAGED_NAMESPACE}={names.MANAGED_NAMESPACE}",
    )


def is_owned(live: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Returns whether the object's controller is our resource, by uid: a namesake of a deleted resource is not."""
    references = live["metadata"].get("ownerReferences") or ()
    return any(item.get("controller") and item.get("uid") == owner["metadata"]["uid"] for item in references)


def is_retained(live: Mapping[str, Any]) -> bool:
    """Returns whether a child is a volume that outlives its resource: it was found by the labels, and nobody owns it."""
    metadata = live["metadata"]
    marked = names.ANNOTATION_DESIRED_HASH in (metadata.get("annotations") or {})
    return kind_of(live) is PVC and marked and not metadata.get("ownerReferences")


def _claims(desired: Any) -> Iterator[str]:
    """Yields the names of the volume claims that objects mount."""
    if isinstance(desired, Mapping):
        claim = desired.get("persistentVolumeClaim")
        if isinstance(claim, Mapping):
            yield str(claim.get("claimName"))
    if isinstance(desired, Mapping | list):
        for item in desired.values() if isinstance(desired, Mapping) else desired:
            yield from _claims(item)


def with_hash(desired: Mapping[str, Any]) -> Object:
    """Returns the desired object with its hash, which a field that is no longer wanted changes.

    Its metadata is a copy.
    """
    metadata = dict(desired["metadata"])
    annotations = {**(metadata.get("annotations") or {}), names.ANNOTATION_DESIRED_HASH: desired_hash(desired)}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def _where(item: Mapping[str, Any]) -> str:
    return f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}"


async def _all(passes: Iterable[Any]) -> None:
    """Runs all to their end, then raises the first failure: no write is cut off by its neighbour's error."""
    outcomes = await asyncio.gather(*passes, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
