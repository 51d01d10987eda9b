"""Nodes and pods that only pretend to run, beside a control plane alone: kwok keeps their leases and tells of their pods.

What decides (scheduler, controllers, API server) is real; no container is started. Stages are our own: a pod that has a node is
Running and Ready at once, its init containers have ended, with last words if they are given.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from testbed.cluster import tools
from testbed.cluster.controlplane import ControlPlane
from testbed.cluster.ports import free_ports

Object = dict[str, Any]
ANNOTATION = "kwok.x-k8s.io/node"
_AT_ONCE = 50  # nodes in one call of kubectl
_STAGES = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
      - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      {{ range NodeConditions }}
      - lastHeartbeatTime: {{ $now | Quote }}
        lastTransitionTime: {{ $now | Quote }}
        message: {{ .message | Quote }}
        reason: {{ .reason | Quote }}
        status: {{ .status | Quote }}
        type: {{ .type | Quote }}
      {{ end }}
      phase: Running
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
      - {key: .status.phase, operator: In, values: [Pending]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Initialized}
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: PodReadyToStartContainers}
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: ContainersReady}
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Ready}
      initContainerStatuses:
      {{ range .spec.initContainers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        restartCount: 0
        state:
          terminated:
            exitCode: 0
            reason: Completed
            startedAt: {{ $now | Quote }}
            finishedAt: {{ $now | Quote }}
            message: WORDS
      {{ end }}
      containerStatuses:
      {{ range .spec.containers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        started: true
        restartCount: 0
        state:
          running:
            startedAt: {{ $now | Quote }}
      {{ end }}
      {{ with PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace }}
      podIP: {{ index . 0 | Quote }}
      podIPs:
      {{ range . }}
      - ip: {{ . | Quote }}
      {{ end }}
      {{ end }}
      phase: Running
      startTime: {{ $now | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-delete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
      - {key: .metadata.deletionTimestamp, operator: Exists}
  next: {delete: true}
"""


def node(name: str, *, labels: Mapping[str, str] | None = None, taint: str = "", **allocatable: str) -> Object:
    """Makes a node. `taint`: the key of one that keeps pods away; `allocatable`: with _ for what no keyword can say."""
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti", **allocatable}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                **(labels or {}),
            },
        },
        "spec": {"taints": [{"key": taint, "value": "present", "effect": "NoSchedule"}]} if taint else {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
        },
    }


class Kwok:
    """A kwok process for one control plane, from the begin of its block to the end.

    `network`: the addresses that pods get, e.g. of the loopback; `last_words`: what init containers have left.
    """

    def __init__(self, plane: ControlPlane, *, network: str = "10.245.0.0/16", last_words: str = "") -> None:
        self._plane = plane
        self._network = network
        self._stages = _STAGES.replace("WORDS", json.dumps(last_words))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = tools.ensure("kwok")["kwok"]
        stages = self._plane.folder / "stages.yaml"
        stages.write_text(self._stages)
        command = [
            str(program), "--kubeconfig", str(self._plane.kubeconfig), "--config", str(stages),
            "--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
            "--cidr", self._network, "--node-lease-duration-seconds", "40", "--server-address", f"127.0.0.1:{free_ports(1)[0]}",
        ]  # fmt: skip
        with (self._plane.folder / "log" / "kwok.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def add(self, nodes: Iterable[Object]) -> None:
        """Adds nodes that are ready at once. Their allocatable amounts are status, which takes a second request."""
        every = list(nodes)
        for at in range(0, len(every), _AT_ONCE):
            items = {"apiVersion": "v1", "kind": "List", "items": every[at : at + _AT_ONCE]}
            for subresource in ((), ("--subresource=status",)):
                self._plane.kubectl(
                    "apply", "--server-side", "--force-conflicts", *subresource, "-f", "-", stdin=json.dumps(items)
                )
