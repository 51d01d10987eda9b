"""Why a child is not as it is desired, in words for whoever reads the resource's conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genset import names
from genset.api.modeldeployment import Reason
from genset.desired import origin
from genset.kinds import LEADER_WORKER_SET, kind_of
from genset.kube.client import ApiError
from genset.status.problem import Problem

_MOST_FIELDS = 3  # named in a message
_REMEDIES = {
    "PersistentVolumeClaim": ". A volume grows only where its storage class lets it, and never shrinks: take back the "
    "change of spec.cache, or remove cache first and add it again, which makes a new volume.",
}
_MARKS = (names.LABEL_MANAGED_BY, names.LABEL_MODEL_DEPLOYMENT, names.LABEL_ROUTE_POLICY)

Json = Mapping[str, Any]


def refusal(desired: Json, owner: Json, error: ApiError) -> Problem:
    """Returns the problem that the API server has refused a child for good."""
    kind, name = str(desired["kind"]), desired["metadata"]["name"]
    if error.not_found and kind_of(desired) is LEADER_WORKER_SET:
        message = (
            "spec.parallelism.nodes needs LeaderWorkerSets, which this cluster does not have: have their controller installed "
            "(sigs.k8s.io/lws), or let one node hold the model"
        )
        return Problem(Reason.LEADER_WORKER_SET_MISSING, message, "spec.parallelism.nodes")
    if error.misfit and (found := origin.misfits(owner["kind"], kind, error.message)):
        fields = "; ".join(f"{field}: {why}" for field, why in found[:_MOST_FIELDS])
        message = f"The API server's schema of {kind} does not take it: {fields}. Correct or remove it."
        return Problem(Reason.INVALID_SPEC, message, found[0][0])
    words = origin.in_words_of(owner["kind"], desired, error.message)
    remedy = _REMEDIES.get(kind, "")
    return Problem(Reason.APPLY_REJECTED, f"The API server refused {kind} {name}: {words}{remedy}")


def conflict(desired: Json, live: Json, owner: Json) -> Problem:
    """Says why an object that is not the owner's keeps a child from being made: for good, or until it is collected."""
    references = live["metadata"].get("ownerReferences") or ()
    controllers = [f"{item.get('kind')} {item.get('name')}" for item in references if item.get("controller")]
    name, own = f"{desired['kind']} {desired['metadata']['name']}", f"{owner['kind']} {owner['metadata']['name']}"
    if own in controllers:  # of another uid, so its owner is gone: the garbage collector's
        return Problem(
            Reason.PREDECESSOR_LEAVING,
            f"{name} of a deleted {own} is still being removed; a new one is made then",
            "metadata.name",
        )
    whose = f"belongs to {controllers[0]}" if controllers else "was not made by genset"
    return Problem(
        Reason.NAME_CONFLICT,
        f"{name} exists and {whose}; genset leaves it alone. Delete or rename it, or give this resource another name.",
        "metadata.name",
    )


def is_left_behind(live: Json, desired: Json) -> bool:
    """Returns whether an object is what a deleted resource of the same name has left: ours by its marks, and nobody's."""
    metadata = live["metadata"]
    if metadata.get("ownerReferences") or metadata.get("deletionTimestamp"):
        return False
    labels, wanted = metadata.get("labels") or {}, desired["metadata"].get("labels") or {}
    marked = all(labels.get(mark) == wanted.get(mark) for mark in _MARKS)
    return marked and names.ANNOTATION_DESIRED_HASH in (metadata.get("annotations") or {})


def shared(desired: Json, identity: str, other: str) -> Problem:
    """Returns the problem that two operators write a child in turn. Both of them say it in the same words."""
    both = " and ".join(sorted((other, identity)))
    return Problem(
        Reason.CONTESTED,
        f"{desired['kind']} {desired['metadata']['name']} is changed in turn by the genset operators {both}; one of them "
        "leaves it alone for some minutes at a time. Let only one serve this namespace (chart value watchNamespaces).",
    )


def contest(desired: Json, live: Json, changed: Sequence[str]) -> Problem:
    """Returns the problem that somebody else keeps on changing a child."""
    remedy = "let nobody else change it, or set the field in this resource"
    owners = desired["metadata"].get("ownerReferences", ())
    if list(changed) == ["spec.replicas"] and owners:
        owner = owners[0]
        remedy = f"aim the autoscaler at {owner['kind']} {owner['name']}, which has a scale, too"
    return Problem(
        Reason.CONTESTED,
        f"{desired['kind']} {desired['metadata']['name']} is set back again and again by {_last_manager(live)} "
        f"({_fields(changed)}), and left alone for some minutes: {remedy}",
    )


def overruled(desired: Json, owner: Json, remaining: Sequence[str]) -> str:
    """Returns the news that a field of a child does not become what is wanted of it."""
    kind = str(desired["kind"])
    fields = [origin.field_of(owner["kind"], kind, path) for path in remaining]
    return (
        f"{kind} {desired['metadata']['name']}: the API server, or an admission webhook, makes something else of "
        f"{_fields(fields)}; genset lets it be"
    )


def _fields(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_FIELDS
    return ", ".join(paths[:_MOST_FIELDS]) + (f" and {more} more" if more > 0 else "")


def _last_manager(live: Json) -> str:
    """Returns who has written last beside us, by the API server's own book."""
    entries = [
        item for item in live["metadata"].get("managedFields") or ()
        if item.get("manager") != names.FIELD_MANAGER and item.get("subresource") != "status"
    ]  # fmt: skip
    entries.sort(key=lambda item: str(item.get("time") or ""))
    return str(entries[-1].get("manager")) if entries else "somebody else"
