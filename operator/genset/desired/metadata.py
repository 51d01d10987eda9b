"""Names, labels and owner references of children are made in one place, because a child is found, selected and removed
by them.

Names are derived, never stored. They cannot collide between resources of genset: a ModelDeployment's name may end
neither in -router nor in -endpoints, and neither kind's name is longer than what its Services can carry (rules of
the CRDs). An object of somebody else under such a name is never touched; the resource says NameConflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genset import kinds, names
from genset.addresses import is_service
from genset.api.base import ObjectMeta
from genset.api.children import MetadataTemplate
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired.images import matches
from genset.engines.base import Object
from genset.kinds import Kind

PART_OF = "genset"
#: Kinds without a user's annotations, which other controllers take for their owner's word: copy this Secret there, be that role.
#: `allowed` gives them those of which an administrator says that nobody obeys them.
_PLAIN = frozenset({kinds.SECRET, kinds.SERVICE_ACCOUNT})
ROUTER_APP = "genset-router"  # app.kubernetes.io/name of router children


def endpoints_service(deployment: str) -> str:
    """Names the headless Service of a ModelDeployment: its A records are the replicas that are ready."""
    return f"{deployment}-endpoints"


def groups(deployment: str) -> str:
    """Names the LeaderWorkerSet of a ModelDeployment. Its controller makes a headless Service of the same name."""
    return f"{deployment}-nodes"


def weights_claim(deployment: str) -> str:
    """Names the PersistentVolumeClaim of a ModelDeployment's cache."""
    return f"{deployment}-weights"


def download_policy(deployment: str) -> str:
    """Names the NetworkPolicy of a ModelDeployment's pods that download. No resource's name has a dot, so none meets it."""
    return f"{deployment}.download"


def group_policy(deployment: str) -> str:
    """Names the NetworkPolicy of pods that are one server together. Like `download_policy`."""
    return f"{deployment}.group"


def site(deployment: str) -> str:
    """Names the ConfigMap and the Secret by which a ModelDeployment's pods know of their site. Like `download_policy`."""
    return f"{deployment}.site"


def adapters(deployment: str) -> str:
    """Names the ConfigMap with the adapters that join a ModelDeployment's running servers. Like `download_policy`."""
    return f"{deployment}.adapters"


def prefetch_policy(deployment: str) -> str:
    """Names the NetworkPolicy of the pod that fetches a ModelDeployment's weights ahead."""
    return f"{deployment}.prefetch"


def prefetch_job(deployment: str, digest: str) -> str:
    """Names the Job that fetches weights ahead; its pods' labels take no more than 63 characters."""
    return f"{deployment}-{digest[:8]}"


def router(policy: str) -> str:
    """Names the Deployment, Service, ServiceAccount, PodDisruptionBudget and NetworkPolicy of a RoutePolicy."""
    return f"{policy}{names.ROUTER_SUFFIX}"


def is_router(url: str, policy: str, namespace: str) -> bool:
    """Returns whether a URL names the Service of a policy's routers."""
    return is_service(url, router(policy), namespace)


def router_peers(policy: str) -> str:
    """Names the headless Service by which routers of a RoutePolicy find one another."""
    return f"{policy}-peers"


def router_config(policy: str) -> str:
    """Names the ConfigMap with the RouterConfig."""
    return f"{policy}-router-config"


def router_credentials(policy: str) -> str:
    """Names the Secret with the copies of the keys that a policy names."""
    return f"{policy}-router-credentials"


def engine_selector(deployment: str) -> dict[str, str]:
    """Returns the labels that select a ModelDeployment's pods. They are immutable in the Deployment."""
    return {names.LABEL_COMPONENT: names.COMPONENT_ENGINE, names.LABEL_MODEL_DEPLOYMENT: deployment}


def every_selector(deployment: str) -> Object:
    """Returns, as a label selector, the pods of a ModelDeployment's replicas: those that have the API, and their workers."""
    components = [names.COMPONENT_ENGINE, names.COMPONENT_WORKER]
    return {
        "matchLabels": {names.LABEL_MODEL_DEPLOYMENT: deployment},
        "matchExpressions": [{"key": names.LABEL_COMPONENT, "operator": "In", "values": components}],
    }


def prefetch_selector(deployment: str) -> dict[str, str]:
    """Returns the labels that select the pod that fetches a ModelDeployment's weights ahead."""
    return {names.LABEL_COMPONENT: names.COMPONENT_PREFETCH, names.LABEL_MODEL_DEPLOYMENT: deployment}


def router_selector(policy: str) -> dict[str, str]:
    """Returns the labels that select a RoutePolicy's router pods. They are immutable in the Deployment."""
    return {names.LABEL_COMPONENT: names.COMPONENT_ROUTER, names.LABEL_ROUTE_POLICY: policy}


def engine_labels(resource: ModelDeployment) -> dict[str, str]:
    """Returns the labels of every child of a ModelDeployment, and of its pods."""
    return _labels(resource.spec.engine, resource.metadata.name, engine_selector(resource.metadata.name))


def router_labels(resource: RoutePolicy) -> dict[str, str]:
    """Returns the labels of every child of a RoutePolicy, and of its pods."""
    return _labels(ROUTER_APP, resource.metadata.name, router_selector(resource.metadata.name))


def _labels(app: str, instance: str, selector: Mapping[str, str]) -> dict[str, str]:
    return {
        names.LABEL_NAME: app,
        names.LABEL_INSTANCE: instance,
        names.LABEL_PART_OF: PART_OF,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        **selector,
    }


def engine_child(resource: ModelDeployment, kind: Kind, name: str, **content: object) -> Object:
    """Makes an object that belongs to a ModelDeployment. `content` is everything beside metadata."""
    return _child(resource, engine_labels(resource), kind, name, content)


def router_child(resource: RoutePolicy, kind: Kind, name: str, **content: object) -> Object:
    """Makes an object that belongs to a RoutePolicy. `content` is everything beside metadata."""
    return _child(resource, router_labels(resource), kind, name, content)


def _child(
    resource: ModelDeployment | RoutePolicy,
    labels: Mapping[str, str],
    kind: Kind,
    name: str,
    content: Mapping[str, object],
) -> Object:
    owner, added = resource.metadata, resource.spec.metadata_template or MetadataTemplate()
    metadata: Object = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**added.labels, **labels},
        "ownerReferences": [owner_reference(resource.kind, owner)],
    }
    if added.annotations and kind not in _PLAIN:
        metadata["annotations"] = dict(added.annotations)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


def annotated(child: Object, annotations: Mapping[str, str]) -> Object:
    """Returns a child with further annotations."""
    if not annotations:
        return child
    own = child["metadata"]
    return {**child, "metadata": {**own, "annotations": {**own.get("annotations", {}), **annotations}}}


def allowed(child: Object, template: MetadataTemplate | None, patterns: Iterable[str]) -> Object:
    """Returns a Secret or a ServiceAccount with those of the user's annotations that an administrator lets it have."""
    said = template.annotations if template is not None else {}
    return annotated(child, {key: value for key, value in said.items() if any(matches(key, one) for one in patterns)})


def owner_reference(kind: str, owner: ObjectMeta) -> Object:
    """Returns the reference by which a child goes with its resource."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
