"""Reads what a reconcile needs to know: children by label, referenced objects, pods.

Always from the API server, never from a cache, so that a reconcile acts on what is. Users' Secrets are read by name
only: the operator has no right to list them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from genset import kinds, names
from genset.desired.context import Locality
from genset.desired.secrets import ConsumerMarks, UserSecret
from genset.kinds import Kind, key_of
from genset.kube.apply import Children, is_owned
from genset.kube.client import ApiError, ApiServer
from genset.sizing.nodes import Node, NodesError, from_kubernetes
from genset.status.pod import PodView

_FORBIDDEN, _NOT_FOUND = 403, 404

__all__ = [
    "Children",
    "children",
    "consumer_selector",
    "data_zone_labels",
    "decoded",
    "is_owned",
    "labelled_secrets",
    "locality",
    "nodes",
    "pods",
    "selector",
    "service_addresses",
    "user_secret",
    "versions",
]


def selector(owner_label: str, name: str) -> str:
    """Returns the label selector of everything that genset made for one resource."""
    return f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{owner_label}={name}"


async def children(api: ApiServer, namespace: str, owned_kinds: Iterable[Kind], label_selector: str) -> Children:
    """Returns live objects by (apiVersion, kind, name), from one LIST per kind."""
    lists = await asyncio.gather(*(_listed(api, kind, namespace, label_selector) for kind in owned_kinds))
    return {key_of(item): item for items in lists for item in items}


async def _listed(api: ApiServer, kind: Kind, namespace: str, label_selector: str) -> list[Any]:
    """Returns the objects of a kind; none of one that the cluster does not have, or that a role from before does not name."""
    try:
        return list(await api.list(kind, namespace, label_selector))
    except ApiError as error:
        if kind.optional and error.status in (_FORBIDDEN, _NOT_FOUND):
            return []
        raise


async def pods(api: ApiServer, namespace: str, label_selector: str) -> tuple[PodView, ...]:
    """Returns the pods, oldest first; those whose containers cannot be begun with the node's words."""
    items = await api.list(kinds.POD, namespace, label_selector)
    items.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    views = [PodView.of(item) for item in items]
    return tuple(await asyncio.gather(*(_with_sandbox(api, view) for view in views)))


async def _with_sandbox(api: ApiServer, pod: PodView) -> PodView:
    """Returns the pod with what its node says of a sandbox that it cannot make: no field of the pod tells that."""
    if not pod.waits_for_sandbox:
        return pod
    words = await _told_in_event(api, pod.namespace, pod.uid, "FailedCreatePodSandBox")
    return replace(pod, sandbox_failure=words) if words else pod


async def refused_pods(api: ApiServer, job: Mapping[str, Any]) -> str:
    """Returns why the pods of a Job cannot even be made (a quota, an admission policy): no field of the Job tells that."""
    metadata = job["metadata"]
    return await _told_in_event(api, metadata["namespace"], metadata["uid"], "FailedCreate")


async def _told_in_event(api: ApiServer, namespace: str, uid: str, reason: str) -> str:
    """Returns the words of the newest Event of a reason about an object; "" if there is none."""
    try:
        found = await api.list(kinds.POD_EVENT, namespace, fields=f"involvedObject.uid={uid},reason={reason}")
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return ""  # a role from before genset asked for it
        raise
    newest = max(found, key=lambda event: str(event.get("lastTimestamp") or ""), default={})
    return str(newest.get("message") or "")


async def locality(api: ApiServer, namespace: str) -> Locality:
    """Returns what a namespace says of itself: as which users its pods run, where its requests may be answered."""
    try:
        found = await api.request("GET", kinds.NAMESPACE.path(name=namespace))
    except ApiError as error:
        if error.status in (_FORBIDDEN, _NOT_FOUND):
            return Locality(is_known=False)  # a role from before genset asked for it
        raise
    metadata = found["metadata"]
    return Locality(
        assigned_ids=names.ANNOTATION_ID_RANGE in (metadata.get("annotations") or {}),
        data_zones=(metadata.get("labels") or {}).get(names.LABEL_DATA_ZONES),
    )


async def data_zone_labels(api: ApiServer) -> dict[str, str] | None:
    """Returns what the namespaces of the cluster say of data zones, by name; None if they may not be listed."""
    try:
        found = await api.list(kinds.NAMESPACE, None, names.LABEL_DATA_ZONES, metadata_only=True)
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return None
        raise
    return {item["metadata"]["name"]: item["metadata"]["labels"][names.LABEL_DATA_ZONES] for item in found}


async def nodes(api: ApiServer) -> tuple[Node, ...] | None:
    """Returns the cluster's nodes; None without the right to list them. One that tells nonsense of itself is left out."""
    found = []
    try:
        for item in await api.list(kinds.NODE, None):
            with suppress(NodesError):
                found.append(from_kubernetes(item))
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return None  # an operator of some namespaces, or a role from before genset asked for it
        raise
    return tuple(found)


def decoded(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the data of a Secret; a value that is no base64 cannot come from an API server."""
    data = secret.get("data") or {}
    try:
        return {key: base64.b64decode(value) for key, value in data.items()}
    except (binascii.Error, TypeError):
        return {}


def user_secret(secret: Mapping[str, Any]) -> UserSecret:
    """Returns a user's Secret with what its owner says about it."""
    metadata = secret["metadata"]
    marks = ConsumerMarks.of(metadata)
    return UserSecret(
        decoded(secret),
        (metadata.get("annotations") or {}).get(names.ANNOTATION_ALLOW_HOSTS),
        str(secret.get("type") or "Opaque"),
        marks.labels.get(names.LABEL_CONSUMER) == names.CONSUMER,
        marks,
    )


def consumer_selector(match_labels: Mapping[str, str]) -> str:
    """Returns the label selector of Secrets that are consumers: their owner's consent is always part of it."""
    wanted = {**match_labels, names.LABEL_CONSUMER: names.CONSUMER}
    return ",".join(f"{label}={value}" for label, value in sorted(wanted.items()))


async def labelled_secrets(
    api: ApiServer, namespace: str, label_selector: str, *, metadata_only: bool = False
) -> list[dict[str, Any]] | None:
    """Returns the Secrets with these labels; None if the operator has no right to list any."""
    try:
        return await api.list(kinds.SECRET, namespace, label_selector, metadata_only=metadata_only)
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return None
        raise


def versions(found: Iterable[Mapping[str, Any]] | None) -> dict[str, str] | None:
    """Returns the version of each object by its name; None if they could not be listed."""
    return None if found is None else {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in found}


def service_addresses(service: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Returns the addresses and names that lead to a Service without DNS of the cluster."""
    if service is None:
        return ()
    spec, status = service.get("spec") or {}, service.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    found = [
        *(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ()),
        *(item.get(name) for item in ingress for name in ("ip", "hostname")),
    ]  # fmt: skip
    return tuple(address for address in found if address and address != "None")
