"""What the operator's account may do, asked of a real API server with the chart's own roles and admission policy.

Both are applied as Helm renders them, and requests are made in the name of the operator's ServiceAccount: whoever took
over its token could do the same, and no more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from genset import names
from testbed.cluster.controlplane import ControlPlane
from tests.chart.conftest import render

Object = dict[str, Any]
ACCOUNT = "system:serviceaccount:genset-system:genset-operator"
AS = (f"--as={ACCOUNT}", "--as-group=system:serviceaccounts", "--as-group=system:authenticated")
ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """A site is an API server on which the chart is installed, cluster-wide."""

    plane: ControlPlane
    owner: Object  # a ModelDeployment of a managed namespace

    account: tuple[str, ...] = AS

    def tries(self, *command: str, item: Object | None = None) -> str:
        """Does it in the operator's name. Returns why it was refused; "" if it was not."""
        text = yaml.safe_dump(item) if item is not None else None
        try:
            self.plane.kubectl(*command, *self.account, stdin=text)
        except RuntimeError as refused:
            return str(refused)
        return ""

    def creates(self, item: Object) -> str:
        return self.tries("create", "-f", "-", item=item)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ControlPlane(tmp_path_factory.mktemp("rights"), audit_log=False) as plane:
        for namespace, labels in (
            ("genset-system", {}),
            ("models", {names.LABEL_MANAGED_NAMESPACE: "true"}),
            ("others", {}),
            ("denied", {names.LABEL_MANAGED_NAMESPACE: "false"}),
        ):
            metadata = {"name": namespace, "labels": labels}
            plane.kubectl(
                "apply", "-f", "-", stdin=yaml.safe_dump(manifest("v1", "Namespace", "", "", metadata=metadata))
            )
        plane.kubectl("label", "namespace", "kube-system", f"{names.LABEL_MANAGED_NAMESPACE}=true", "--overwrite")
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(render()))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        made = {}
        for namespace in ("models", "others", "kube-system"):
            source = {"huggingFace": {"repo": "a/b"}}
            model = manifest("genset.dev/v1alpha1", "ModelDeployment", namespace, "m", spec={"source": source})
            plane.kubectl("create", "-f", "-", stdin=yaml.safe_dump(model))
            secret = manifest("v1", "Secret", namespace, "theirs", stringData={"key": "sk-1"})
            pod = manifest("v1", "Pod", namespace, "theirs", spec={"containers": [{"name": "c", "image": "i"}]})
            account = manifest("v1", "ServiceAccount", namespace, "default")
            plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([secret, account, pod]))
            found = plane.kubectl("-n", namespace, "get", "mdep", "m", "-o", "yaml")
            made[namespace] = yaml.safe_load(found)
        running = Site(plane, made["models"])
        _until_enforced(running)
        yield running


def _until_enforced(site: Site) -> None:
    """An API server takes a policy up some tenths of a second after it is stored."""
    deadline = time.monotonic() + 20
    while "genset.dev/managed" not in site.creates(config_map(site, "others", "probe")):
        with contextlib.suppress(RuntimeError):
            site.plane.kubectl("-n", "others", "delete", "configmap", "probe")
        assert time.monotonic() < deadline, "the admission policy does not act"


def manifest(version: str, kind: str, namespace: str, name: str, **content: Any) -> Object:
    metadata = content.pop("metadata", {"name": name, "namespace": namespace})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def owned(site: Site, namespace: str, name: str, **more: Any) -> Object:
    """Metadata as the operator writes them."""
    reference = {
        "apiVersion": "genset.dev/v1alpha1", "kind": "ModelDeployment", "name": "m",
        "uid": site.owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    labels = {"app.kubernetes.io/managed-by": "genset"}
    return {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [reference], **more}


def config_map(site: Site, namespace: str, name: str) -> Object:
    return manifest("v1", "ConfigMap", namespace, name, metadata=owned(site, namespace, name), data={"a": "b"})


def role_binding(namespace: str, role: str) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subjects = [{"kind": "ServiceAccount", "name": "genset-operator", "namespace": "genset-system"}]
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return manifest(
        "rbac.authorization.k8s.io/v1", kind, namespace, "mine", roleRef=reference, subjects=subjects
    )  # fmt: skip


def pod_spec(**more: Any) -> Object:
    return {"containers": [{"name": "c", "image": "i"}], **more}


WEBHOOK = {
    "name": "x.genset.dev", "sideEffects": "None", "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://example.com/x"}, "rules": [],
}  # fmt: skip

#: What the account must not be able to do: name, command, and what is sent.
COMMANDS: dict[str, tuple[str, ...]] = {
    "list Secrets of the cluster": ("get", "secrets", "-A"),
    "list Secrets of a managed namespace": ("-n", "models", "get", "secrets"),
    "list Secrets of Kubernetes": ("-n", "kube-system", "get", "secrets"),
    "delete a Secret": ("-n", "models", "delete", "secret", "theirs"),
    "delete a pod": ("-n", "models", "delete", "pod", "theirs"),
    "run a command in a pod": ("create", "--raw", "/api/v1/namespaces/models/pods/theirs/exec?command=true", "-f", "/dev/null"),
    "attach to a pod": ("-n", "models", "attach", "theirs"),
    "read a pod's log": ("-n", "models", "logs", "theirs"),
    "make a token of its own": ("-n", "genset-system", "create", "token", "genset-operator"),
    "make a token of another account": ("-n", "models", "create", "token", "default"),
    "read nodes": ("get", "nodes"),
    "proxy through the API server to a node": ("get", "--raw", "/api/v1/nodes/n/proxy/metrics"),
    "proxy through the API server to a pod": ("get", "--raw", "/api/v1/namespaces/models/pods/theirs/proxy/"),
    "proxy through the API server to a Service": ("get", "--raw", "/api/v1/namespaces/models/services/s/proxy/"),
    "label a namespace as managed": ("label", "namespace", "others", "genset.dev/managed=true"),
    "read roles": ("-n", "models", "get", "roles"),
    "change a resource's spec": (
        "-n", "models", "patch", "mdep", "m", "--type=merge", "-p", '{"spec": {"replicas": 2}}',
    ),
    "delete a resource": ("-n", "models", "delete", "mdep", "m"),
    "delete its own bounds": ("delete", "validatingadmissionpolicybinding", "--all"),
    "take over a pod's owner": (
        "-n", "models", "patch", "pod", "theirs", "--type=merge", "-p", '{"metadata": {"labels": {"a": "b"}}}',
    ),
    "overwrite a user's Secret": (
        "-n", "models", "patch", "secret", "theirs", "--type=merge", "-p", '{"stringData": {"key": "x"}}',
    ),
    "change a Secret of Kubernetes": (
        "-n", "kube-system", "patch", "secret", "theirs", "--type=merge", "-p", '{"stringData": {"key": "x"}}',
    ),
    "overwrite a user's ServiceAccount": (
        "-n", "models", "patch", "serviceaccount", "default", "--type=merge", "-p", '{"automountServiceAccountToken": true}',
    ),
    "change definitions": (
        "patch", "crd", "modeldeployments.genset.dev", "--type=merge", "-p", '{"metadata": {"labels": {"a": "b"}}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_it_cannot(site: Site, command: tuple[str, ...]) -> None:
    refused = site.tries(*command)
    assert "orbidden" in refused or "cannot" in refused, refused or "it was done"


def objects(site: Site) -> dict[str, Object]:
    """Objects that the account must not be able to create, and why one could want to."""
    apps, rbac, admission = "apps/v1", "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"
    token = {"kubernetes.io/service-account.name": "default"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod_spec(serviceAccountName="default")}
    workload = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {
        "a pod": manifest("v1", "Pod", "models", "x", metadata=owned(site, "models", "x"), spec=pod_spec()),
        "a Secret that gets a token": manifest(
            "v1", "Secret", "models", "x-router-credentials", type="kubernetes.io/service-account-token",
            metadata=owned(site, "models", "x-router-credentials", annotations=token),
        ),
        "a Secret of another name": manifest(
            "v1", "Secret", "models", "x", metadata=owned(site, "models", "x"), stringData={"a": "b"}
        ),
        "a Deployment that belongs to nobody": manifest(apps, "Deployment", "models", "x", spec=workload),
        "a Deployment elsewhere": manifest(
            apps, "Deployment", "others", "x", metadata=owned(site, "others", "x"), spec=workload
        ),
        "a Deployment in a namespace that says no": manifest(
            apps, "Deployment", "denied", "x", metadata=owned(site, "denied", "x"), spec=workload
        ),
        "a Deployment of Kubernetes": manifest(
            apps, "Deployment", "kube-system", "x", metadata=owned(site, "kube-system", "x"), spec=workload
        ),
        "a ConfigMap in its own namespace": config_map(site, "genset-system", "x"),
        "a ConfigMap in kube-public": config_map(site, "kube-public", "x"),
        "a Lease of another namespace": manifest("coordination.k8s.io/v1", "Lease", "kube-node-lease", "x"),
        "a DaemonSet": manifest(apps, "DaemonSet", "models", "x", spec=workload),
        "a Job": manifest("batch/v1", "Job", "models", "x", spec={"template": {"spec": pod_spec(restartPolicy="Never")}}),
        "a role": manifest(rbac, "Role", "models", "x", rules=[]),
        "a cluster role": manifest(rbac, "ClusterRole", "", "x", rules=[]),
        "a binding to edit": role_binding("models", "edit"),
        "a binding to cluster-admin": role_binding("", "cluster-admin"),
        "a mutating webhook": manifest(admission, "MutatingWebhookConfiguration", "", "x", webhooks=[WEBHOOK]),
        "a validating webhook": manifest(admission, "ValidatingWebhookConfiguration", "", "x", webhooks=[WEBHOOK]),
        "an admission policy": manifest(admission, "ValidatingAdmissionPolicyBinding", "", "x", spec={"policyName": "y"}),
        "a namespace": manifest("v1", "Namespace", "", "x"),
        "a persistent volume": manifest("v1", "PersistentVolume", "", "x", spec={}),
        "a certificate request": manifest("certificates.k8s.io/v1", "CertificateSigningRequest", "", "x", spec={}),
    }  # fmt: skip


def test_it_cannot_create(site: Site) -> None:
    tried = objects(site)
    assert len(tried) + len(COMMANDS) >= 40
    for name, item in tried.items():
        refused = site.creates(item)
        assert "orbidden" in refused, f"{name}: {refused or 'it was done'}"


def test_it_cannot_act_for_others(site: Site) -> None:
    """Impersonation is asked for by its review, because kubectl itself has only one name to act in."""
    for what in ("users", "groups", "serviceaccounts"):
        assert "no" in site.tries("auth", "can-i", "impersonate", what), what


def test_what_it_needs_works_in_a_managed_namespace(site: Site) -> None:
    assert site.creates(config_map(site, "models", "x-router-config")) == ""
    assert site.tries("-n", "models", "delete", "configmap", "x-router-config") == ""
    name = "x-router-credentials"
    secret = manifest("v1", "Secret", "models", name, type="Opaque", metadata=owned(site, "models", name))
    assert site.creates(secret) == ""
    assert site.tries("-n", "models", "get", "secret", "theirs") == "", "a key that a resource names"
    lease = manifest("coordination.k8s.io/v1", "Lease", "genset-system", "genset-operator")
    assert site.creates(lease) == ""
    pod = manifest("v1", "Pod", "models", "ours", metadata=owned(site, "models", "ours"), spec=pod_spec())
    site.plane.kubectl("create", "-f", "-", stdin=yaml.safe_dump(pod))
    assert site.tries("-n", "models", "label", "pod", "ours", "genset.dev/downloading=true") == ""
    changed = '{"spec": {"containers": [{"name": "c", "image": "evil"}]}}'
    assert "labels and annotations" in site.tries("-n", "models", "patch", "pod", "ours", "-p", changed)


@pytest.mark.parametrize("namespace", ["models", "others", "kube-system"])
def test_it_tells_wherever_a_resource_is(site: Site, namespace: str) -> None:
    status = manifest("genset.dev/v1alpha1", "ModelDeployment", namespace, "m", status={"observedGeneration": 1})
    assert site.tries("apply", "--server-side", "--subresource=status", "-f", "-", item=status) == ""


@pytest.fixture(scope="module")
def tenant(site: Site) -> Site:
    """A second release, which serves `models` alone and needs no right of the cluster."""
    objects = render({"watchNamespaces": ["models"], "crds": {"enabled": False}}, release="tenant")
    site.plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
    account = "system:serviceaccount:genset-system:tenant-genset-operator"
    return Site(site.plane, site.owner, (f"--as={account}", *AS[1:]))


ELSEWHERE: dict[str, tuple[str, ...]] = {
    "list namespaces": ("get", "namespaces"),
    "read a Secret of another namespace": ("-n", "others", "get", "secret", "theirs"),
    "read a Secret of Kubernetes": ("-n", "kube-system", "get", "secret", "theirs"),
    "read a Secret of its own namespace": ("-n", "genset-system", "get", "secret", "x"),
    "list pods of another namespace": ("-n", "others", "get", "pods"),
    "list resources of the cluster": ("get", "mdep", "-A"),
    "read a resource of another namespace": ("-n", "others", "get", "mdep", "m"),
    "read the Lease of another release": ("-n", "genset-system", "get", "lease", "genset-operator"),
}


#: What RBAC alone cannot tell from what it needs, in the namespaces that it serves; docs/security.md says so.
IN_ITS_NAMESPACE = {
    "take over a pod's owner", "overwrite a user's Secret", "overwrite a user's ServiceAccount",
}  # fmt: skip
NAMESPACED = {**ELSEWHERE, **{name: command for name, command in COMMANDS.items() if name not in IN_ITS_NAMESPACE}}


@pytest.mark.parametrize("command", NAMESPACED.values(), ids=NAMESPACED)
def test_a_namespaced_operator_cannot(tenant: Site, command: tuple[str, ...]) -> None:
    refused = tenant.tries(*command)
    assert "orbidden" in refused or "cannot" in refused, refused or "it was done"


def test_a_namespaced_operator_works_in_its_namespace_and_writes_nowhere_else(tenant: Site) -> None:
    assert tenant.creates(config_map(tenant, "models", "tenants")) == ""
    assert tenant.tries("-n", "models", "delete", "configmap", "tenants") == ""
    assert tenant.tries("-n", "models", "get", "secret", "theirs") == ""
    for namespace in ("others", "kube-system", "genset-system", "denied"):
        assert "cannot create resource" in tenant.creates(config_map(tenant, namespace, "tenants"))


def test_a_refusal_says_what_to_do(site: Site) -> None:
    refused = site.creates(config_map(site, "others", "x"))
    assert "kubectl label namespace others genset.dev/managed=true" in refused
