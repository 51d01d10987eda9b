"""The part of the smoke test that tries NetworkPolicies: each is a policy, and whom a pod reaches under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from testbed.cluster.api import NotReady, wait_for
from testbed.cluster.cluster import Cluster
from testbed.cluster.network import POD_RANGE

SECONDS = 10.0  # for a policy to act
ASKER = "asker"
IMAGE = "genset.local/llama.cpp:b11669"
COUNTING: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "counting"}}}
HTTP: list[dict[str, Any]] = [{"port": 8080, "protocol": "TCP"}]


class NotEnforced(AssertionError):
    """A connection was made that a policy forbids, or the other way round."""


@dataclass(frozen=True)
class _Case:
    """A case is a policy for some pods, and whether the asker then reaches a model server and the API server."""

    name: str
    selects: str  # value of the label `app`
    spec: dict[str, Any]
    reaches_model: bool
    reaches_node: bool


CASES = (
    _Case("nobody gets in", "counting", {"policyTypes": ["Ingress"]}, False, True),
    _Case("others get in", "counting", {"policyTypes": ["Ingress"], "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "other"}}}], "ports": HTTP}]}, False, True),
    _Case("the asker gets in", "counting", {"policyTypes": ["Ingress"], "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": ASKER}}}], "ports": HTTP}]}, True, True),
    _Case("another port", "counting", {"policyTypes": ["Ingress"], "ingress": [
        {"from": [{"podSelector": {}}], "ports": [{"port": 8081}]}]}, False, True),
    _Case("nothing gets out", ASKER, {"policyTypes": ["Egress"]}, False, False),
    _Case("out to models", ASKER, {"policyTypes": ["Egress"], "egress": [{"to": [COUNTING], "ports": HTTP}]}, True, False),
    _Case("out to a named port", ASKER, {"policyTypes": ["Egress"], "egress": [
        {"to": [COUNTING], "ports": [{"port": "http"}]}]}, True, False),
    _Case("out to models of all namespaces", ASKER, {"policyTypes": ["Egress"], "egress": [
        {"to": [{"namespaceSelector": {}, **COUNTING}]}]}, True, False),
    _Case("out but not to pods", ASKER, {"policyTypes": ["Egress"], "egress": [
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [POD_RANGE]}}]},
        {"to": [{"ipBlock": {"cidr": "10.244.0.1/32"}}]}]}, False, True),
    _Case("out to anybody", ASKER, {"policyTypes": ["Egress"], "egress": [{}]}, True, True),
)  # fmt: skip


def check_policies(cluster: Cluster, namespace: str) -> None:
    """Tries every case from a pod, beside the model servers `app: counting` of the namespace; and a label that goes."""
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump(_asker()))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{ASKER}", "--timeout=60s")
    model = cluster.kubectl(
        "-n", namespace, "get", "pods", "-l", "app=counting", "-o", "jsonpath={.items[0].status.podIP}"
    )
    node = _endpoint(cluster)
    for case in CASES:
        _policy(cluster, namespace, case.spec, {"matchLabels": {"app": case.selects}})
        _expect(cluster, namespace, case.name, (model, 8080), case.reaches_model)
        _expect(cluster, namespace, case.name, node, case.reaches_node)
    ready = cluster.kubectl("-n", namespace, "get", "deployment", "counting", "-o", "jsonpath={.status.readyReplicas}")
    if ready != "2":
        raise NotEnforced(f"policies kept the kubelet from its probes: {ready} of 2 servers are ready")
    closed: dict[str, Any] = {"policyTypes": ["Egress"]}
    _policy(cluster, namespace, closed, {"matchLabels": {"app": ASKER}})
    _policy(cluster, namespace, {**closed, "egress": [{}]}, {"matchLabels": {"phase": "open"}}, name="open")
    _expect(cluster, namespace, "without the label", (model, 8080), False)
    cluster.kubectl("-n", namespace, "label", "pod", ASKER, "phase=open")
    _expect(cluster, namespace, "with the label", (model, 8080), True)
    cluster.kubectl("-n", namespace, "label", "pod", ASKER, "phase-")
    _expect(cluster, namespace, "without the label again", (model, 8080), False)
    cluster.kubectl("-n", namespace, "delete", f"pod/{ASKER}", "networkpolicy/case", "networkpolicy/open", "--now")


def _asker() -> dict[str, Any]:
    container = {"name": ASKER, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": ASKER, "labels": {"app": ASKER}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def _policy(
    cluster: Cluster, namespace: str, spec: dict[str, Any], selector: dict[str, Any], name: str = "case"
) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": selector, **spec},
    }
    cluster.kubectl("-n", namespace, "delete", "networkpolicy", name, "--ignore-not-found")
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=yaml.safe_dump(policy))


def _endpoint(cluster: Cluster) -> tuple[str, int]:
    path = "jsonpath={.endpoints[0].addresses[0]} {.ports[0].port}"
    address, port = cluster.kubectl("get", "endpointslices", "kubernetes", "-o", path).split()
    return address, int(port)


def _expect(cluster: Cluster, namespace: str, case: str, to: tuple[str, int], reached: bool) -> None:
    """Waits until the asker reaches the address, or does not; one second without an answer counts as not."""
    try_it = f"timeout 1 bash -c 'exec 3<>/dev/tcp/{to[0]}/{to[1]}' 2>/dev/null && echo yes || echo no"

    def holds() -> bool:
        said = cluster.kubectl("-n", namespace, "exec", ASKER, "--", "bash", "-c", try_it).strip()
        return said == ("yes" if reached else "no")

    try:
        wait_for(f"{case}: {to[0]}:{to[1]} {'is' if reached else 'is not'} reached", holds, SECONDS)
    except NotReady as error:
        raise NotEnforced(str(error)) from error
