"""These are the kinds of objects that the operator talks about, as paths of the API server.

A fixed table instead of discovery: the operator knows every kind it touches, needs no cache on a read-only disk, and
starts without a round of requests. What it makes of them for a resource stands in `genset.desired`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from genset import names

ObjectKey = tuple[str, str, str]  # apiVersion, kind, name: identity inside a namespace


@dataclass(frozen=True)
class Kind:
    """A kind is one kind of namespaced object."""

    api_version: str
    kind: str
    plural: str
    #: Pods mount it or run as it, so it exists before what makes pods: no pod starts into a missing volume.
    before_pods: bool = False
    #: The controller of this kind makes pods.
    makes_pods: bool = False
    #: The operator may list, watch and delete it. If not, it is read by name, and only created and changed.
    listed: bool = True
    #: A cluster need not have it. It is not watched: a watch of what is not there would end all watches.
    optional: bool = False

    @property
    def group(self) -> str:
        """Returns the group of the API; "" for the core group."""
        return self.api_version.rpartition("/")[0]

    def key(self, name: str) -> ObjectKey:
        """Returns the identity of the object of that name."""
        return self.api_version, self.kind, name

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Returns the URL path.

        Without a namespace: the collection over all namespaces; without a name: the collection.
        """
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

CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps", before_pods=True)
PVC = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", before_pods=True)
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets", before_pods=True, listed=False)
SERVICE = Kind("v1", "Service", "services")
ENDPOINT_SLICE = Kind(
    "discovery.k8s.io/v1", "EndpointSlice", "endpointslices"
)  # where routers are: read by the console
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts", before_pods=True)
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments", makes_pods=True)
JOB = Kind("batch/v1", "Job", "jobs", makes_pods=True)
LEADER_WORKER_SET = Kind(
    "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets", makes_pods=True, optional=True
)
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POD_EVENT = Kind("v1", "Event", "events")  # as the kubelet writes them
NAMESPACE = Kind("v1", "Namespace", "namespaces")  # read by its name, with the namespace itself as where it is
NODE = Kind("v1", "Node", "nodes")  # listed by an operator for the whole cluster, to say what fits where
EVENT = Kind("events.k8s.io/v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

_BY_KIND = {(kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)}


def kind_of(item: Mapping[str, Any]) -> Kind:
    """Returns the Kind of an object. KeyError names what is missing from the table."""
    api_version, kind = str(item["apiVersion"]), str(item["kind"])
    try:
        return _BY_KIND[api_version, kind]
    except KeyError:
        raise KeyError(f"{api_version} {kind} is not in genset.kinds: add it, and its verbs to the chart") from None


def key_of(item: Mapping[str, Any]) -> ObjectKey:
    """Returns the identity of an object inside its namespace."""
    return str(item["apiVersion"]), str(item["kind"]), str(item["metadata"]["name"])
