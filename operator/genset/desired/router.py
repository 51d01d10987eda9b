"""The children of a RoutePolicy are the router's pods, their configuration and the Service that clients dial.

A changed policy or key must reach running routers without a restart, so neither shapes the pod template: the
ConfigMap and the Secret are mounted whole, and the kubelet refreshes them. Only what a running process cannot change
(image, resources, drain time, replicas) rolls or scales the Deployment.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from genset import kinds, names
from genset.api.fault import FieldFault
from genset.api.routepolicy import RoutePolicy
from genset.api.router import RouterResources
from genset.api.router_service import RouterService
from genset.contracts import drill
from genset.contracts.config_files import CONFIG_MAP_BYTES
from genset.desired import images, metadata, pod_rules, router_config, scratch
from genset.desired.access import shares_limits
from genset.desired.canonical import quantity
from genset.desired.config_document import document
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.kept import (
    UNCHANGING,
    Pending,
    PodsRecord,
    Running,
    Settlement,
    WantedPods,
    digest,
    fingerprint,
    rolled,
    settle,
)
from genset.desired.pod_security import pod_security
from genset.desired.pod_template import merge
from genset.desired.workload import spread
from genset.engines.base import Object
from genset.listening import EVERY_ADDRESS

ENDPOINT_REMOVAL_SECONDS = 5  # a leaving router serves this long, so that kube-proxy everywhere stops choosing it
STOP_SECONDS = 15  # between the end of draining and SIGKILL
TMP_SIZE = "64Mi"  # a router writes nothing to /tmp
SCRATCH_REQUEST, SCRATCH_LIMIT = "64Mi", "2Gi"  # of its node's disk: the access log, as far as the kubelet keeps it
_SECRET_MODE = 0o440
_BESIDE_PODS = (
    "replicas",
    "onUpgrade",
    "service",
    "limits",
    "disruptionBudget",
    "tls",
)  # shape no pod, whatever else does


#: For whom the token of an identity is. Source: Microsoft Learn, "Workload identity federation", read on 28 Nov 2026.
ENTRA_AUDIENCE = "api://AzureADTokenExchange"


def service_account(resource: RoutePolicy, context: RoutePolicyContext) -> Object:
    """Makes an identity with no rights and no token: the router never talks to Kubernetes. It bears the record of its pods."""
    made = metadata.router_child(
        resource,
        kinds.SERVICE_ACCOUNT,
        metadata.router(resource.metadata.name),
        automountServiceAccountToken=False,
    )
    return metadata.annotated(_allowed(made, resource, context), _record(resource, context))


def _allowed(made: Object, resource: RoutePolicy, context: RoutePolicyContext) -> Object:
    return metadata.allowed(made, resource.spec.metadata_template, context.settings.allowed_annotations)


def _record(resource: RoutePolicy, context: RoutePolicyContext) -> dict[str, str]:
    """Returns the annotation in which the record of the pods stands: as it is, while the policy's pods are refused."""
    if not any(faults(resource, context.settings)):
        return {names.ANNOTATION_PODS: _kept(resource, context).record.to_annotation()}
    before = PodsRecord.of(context.bearer)
    return {} if before is None else {names.ANNOTATION_PODS: before.to_annotation()}


def config_map(resource: RoutePolicy, context: RoutePolicyContext) -> Object | None:
    """Makes the ConfigMap of the RouterConfig in canonical JSON: same policy, same bytes, same hash.

    None if none could hold it; the one that is there stays.
    """
    files = document(resource, context).files
    if _bytes_of(files) > CONFIG_MAP_BYTES:
        return None
    text = files[names.ROUTER_CONFIG_FILE].decode()
    others = {file: base64.b64encode(files[file]).decode() for file in files if file != names.ROUTER_CONFIG_FILE}
    data = {names.ROUTER_CONFIG_FILE: text}
    if context.drill is not None:
        data[drill.FILE] = context.drill.canonical_json().decode()
    content: Object = {"data": data, **({"binaryData": others} if others else {})}
    return metadata.router_child(resource, kinds.CONFIG_MAP, metadata.router_config(resource.metadata.name), **content)


def size_faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields that a policy says more than a ConfigMap could hold."""
    written = document(resource, context)
    size = _bytes_of(written.files)
    if size > CONFIG_MAP_BYTES:
        yield FieldFault(
            "spec.routes",
            f"spec.routes: with the backends they make a configuration of {written.size} bytes, compressed {size}, and a "
            f"ConfigMap holds {CONFIG_MAP_BYTES}: divide the policy into several, or name models by a common beginning and * "
            "instead of one by one; routers keep the configuration that they have",
        )


def _bytes_of(files: Mapping[str, bytes]) -> int:
    """Returns what the API server counts of a ConfigMap, with room for what it may count beside it."""
    return sum(len(name) + len(content) for name, content in files.items())


def credentials(resource: RoutePolicy, context: RoutePolicyContext) -> Object:
    """Makes the Secret with copies of the keys that the policy names.

    It exists without any, too, because it is mounted.
    """
    files = router_config.credential_files(resource, context)
    data = {name: base64.b64encode(files[name]).decode() for name in sorted(files)}
    name = metadata.router_credentials(resource.metadata.name)
    made = metadata.router_child(resource, kinds.SECRET, name, type="Opaque", **({"data": data} if data else {}))
    return _allowed(made, resource, context)


def service(resource: RoutePolicy, _: RoutePolicyContext) -> Object:
    """Makes the Service that clients dial. The admin port is not on it."""
    wanted = resource.spec.router.service
    name = resource.metadata.name
    spec = {
        "type": wanted.type,
        "selector": metadata.router_selector(name),
        "ports": [_port(resource)],
        **_options(wanted),
    }
    child = metadata.router_child(resource, kinds.SERVICE, metadata.router(name), spec=spec)
    if wanted.annotations:
        child["metadata"]["annotations"] = {**child["metadata"].get("annotations", {}), **wanted.annotations}
    return child


def peers(resource: RoutePolicy, _: RoutePolicyContext) -> Object | None:
    """Makes the headless Service by which routers find one another, to share limits; None if they share none."""
    if not shares_limits(resource):
        return None
    port = {"name": names.ROUTER_ADMIN_PORT_NAME, "port": names.ROUTER_ADMIN_PORT, "protocol": "TCP"}
    spec = {
        "type": "ClusterIP",
        "clusterIP": "None",
        "selector": metadata.router_selector(resource.metadata.name),
        "ports": [{**port, "targetPort": names.ROUTER_ADMIN_PORT_NAME}],
    }
    return metadata.router_child(resource, kinds.SERVICE, metadata.router_peers(resource.metadata.name), spec=spec)


def port_of(resource: RoutePolicy) -> int:
    """Returns the port that clients dial."""
    router = resource.spec.router
    return router.service.port or (names.SERVICE_PORT if router.tls is None else names.SERVICE_TLS_PORT)


def _port(resource: RoutePolicy) -> Object:
    wanted = resource.spec.router.service
    on_nodes = {} if wanted.node_port is None else {"nodePort": wanted.node_port}
    return {
        "name": names.ROUTER_PORT_NAME,
        "port": port_of(resource),
        "protocol": "TCP",
        "targetPort": names.ROUTER_PORT_NAME,
        **on_nodes,
    }


def _options(wanted: RouterService) -> Object:
    """Returns what is said of a Service beside its type; what is not said is the cluster's to choose."""
    said: Object = {
        "loadBalancerClass": wanted.load_balancer_class,
        "loadBalancerSourceRanges": list(wanted.load_balancer_source_ranges),
        "externalTrafficPolicy": wanted.external_traffic_policy,
        "ipFamilyPolicy": wanted.ip_family_policy,
        "ipFamilies": list(wanted.ip_families),
    }
    return {field: value for field, value in said.items() if value}


def deployment(resource: RoutePolicy, context: RoutePolicyContext) -> Object | None:
    """Makes the router's pods. A roll-out starts a new one before an old one goes: the Service never has fewer.

    None if the policy says of its pods what it may not; those that run stay as they are.
    """
    if any(faults(resource, context.settings)):
        return None
    name = resource.metadata.name
    selector = metadata.router_selector(name)
    kept = _kept(resource, context)
    made = metadata.router_child(
        resource,
        kinds.DEPLOYMENT,
        metadata.router(name),
        spec={
            "replicas": resource.spec.router.replicas,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
            "template": kept.template,
        },
    )
    return metadata.annotated(made, kept.annotations)


def pending(resource: RoutePolicy, context: RoutePolicyContext) -> Pending | None:
    """Returns what of an upgrade would make the routers new, if there is anything and nobody has asked for it."""
    return None if any(faults(resource, context.settings)) else _kept(resource, context).pending


def _kept(resource: RoutePolicy, context: RoutePolicyContext) -> Settlement:
    patch = resource.spec.router.pod_template
    said = patch.model_dump(mode="json", by_alias=True) if patch is not None else None
    return settle(
        WantedPods(
            pod_template(resource, context.settings),
            said,
            digest(_asked(resource)),
            fingerprint(pod_template(resource, UNCHANGING), said),
            seen=resource.status is not None and resource.status.observed_generation == resource.metadata.generation,
            operator=context.operator,
        ),
        Running(context.running, context.bearer),
        upgrade=context.upgrade,
    )


def _asked(resource: RoutePolicy) -> list[Any]:
    """Returns what the user has said of the pods. As `workload` does it: no defaults, and no number of pods."""
    said = resource.spec.router.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for field in _BESIDE_PODS:
        said.pop(field, None)
    return [resource.metadata.name, said, resource.metadata.annotations.get(names.ANNOTATION_ROLL)]


def pod_template(resource: RoutePolicy, settings: Settings) -> Object:
    """Makes metadata and spec of the router's pods."""
    template = merge(own_template(resource, settings), resource.spec.router.pod_template)
    return rolled(template, resource.metadata.annotations)


def own_template(resource: RoutePolicy, settings: Settings) -> Object:
    """Makes metadata and spec of the router's pods before the user's podTemplate."""
    return {"metadata": {"labels": metadata.router_labels(resource)}, "spec": _pod_spec(resource, settings)}


def faults(resource: RoutePolicy, settings: Settings) -> Iterator[FieldFault]:
    """Yields what the policy says of its pods and may not."""
    router, field = resource.spec.router, "spec.router.image"
    if message := images.fault(router.image, field, settings):
        yield FieldFault(field, message)
    if router.pod_template is not None:
        own, full = own_template(resource, settings), images.is_full(settings)
        yield from pod_rules.faults(own, router.pod_template, "spec.router.podTemplate", full=full)


def _pod_spec(resource: RoutePolicy, settings: Settings) -> Object:
    name = resource.metadata.name
    config = {"name": "config", "configMap": {"name": metadata.router_config(name)}}
    secret = {
        "name": "credentials",
        "secret": {"secretName": metadata.router_credentials(name), "defaultMode": _SECRET_MODE},
    }
    own = _container(resource, settings)
    spec: Object = {
        "serviceAccountName": metadata.router(name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": ENDPOINT_REMOVAL_SECONDS + resource.spec.router.drain_seconds + STOP_SECONDS,
        "securityContext": pod_security(settings),
        "containers": [_with_identity(own) if _has_identity(resource) else own],
        "volumes": [config, secret, {"name": "tmp", **scratch.empty_dir(TMP_SIZE)}],
        "topologySpreadConstraints": [spread(metadata.router_selector(name))],
    }
    if _has_identity(resource):
        spec["volumes"].append(_identity_volume())
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return spec


def _container(resource: RoutePolicy, settings: Settings) -> Object:
    router = resource.spec.router
    memory = quantity(router.resources.memory)
    return {
        "name": names.ROUTER_CONTAINER,
        "image": router.image or settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["genset"],
        "args": [
            "router",
            "--config-dir", names.ROUTER_CONFIG_DIR,
            "--credentials", names.ROUTER_CREDENTIALS_DIR,
            "--listen", f"[{EVERY_ADDRESS}]:{names.ROUTER_PORT}",
            "--admin", f"[{EVERY_ADDRESS}]:{names.ROUTER_ADMIN_PORT}",
        ],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "ports": [
            {"name": names.ROUTER_PORT_NAME, "containerPort": names.ROUTER_PORT, "protocol": "TCP"},
            {"name": names.ROUTER_ADMIN_PORT_NAME, "containerPort": names.ROUTER_ADMIN_PORT, "protocol": "TCP"},
        ],
        "startupProbe": {**_probe("/-/healthy"), "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**_probe("/-/ready"), "periodSeconds": 5, "failureThreshold": 2, "timeoutSeconds": 3},
        "livenessProbe": {**_probe("/-/healthy"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        "lifecycle": {"preStop": {"sleep": {"seconds": ENDPOINT_REMOVAL_SECONDS}}},
        "resources": {
            "requests": {"cpu": quantity(router.resources.cpu), "memory": memory, scratch.EPHEMERAL: SCRATCH_REQUEST},
            "limits": {**_cpu_limit(router.resources), "memory": memory, scratch.EPHEMERAL: SCRATCH_LIMIT},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "config", "mountPath": names.ROUTER_CONFIG_DIR, "readOnly": True},
            {"name": "credentials", "mountPath": names.ROUTER_CREDENTIALS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }  # fmt: skip


def _has_identity(resource: RoutePolicy) -> bool:
    return any(backend.cloud is not None and backend.cloud.workload_identity for backend in resource.spec.backends)


def _identity_volume() -> Object:
    """Returns the token by which Entra knows the routers' ServiceAccount; the kubelet renews it."""
    token = {"path": names.ROUTER_IDENTITY_FILE, "audience": ENTRA_AUDIENCE, "expirationSeconds": 3600}
    return {"name": "identity", "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": _SECRET_MODE}}


def _with_identity(container: Object) -> Object:
    """Returns the container with the token, and where the router finds it."""
    folder = names.ROUTER_IDENTITY_DIR
    path = {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": f"{folder}/{names.ROUTER_IDENTITY_FILE}"}
    mount = {"name": "identity", "mountPath": folder, "readOnly": True}
    return {
        **container, "env": [*container["env"], path], "volumeMounts": [*container["volumeMounts"], mount],
    }  # fmt: skip


def _cpu_limit(resources: RouterResources) -> Object:
    return {} if resources.cpu_limit is None else {"cpu": quantity(resources.cpu_limit)}


def _probe(path: str) -> Object:
    return {"httpGet": {"path": path, "port": names.ROUTER_ADMIN_PORT_NAME}}
