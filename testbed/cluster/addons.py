"""Add-ons are what a cluster has beside its components: DNS by CoreDNS, and StorageClasses with a provisioner.

Both programs run on the host. They are objects in the cluster, too, with no more rights than a managed cluster gives to
its own.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.cluster.flags import LOOPBACK
from testbed.cluster.network import NODE_ADDRESS
from testbed.cluster.node import CLUSTER_DOMAIN, DNS_ADDRESS
from testbed.cluster.pki import CONTEXT

DNS_USER = "system:genset-e2e-dns"
POLICIES_USER = "system:genset-e2e-policies"
VOLUMES_USER = "system:genset-e2e-volumes"
PROVISIONER = "genset.dev/directory"
STORAGE_CLASS = "local"
SIZED_STORAGE_CLASS = "local-sized"  # its volumes are file systems of the claimed size, so they can be full


def corefile(kubeconfig: Path, port: int, health_port: int, ready_port: int, resolv_conf: str) -> str:
    """Returns CoreDNS' configuration; `resolv_conf` is the text of the machine's.

    A time to live of 1 s lets tests see at once that endpoints have gone.
    """
    has_upstream = any(line.split()[:1] == ["nameserver"] for line in resolv_conf.splitlines())
    return f""".:{port} {{
    bind {NODE_ADDRESS}
    errors
    health {LOOPBACK}:{health_port}
    ready {LOOPBACK}:{ready_port}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig} {CONTEXT}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 1
    }}
    {"forward . /etc/resolv.conf" if has_upstream else "# the machine has no name server to forward to"}
}}
"""


def manifests(dns_port: int) -> dict[str, Mapping[str, Any]]:
    """Returns the objects to apply, each by its path in the API."""
    objects = [
        ("/api/v1/namespaces/kube-system/services", _dns_service()),
        ("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", _dns_endpoints(dns_port)),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", _dns_role()),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            _binding("genset-e2e:dns", "genset-e2e:dns", DNS_USER),
        ),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", _policies_role()),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            _binding("genset-e2e:policies", "genset-e2e:policies", POLICIES_USER),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            _binding("genset-e2e:volumes", "system:persistent-volume-provisioner", VOLUMES_USER),
        ),
        ("/apis/storage.k8s.io/v1/storageclasses", storage_class(STORAGE_CLASS, default=True, sized=False)),
        ("/apis/storage.k8s.io/v1/storageclasses", storage_class(SIZED_STORAGE_CLASS, default=False, sized=True)),
    ]
    return {f"{path}/{manifest['metadata']['name']}": manifest for path, manifest in objects}


def _dns_service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "clusterIP": DNS_ADDRESS,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    }


def _dns_endpoints(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-host",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "dns", "port": port, "protocol": "UDP"},
            {"name": "dns-tcp", "port": port, "protocol": "TCP"},
        ],
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
    }


def _dns_role() -> dict[str, Any]:
    """Returns the role that CoreDNS' own deployment manifest grants."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "genset-e2e:dns"},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["endpoints", "services", "pods", "namespaces"],
                "verbs": ["list", "watch"],
            },
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    }


def _policies_role() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "genset-e2e:policies"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
        ],
    }


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def storage_class(name: str, *, default: bool, sized: bool) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": str(default).lower()},
        },
        "provisioner": PROVISIONER,
        "parameters": {"sized": str(sized).lower()},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def dns_query(name: str, server: str, port: int = 53, timeout: float = 1.0, identifier: int | None = None) -> list[str]:
    """Returns the A records of a name as that server knows them; empty if it knows none (RFC 1035, 4.1).

    Raises OSError if the server does not answer.
    """
    number = random.randrange(65536) if identifier is None else identifier
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    question = labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((server, port))
        client.send(struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + question)
        answer = client.recv(4096)
    answered, _, _, count = struct.unpack_from("!4H", answer)
    if answered != number:
        raise OSError(f"{server}:{port} answered another question")
    addresses, position = [], 12 + len(question)
    for _ in range(count):
        while answer[position] not in (0,) and answer[position] < 0xC0:
            position += answer[position] + 1
        position += 1 if answer[position] == 0 else 2
        kind, _, _, length = struct.unpack_from("!HHIH", answer, position)
        position += 10
        if kind == 1:
            addresses.append(socket.inet_ntoa(answer[position : position + length]))
        position += length
    return addresses
