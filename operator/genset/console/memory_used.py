"""What engines' pods use of memory is asked of the cluster's metrics server, if it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from genset import names
from genset.api.quantity import whole
from genset.console.following import namespaces
from genset.kinds import Kind
from genset.kube.client import ApiError, ApiServer

POD_METRICS: Final = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods", optional=True)
ASK_SECONDS: Final = 30.0
ABSENT_SECONDS: Final = 300.0  # between two looks whether there is a metrics server now


class MemoryUsed:
    """`used` is the memory of all pods of a ModelDeployment, by namespace and name; empty if nobody measures."""

    def __init__(self, api: ApiServer, given: Sequence[str]) -> None:
        self._api = api
        self._given = given
        self.used: Mapping[tuple[str, str], int] = {}

    async def ask_forever(self) -> None:
        """Asks twice a minute."""
        while True:
            try:
                found = [one for where in namespaces(self._given) for one in await self._pods(where)]
                self.used = _sums(found)
                await asyncio.sleep(ASK_SECONDS)
            except ApiError:  # the cluster has none, or does not let us: the column stays empty
                self.used = {}
                await asyncio.sleep(ABSENT_SECONDS)

    async def _pods(self, namespace: str | None) -> list[dict[str, Any]]:
        return await self._api.list(POD_METRICS, namespace, names.LABEL_MODEL_DEPLOYMENT)


def _sums(pods: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for pod in pods:
        metadata = pod.get("metadata") or {}
        name = (metadata.get("labels") or {}).get(names.LABEL_MODEL_DEPLOYMENT)
        if not name:
            continue
        key = (str(metadata.get("namespace", "")), str(name))
        for container in pod.get("containers") or ():
            found[key] = found.get(key, 0) + whole(str((container.get("usage") or {}).get("memory", "0")))
    return found
