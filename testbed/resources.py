"""These are small resources for scenarios: the counting model and policies around it, as users would write them."""

from __future__ import annotations

from typing import Any

from genset import names

API_VERSION = "genset.dev/v1alpha1"
Object = dict[str, Any]


def model_deployment(namespace: str, name: str, source: Object, **spec: Any) -> Object:
    """Makes a ModelDeployment that fits a small machine."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "source": source,
            "context": {"tokens": 2048, "parallel": 4},
            "resources": {"cpu": "200m", "memory": "256Mi"},
            "rollout": {"drainSeconds": 5},
            **spec,
        },
    }


def route_policy(namespace: str, name: str, backends: list[Object], *tiers: str, **spec: Any) -> Object:
    """Makes a RoutePolicy with one route that takes everything, one backend a tier."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RoutePolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "backends": backends,
            "routes": [{"name": "all", "tiers": [{"backends": [{"name": tier}]} for tier in tiers]}],
            "router": {"resources": {"cpu": "50m", "memory": "192Mi"}, "drainSeconds": 10},
            **spec,
        },
    }


def namespace(name: str) -> Object:
    """Makes a namespace in which a cluster-wide operator may write."""
    metadata = {"name": name, "labels": {names.LABEL_MANAGED_NAMESPACE: names.MANAGED_NAMESPACE}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def secret(namespace: str, name: str, **data: str) -> Object:
    """Makes a Secret whose values genset may send anywhere."""
    annotations = {"genset.dev/allow-hosts": "*"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "stringData": data,
    }


def cloud_target(base_url: str) -> Object:
    """Makes the scenarios' cloud as a backend's `cloud`; its key and CA are in a Secret `cloud`."""
    return {
        "provider": "openAICompatible",
        "model": "frontier-count",
        "baseURL": base_url,
        "credentialsSecretRef": {"name": "cloud", "key": "apiKey"},
        "caSecretRef": {"name": "cloud", "key": "ca.crt"},
    }


def service_to(namespace: str, name: str, address: str, port: int) -> list[Object]:
    """Makes a Service without a selector, and the one address behind it."""
    ports = [{"name": "probe", "port": port, "protocol": "TCP"}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
