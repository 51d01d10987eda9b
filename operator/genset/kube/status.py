"""The status writer applies status on the server's side, under its own field manager, and only if it differs.

Apply needs no resourceVersion, so it cannot lose against a concurrent change of the spec; a condition that is no longer
reported goes away because genset-status alone owned it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError

from genset import names
from genset.kinds import Kind
from genset.kube.client import ApiError, ApiServer, Object
from genset.kube.echoes import Echoes
from genset.kube.metrics import Metrics
from genset.kube.told_conditions import ToldConditions


class StatusWriter:
    """The status writer writes the status of both resources, and tells their conditions as metrics."""

    def __init__(self, api: ApiServer, metrics: Metrics, echoes: Echoes) -> None:
        self._api = api
        self._metrics = metrics
        self._echoes = echoes
        self._conditions = ToldConditions(metrics.conditions)

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        """Tells of a resource that is gone no more."""
        self._conditions.tell((namespace, kind.kind, name), ())

    async def write(self, kind: Kind, live: Object, status: BaseModel, condition_types: Collection[str]) -> bool:
        """Returns whether something was written.

        A resource that is gone, or another one of the same name, is left alone.
        """
        metadata, told = live["metadata"], as_dict(status)
        self._conditions.tell((metadata["namespace"], kind.kind, metadata["name"]), told.get("conditions") or ())
        if not differs(live.get("status"), status, condition_types):
            return False
        body: Object = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": told,
        }
        try:
            stored = await self._api.apply(
                kind, body, field_manager=names.STATUS_FIELD_MANAGER, force=True, subresource="status"
            )
        except ApiError as error:
            if error.not_found or (error.conflict and "uid" in error.message.lower()):
                return False
            raise
        self._echoes.wrote(stored)
        self._metrics.applies.labels(kind=kind.kind, verb="status").inc()
        return True


def as_dict(status: BaseModel) -> dict[str, Any]:
    """Returns a status as it goes over the wire."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def differs(live: Any, status: BaseModel, condition_types: Collection[str]) -> bool:
    """Returns whether the live status says something else. Conditions of types that others added are theirs."""
    if not isinstance(live, dict):
        return True
    conditions = [item for item in live.get("conditions") or () if item.get("type") in condition_types]
    try:
        parsed = type(status).model_validate({**live, "conditions": conditions})
    except ValidationError:
        return True
    return _ordered(parsed) != _ordered(status)


def _ordered(status: BaseModel) -> dict[str, Any]:
    content = as_dict(status)
    content["conditions"] = sorted(content.get("conditions") or (), key=lambda item: str(item["type"]))
    return content
