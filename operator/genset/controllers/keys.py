"""The queue holds keys: a key is the identity of one resource."""

from __future__ import annotations

from typing import NamedTuple

from genset import kinds, names
from genset.kinds import Kind

KINDS: dict[str, Kind] = {names.MODEL_DEPLOYMENT: kinds.MODEL_DEPLOYMENT, names.ROUTE_POLICY: kinds.ROUTE_POLICY}


class Key(NamedTuple):
    """A key is kind, namespace and name of a ModelDeployment or a RoutePolicy."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
