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
from genset.kinds import Kind, key_of
from genset.kube.apply import Children, is_owned
from genset.kube.client import ApiError, ApiServer
from genset.status.pod import PodView

_FORBIDDEN = 403

__all__ = ["Children", "children", "decoded", "is_owned", "pods", "selector"]


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


def decoded(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the data of a Secret; a value that is no base64 cannot come from an API server."""
    data = secret.get("data") or {}
    try:
        return {key: base64.b64decode(value) for key, value in data.items()}
    except (binascii.Error, TypeError):
        return {}
