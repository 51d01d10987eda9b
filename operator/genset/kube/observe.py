"""Reads what a reconcile needs to know: children by label, referenced objects, pods.

Always from the API server, never from a cache, so that a reconcile acts on what is. Users' Secrets are read by name
only: the operator has no right to list them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from genset import kinds, names
from genset.desired.secrets import UserSecret
from genset.kinds import Kind, key_of
from genset.kube.apply import Children, is_owned
from genset.kube.client import ApiError, ApiServer
from genset.status.pod import PodView

_FORBIDDEN, _NOT_FOUND = 403, 404

__all__ = [
    "Children",
    "assigns_ids",
    "children",
    "decoded",
    "is_owned",
    "pods",
    "selector",
    "service_addresses",
    "user_secret",
]


def selector(owner_label: str, name: str) -> str:
    """Returns the label selector of everything that genset made for one resource."""
    return f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{owner_label}={name}"


async def children(api: ApiServer, namespace: str, owned_kinds: Iterable[Kind], label_selector: str) -> Children:
    """Returns live objects by (apiVersion, kind, name), from one LIST per kind."""
    lists = await asyncio.gather(*(api.list(kind, namespace, label_selector) for kind in owned_kinds))
    return {key_of(item): item for items in lists for item in items}


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
    fields = f"involvedObject.uid={pod.uid},reason=FailedCreatePodSandBox"
    try:
        found = await api.list(kinds.POD_EVENT, pod.namespace, fields=fields)
    except ApiError as error:
        if error.status == _FORBIDDEN:
            return pod  # a role from before genset asked for it
        raise
    return replace(pod, sandbox_failure=str(found[-1].get("message") or "")) if found else pod


async def assigns_ids(api: ApiServer, namespace: str) -> bool:
    """Returns whether a namespace says as which users its pods run."""
    try:
        found = await api.request("GET", kinds.NAMESPACE.path(name=namespace))
    except ApiError as error:
        if error.status in (_FORBIDDEN, _NOT_FOUND):
            return False  # a role from before genset asked for it
        raise
    return names.ANNOTATION_ID_RANGE in (found["metadata"].get("annotations") or {})


def decoded(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the data of a Secret; a value that is no base64 cannot come from an API server."""
    data = secret.get("data") or {}
    try:
        return {key: base64.b64decode(value) for key, value in data.items()}
    except (binascii.Error, TypeError):
        return {}


def user_secret(secret: Mapping[str, Any]) -> UserSecret:
    """Returns a user's Secret with what its owner says about it."""
    annotations = secret["metadata"].get("annotations") or {}
    return UserSecret(
        decoded(secret), annotations.get(names.ANNOTATION_ALLOW_HOSTS), str(secret.get("type") or "Opaque")
    )


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
