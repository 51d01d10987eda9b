"""The kinds that the operator talks about, as paths of the API server.

A fixed table instead of discovery: the operator knows every kind it touches, needs no cache on a read-only disk, and
starts without a round of requests. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from genset import names


@dataclass(frozen=True)
class Kind:
    """One kind of namespaced object."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """Group of the API; "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path. Without a namespace: the collection over all namespaces; without a name: the collection."""
        parts = [f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


MODEL_DEPLOYMENT = Kind(names.API_VERSION, names.MODEL_DEPLOYMENT, names.PLURALS[names.MODEL_DEPLOYMENT])
ROUTE_POLICY = Kind(names.API_VERSION, names.ROUTE_POLICY, names.PLURALS[names.ROUTE_POLICY])

CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
PVC = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

_ALL = (
    MODEL_DEPLOYMENT, ROUTE_POLICY, CONFIG_MAP, PVC, POD, SECRET, SERVICE, SERVICE_ACCOUNT, DEPLOYMENT,
    NETWORK_POLICY, DISRUPTION_BUDGET, EVENT, LEASE,
)  # fmt: skip
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in _ALL}


def kind_of(api_version: str, kind: str) -> Kind:
    """The Kind of an object's apiVersion and kind. KeyError names what is missing from the table."""
    try:
        return _BY_KIND[api_version, kind]
    except KeyError:
        raise KeyError(
            f"{api_version} {kind} is not in genset.kube.kinds: add it, and its verbs to the chart"
        ) from None
