"""The operator is tested with exactly the rights that the chart grants, and no more.

A verb that the code needs and the chart forgets fails here with 403.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from genset.desired import CHILD_KINDS
from testbed.cluster import tools

USER = "genset-operator"

_LISTED = ["get", "list", "watch", "create", "patch", "delete"]
_BY_NAME = ["get", "create", "patch"]
#: Follow from the declarations of the builders, so that a further kind of child asks the chart for its verbs.
_CHILDREN = [
    {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": _LISTED if kind.listed else _BY_NAME}
    for kind in CHILD_KINDS
]
RULES: list[dict[str, Any]] = [
    {
        "apiGroups": ["genset.dev"],
        "resources": ["modeldeployments", "routepolicies"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": ["genset.dev"],
        "resources": ["modeldeployments/status", "routepolicies/status"],
        "verbs": ["patch"],
    },
    # Owner references with blockOwnerDeletion need it if OwnerReferencesPermissionEnforcement is on.
    {
        "apiGroups": ["genset.dev"],
        "resources": ["modeldeployments/finalizers", "routepolicies/finalizers"],
        "verbs": ["update"],
    },
    *_CHILDREN,
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]
#: A cluster-wide operator looks at all namespaces at once.
CLUSTER_RULES: list[dict[str, Any]] = [*RULES, {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}]
LEASE_RULES: list[dict[str, Any]] = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "delete"]},
]


#: Of the ledger's key, in the operator's namespace, if the chart makes a ledger.
LEDGER_RULES: list[dict[str, Any]] = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create"]}]


def admission(chart: Path, *values: str) -> list[dict[str, Any]]:
    """Returns the chart's own bounds of what a cluster-wide operator writes, for the tests' operator user."""
    account = "system:serviceaccount:genset-system:genset-operator"
    command = [
        "template",
        "genset",
        str(chart),
        "--namespace",
        "genset-system",
        "--show-only",
        "templates/admission.yaml",
        "--set",
        ",".join(("ledger.enabled=true", *values)),  # a ledger permits the one thing more
    ]
    done = subprocess.run([str(tools.ensure("helm")["helm"]), *command], capture_output=True, text=True, check=True)
    assert account in done.stdout
    return list(yaml.safe_load_all(done.stdout.replace(account, USER)))


def objects(namespace: str) -> list[dict[str, Any]]:
    """Returns ClusterRole, and Role for the Lease in the operator's namespace, bound to the tests' operator user."""
    subject = {"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}
    group = "rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "name": USER}
    return [
        {"apiVersion": group, "kind": "ClusterRole", "metadata": {"name": USER}, "rules": CLUSTER_RULES},
        {
            "apiVersion": group,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": USER},
            "roleRef": {**reference, "kind": "ClusterRole"},
            "subjects": [subject],
        },
        {
            "apiVersion": group,
            "kind": "Role",
            "metadata": {"name": USER, "namespace": namespace},
            "rules": LEASE_RULES,
        },
        {
            "apiVersion": group,
            "kind": "RoleBinding",
            "metadata": {"name": USER, "namespace": namespace},
            "roleRef": {**reference, "kind": "Role"},
            "subjects": [subject],
        },
        {
            "apiVersion": group,
            "kind": "Role",
            "metadata": {"name": f"{USER}-ledger", "namespace": namespace},
            "rules": LEDGER_RULES,
        },
        {
            "apiVersion": group,
            "kind": "RoleBinding",
            "metadata": {"name": f"{USER}-ledger", "namespace": namespace},
            "roleRef": {**reference, "kind": "Role", "name": f"{USER}-ledger"},
            "subjects": [subject],
        },
    ]


def preset_objects() -> list[dict[str, Any]]:
    """Returns what the chart grants for the preset, in all namespaces, because each test has one of its own."""
    rules = [
        {"apiGroups": ["genset.dev"], "resources": ["modeldeployments", "routepolicies"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
    ]
    group, name = "rbac.authorization.k8s.io", f"{USER}-preset"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": USER, "apiGroup": group}],
        },
    ]
