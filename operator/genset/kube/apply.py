"""Makes the children be what is desired, and nothing more: apply what differs, prune what is no longer wanted.

An object is applied (server-side, field manager `genset`) when its desired-hash annotation tells of another desired
state, or when a desired field has another value in the live object. An object that is not ours, i.e. that has no
controller reference to our resource, is never touched: it becomes a NameConflict problem. Nothing is written when
nothing differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genset import names
from genset.api.modeldeployment import Reason
from genset.kinds import Kind, ObjectKey, key_of, kind_of
from genset.kube.client import ApiError, ApiServer, Object
from genset.kube.diff import desired_hash, differences
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics
from genset.status.observed import Problem

log = logging.getLogger(__name__)

Children = Mapping[ObjectKey, Object]


@dataclass
class ApplyResult:
    """The result is what came of one pass over the children."""

    objects: dict[ObjectKey, Object] = field(default_factory=dict)  # live, ours, as after the pass
    problems: list[Problem] = field(default_factory=list)  # what the API server refused, and foreign objects
    namespace_terminating: bool = False
    deleting: bool = False  # a child that is wanted is still being deleted: come again soon
    written: int = 0  # writes sent


class Applier:
    """The applier writes children of one owner at a time, and holds no state of its own."""

    def __init__(self, api: ApiServer, metrics: Metrics, echoes: Echoes) -> None:
        self._api = api
        self._metrics = metrics
        self._echoes = echoes

    async def reconcile(
        self, owner: Object, desired: Sequence[Mapping[str, Any]], children: Children, *, prune: bool = True
    ) -> ApplyResult:
        """Applies `desired` over `children` (what a LIST by label returned) and deletes the rest.

        Raises ApiError only for what another attempt can heal.
        """
        result = ApplyResult()
        wanted = {key_of(item) for item in desired}
        first = [item for item in desired if kind_of(item).before_pods]
        rest = [item for item in desired if not kind_of(item).before_pods]
        await _all(self._apply_one(owner, item, children, result) for item in first)
        if result.problems or result.namespace_terminating:
            return result  # no pod may mount, or run as, what is not ours or not there
        await _all(self._apply_one(owner, item, children, result) for item in rest)
        if prune and not result.namespace_terminating:
            unwanted = [item for key, item in children.items() if key not in wanted]
            await _all(self._prune_one(owner, item, result) for item in unwanted)
        return result

    async def _apply_one(
        self, owner: Object, desired: Mapping[str, Any], children: Children, result: ApplyResult
    ) -> None:
        key = key_of(desired)
        kind = kind_of(desired)
        metadata = desired["metadata"]
        live = children.get(key) or await self._api.get(kind, metadata["namespace"], metadata["name"])
        if live is not None and not is_owned(live, owner):
            problem = _conflict(kind, metadata, live, owner)
            result.problems.append(problem)
            # No watch tells of every kind's end: not of a Secret's.
            result.deleting |= problem.reason == Reason.PREDECESSOR_LEAVING
            return
        if live is not None and live["metadata"].get("deletionTimestamp"):
            result.deleting = True
            return
        body = with_hash(desired)
        changed = differences(body, live) if live is not None else []
        if live is not None and not changed:
            result.objects[key] = live
            return
        try:
            result.objects[key] = await self._write(kind, body, live)
            result.written += 1
        except ApiError as error:
            self._refused(kind, metadata, error, result)
            if live is not None:
                result.objects[key] = live
            return
        where = f"{kind.kind} {metadata['namespace']}/{metadata['name']}"
        log.info("Applied %s%s", where, f" ({', '.join(changed[:5])})" if changed else "")

    async def _write(self, kind: Kind, body: Object, live: Object | None) -> Object:
        """Writes the object. Creation never forces: an object that came into being since the read wins with a conflict.

        An update is bound to the uid that was read, and takes over every field that genset wants.
        """
        if live is not None:
            body["metadata"]["uid"] = live["metadata"]["uid"]
        stored = await self._api.apply(kind, body, field_manager=names.FIELD_MANAGER, force=live is not None)
        self._echoes.wrote(stored)
        self._metrics.applies.labels(kind=kind.kind, verb="create" if live is None else "update").inc()
        return stored

    def _refused(self, kind: Kind, metadata: Mapping[str, Any], error: ApiError, result: ApplyResult) -> None:
        where = f"{kind.kind} {metadata['namespace']}/{metadata['name']}"
        if error.namespace_terminating or (error.not_found and "namespaces" in error.message):
            result.namespace_terminating = True
        elif error.transient:
            raise error
        elif error.namespace_not_managed:
            result.problems.append(unmanaged(metadata["namespace"]))
        else:
            log.warning("Could not apply %s: %s", where, error.message)
            message = f"The API server refused {kind.kind} {metadata['name']}: {error.message}"
            result.problems.append(Problem(Reason.APPLY_REJECTED, message, ""))

    async def _prune_one(self, owner: Object, live: Object, result: ApplyResult) -> None:
        if not is_owned(live, owner) or live["metadata"].get("deletionTimestamp"):
            return
        kind = kind_of(live)
        try:
            await self._api.delete(kind, live)
        except ApiError as error:
            if not error.namespace_not_managed:
                raise
            result.problems.append(unmanaged(live["metadata"]["namespace"]))
            return
        result.written += 1
        self._metrics.applies.labels(kind=kind.kind, verb="delete").inc()
        log.info("Pruned %s %s/%s", kind.kind, live["metadata"]["namespace"], live["metadata"]["name"])


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


def with_hash(desired: Mapping[str, Any]) -> Object:
    """Returns the desired object with its hash, which a field that is no longer wanted changes.

    Its metadata is a copy.
    """
    metadata = dict(desired["metadata"])
    annotations = {**(metadata.get("annotations") or {}), names.ANNOTATION_DESIRED_HASH: desired_hash(desired)}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def _conflict(kind: Kind, metadata: Mapping[str, Any], live: Mapping[str, Any], owner: Object) -> Problem:
    """Says why an object that is not the owner's keeps a child from being made: for good, or until it is collected."""
    references = live["metadata"].get("ownerReferences") or ()
    controllers = [f"{item.get('kind')} {item.get('name')}" for item in references if item.get("controller")]
    name, own = f"{kind.kind} {metadata['name']}", f"{owner['kind']} {owner['metadata']['name']}"
    if own in controllers:  # of another uid, so its owner is gone: the garbage collector's
        return Problem(
            Reason.PREDECESSOR_LEAVING,
            f"{name} of a deleted {own} is still being removed; a new one is made then",
            "metadata.name",
        )
    whose = f"belongs to {controllers[0]}" if controllers else "was not made by genset"
    return Problem(
        Reason.NAME_CONFLICT,
        f"{name} exists and {whose}; genset leaves it alone: delete or rename it, or give this resource another name",
        "metadata.name",
    )


async def _all(writes: Iterable[Any]) -> None:
    """Runs all to their end, then raises the first failure: no write is cut off by its neighbour's error."""
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
