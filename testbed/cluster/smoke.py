"""The smoke test tries the cluster's promises one after the other, from nothing, over two model servers, to nothing.

It checks the cluster itself; what genset does on it is tried by the scenarios.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from testbed.cluster.addons import SIZED_STORAGE_CLASS, dns_query
from testbed.cluster.api import wait_for
from testbed.cluster.cluster import Cluster
from testbed.cluster.node import DNS_ADDRESS
from testbed.cluster.smoke_policies import check_policies

log = logging.getLogger(__name__)

NAMESPACE = "smoke"
OUTAGE_SECONDS = 5.0
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
NON_ROOT: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class SmokeFailed(AssertionError):
    """The cluster did not do what it promises."""


def run_smoke(folder: Path) -> None:
    """Goes up and down twice, in a folder of its own. Raises SmokeFailed at the first promise that is not kept."""
    cluster = Cluster(folder)
    cluster.clear_others()
    cluster.down()
    links = _links()
    _check_nothing_left(cluster, links)
    cluster.up()
    try:
        _check_workloads(cluster)
        check_policies(cluster, NAMESPACE)
        _check_volumes(cluster)
        _check_outage(cluster)
    finally:
        started = time.monotonic()
        cluster.down()
    log.info("Down after %.1f s", time.monotonic() - started)
    _check_nothing_left(cluster, links)
    started = time.monotonic()
    cluster.up()
    log.info("The second start took %.1f s", time.monotonic() - started)
    cluster.down()
    _check_nothing_left(cluster, links)


def _check_workloads(cluster: Cluster) -> None:
    from testbed.images import IMAGES
    from testbed.models import counting

    cluster.load_image(IMAGES["llamacpp"].archive())
    model = counting.cached()
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_servers(model.parent)))
    started = time.monotonic()
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/counting", "--timeout=60s")
    log.info("Two model servers were Ready %.1f s after kubectl apply", time.monotonic() - started)
    address = cluster.kubectl("-n", NAMESPACE, "get", "service", "counting", "-o", "jsonpath={.spec.clusterIP}")
    wait_for("kube-proxy knows the Service's pods", lambda: _answers(f"http://{address}/health"), 10)
    for _ in range(4):  # most likely both servers
        answer = _post(f"http://{address}/v1/completions", {"prompt": "Count.", "max_tokens": 3})
        _expect(answer["choices"][0]["text"] == " 0000 0001 0002", f"the Service's answer counts: {answer}")
    pods = cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "jsonpath={.items[*].status.podIP}").split()
    _expect(
        dns_query(f"counting.{NAMESPACE}.svc.cluster.local", DNS_ADDRESS) == [address],
        "DNS gives the Service's address",
    )
    headless = dns_query(f"counting-pods.{NAMESPACE}.svc.cluster.local", DNS_ADDRESS)
    _expect(sorted(headless) == sorted(pods), f"DNS gives the pods {pods} for the headless Service: {headless}")
    pod = cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "name").split()[0]
    # In a pod, by its own resolver: the short name, the headless one, and the API server by its Service.
    inside = cluster.kubectl(
        "-n",
        NAMESPACE,
        "exec",
        pod,
        "--",
        "getent",
        "ahostsv4",
        "counting-pods",
        "counting",
        f"counting.{NAMESPACE}.svc.cluster.local",
    )
    _expect(all(ip in inside for ip in [*pods, address]), f"a pod resolves both Services: {inside}")
    probe = (
        "exec 3<>/dev/tcp/kubernetes.default.svc.cluster.local/443 && exec 4<>/dev/tcp/counting/80 && echo connected"
    )
    inside = cluster.kubectl("-n", NAMESPACE, "exec", pod, "--", "bash", "-c", probe)
    _expect("connected" in inside, "a pod reaches the API server and itself or its twin through their Services")
    _expect("llama" in cluster.kubectl("-n", NAMESPACE, "logs", pod), "kubectl logs shows the server's log")


def _check_volumes(cluster: Cluster) -> None:
    """Checks that a volume of the default class works for a restricted pod, and that a sized one gets full."""
    cluster.kubectl(
        "apply",
        "-f",
        "-",
        stdin=yaml.safe_dump_all([*_writer("roomy", None, "40M"), *_writer("tight", SIZED_STORAGE_CLASS, "8M")]),
    )
    wait_for("a pod that writes 20 MB into 40 MB", lambda: _exit_code(cluster, "roomy") == 0, 30)
    wait_for("a pod that writes 20 MB into 8 MB fails", lambda: _exit_code(cluster, "tight") not in (None, 0), 30)
    said = cluster.kubectl("-n", NAMESPACE, "logs", "tight")
    _expect("No space left" in said, f"the file system is full: {said}")
    cluster.kubectl("-n", NAMESPACE, "delete", "pod,pvc", "roomy", "tight", "--grace-period=0", "--force")
    wait_for("volumes deleted", lambda: not any((cluster.folder / "volumes").iterdir()), 30)


def _check_outage(cluster: Cluster) -> None:
    """Checks that the API server can go and come back, and the node's pods never notice."""
    address = cluster.kubectl("-n", NAMESPACE, "get", "service", "counting", "-o", "jsonpath={.spec.clusterIP}")
    cluster.stop_apiserver()
    deadline = time.monotonic() + OUTAGE_SECONDS
    answers = 0
    while time.monotonic() < deadline:
        _expect(
            "choices" in _post(f"http://{address}/v1/completions", {"prompt": "Count.", "max_tokens": 1}),
            "pods serve without the API server",
        )
        answers += 1
        time.sleep(0.1)
    started = time.monotonic()
    cluster.start_apiserver()
    log.info(
        "The API server was back after %.1f s; %d requests were answered meanwhile", time.monotonic() - started, answers
    )
    cluster.kubectl("-n", NAMESPACE, "scale", "deployment/counting", "--replicas=1")
    wait_for(
        "scaled down after the outage",
        lambda: len(dns_query(f"counting-pods.{NAMESPACE}.svc.cluster.local", DNS_ADDRESS)) == 1,
        30,
    )
    wait_for("cluster healthy after the outage", cluster.is_healthy, 30)


def _links() -> set[str]:
    return {link.name for link in Path("/sys/class/net").iterdir()}


def _check_nothing_left(cluster: Cluster, links: set[str]) -> None:
    left = cluster.leftovers()
    left += [f"link {name}" for name in _links() - links]
    _expect(not left, f"nothing of the cluster is left: {left}")


def _servers(models: Path) -> list[dict[str, Any]]:
    labels = {"app": "counting"}
    container = {
        "name": "server",
        "image": "genset.local/llama.cpp:b11669",
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "-m",
            "/models/counting.gguf",
            "--host",
            "0.0.0.0",
            "--port",
            "8080",
            "-c",
            "4096",
            "-np",
            "2",
            "-t",
            "1",
            "--no-warmup",
        ],
        "ports": [{"containerPort": 8080, "name": "http"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": NON_ROOT,
        "containers": [container],
        "volumes": [{"name": "models", "hostPath": {"path": str(models)}}, {"name": "tmp", "emptyDir": {}}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "counting", "namespace": NAMESPACE},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "counting", "namespace": NAMESPACE},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    headless = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "counting-pods", "namespace": NAMESPACE},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 8080}]},
    }
    return [deployment, service, headless]


def _writer(name: str, storage_class: str | None, size: str) -> list[dict[str, Any]]:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }
    container = {
        "name": "writer",
        "image": "genset.local/llama.cpp:b11669",
        "command": ["dd", "if=/dev/zero", "of=/volume/file", "bs=1M", "count=20"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": NON_ROOT,
        "containers": [container],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": name}}],
    }
    return [
        claim,
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec},
    ]


def _exit_code(cluster: Cluster, pod: str) -> int | None:
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    found = cluster.kubectl("-n", NAMESPACE, "get", "pod", pod, "-o", path)
    return int(found) if found else None


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        content: dict[str, Any] = json.loads(answer.read())
        return content


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise SmokeFailed(f"Not kept: {promise}")
