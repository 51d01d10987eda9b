"""These are the keys by which Kubernetes tells the elements of a pod's lists apart.

Source: k8s.io/api core/v1 types.go, patchMergeKey.
"""

from __future__ import annotations

from collections.abc import Mapping

MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "claims": "name",
    "schedulingGates": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
#: With lists that Kubernetes replaces as a whole, and whose elements have a name all the same.
NAMED: Mapping[str, str] = {**MERGE_KEYS, "tolerations": "key"}
