"""A namespace of OpenShift on any API server: its annotations, and an admission policy that does what restricted-v2 does."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from genset import kinds
from genset.kinds import Kind
from genset.kube.client import ApiError
from testbed.cluster import tools
from tests.support.integration.world import World

Object = dict[str, Any]
_POLICY = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
_BINDING = Kind(
    "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"
)
RANGE = "1000680000/10000"
_CONTEXTS = (
    "([object.spec] + object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []))"
    ".filter(c, has(c.securityContext)).map(c, c.securityContext)"
)
_CONTAINERS = "(object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []))"
_FIRST = "int(namespaceObject.metadata.annotations['openshift.io/sa.scc.uid-range'].split('/')[0])"
_COUNT = "int(namespaceObject.metadata.annotations['openshift.io/sa.scc.uid-range'].split('/')[1])"
#: What the security context constraint restricted-v2 refuses of a pod (OpenShift's documentation of SCCs).
RESTRICTED_V2 = {
    "runAsUser is not in the range of the namespace": (
        "(!has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser) || "
        f"(object.spec.securityContext.runAsUser >= {_FIRST} && object.spec.securityContext.runAsUser < {_FIRST} + {_COUNT})) && "
        f"{_CONTAINERS}.all(c, !has(c.securityContext) || !has(c.securityContext.runAsUser) || "
        f"(c.securityContext.runAsUser >= {_FIRST} && c.securityContext.runAsUser < {_FIRST} + {_COUNT}))"
    ),
    "fsGroup is not the namespace's": (
        "!has(object.spec.securityContext) || !has(object.spec.securityContext.fsGroup) || "
        f"object.spec.securityContext.fsGroup == {_FIRST}"
    ),
    "seccomp is not RuntimeDefault": (
        "!has(object.spec.securityContext) || !has(object.spec.securityContext.seccompProfile) || "
        "object.spec.securityContext.seccompProfile.type == 'RuntimeDefault'"
    ),
    "capabilities": (
        f"{_CONTAINERS}.all(c, has(c.securityContext) && has(c.securityContext.capabilities) && "
        "!has(c.securityContext.capabilities.add) && c.securityContext.capabilities.drop == ['ALL'])"
    ),
    "privilege": (
        f"{_CONTAINERS}.all(c, (!has(c.securityContext.privileged) || !c.securityContext.privileged) && "
        "has(c.securityContext.allowPrivilegeEscalation) && !c.securityContext.allowPrivilegeEscalation)"
    ),
    "host": (
        "(!has(object.spec.hostNetwork) || !object.spec.hostNetwork) && (!has(object.spec.hostPID) || !object.spec.hostPID) && "
        f"{_CONTAINERS}.all(c, !has(c.ports) || c.ports.all(p, !has(p.hostPort)))"
    ),
    "volumes": (
        "!has(object.spec.volumes) || object.spec.volumes.all(v, has(v.configMap) || has(v.csi) || has(v.downwardAPI) || "
        "has(v.emptyDir) || has(v.ephemeral) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret))"
    ),
}


@asynccontextmanager
async def restricted_v2(world: World) -> AsyncIterator[None]:
    """Makes the API server refuse, in this namespace, the pods that OpenShift would refuse."""
    where = {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    policy = {
        "apiVersion": _POLICY.api_version,
        "kind": _POLICY.kind,
        "metadata": {"name": world.namespace},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": where},
            "validations": [
                {"expression": expression, "message": f"restricted-v2: {message}"}
                for message, expression in RESTRICTED_V2.items()
            ],
        },
    }
    binding = {
        "apiVersion": _BINDING.api_version,
        "kind": _BINDING.kind,
        "metadata": {"name": world.namespace},
        "spec": {"policyName": world.namespace, "validationActions": ["Deny"]},
    }
    await world.api.request("POST", _POLICY.path(), body=policy)
    await world.api.request("POST", _BINDING.path(), body=binding)
    try:
        wrong = pod("probe", {"containers": [{"name": "c", "image": "i", "securityContext": {"runAsUser": 1}}]})

        async def refuses() -> bool:
            try:
                await create(world, wrong)
            except ApiError as error:
                return "restricted-v2" in error.message
            return False

        await world.until("the policy is in force", refuses)
        yield
    finally:
        await world.api.request("DELETE", f"{_BINDING.path()}/{world.namespace}")
        await world.api.request("DELETE", f"{_POLICY.path()}/{world.namespace}")


def pod(name: str, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


async def create(world: World, item: Object) -> None:
    await world.api.request("POST", kinds.POD.path(world.namespace), query={"dryRun": "All"}, body=item)


async def make_project(world: World) -> None:
    """Gives the namespace the annotations that OpenShift gives to a project."""
    annotations = {
        "openshift.io/sa.scc.uid-range": RANGE, "openshift.io/sa.scc.supplemental-groups": RANGE,
        "openshift.io/sa.scc.mcs": "s0:c26,c15",
    }  # fmt: skip
    await world.api.request(
        "PATCH",
        kinds.NAMESPACE.path(name=world.namespace),
        body={"metadata": {"annotations": annotations}},
        headers={"Content-Type": "application/merge-patch+json"},
    )


def operator_pod() -> Object:
    """Returns the pod of the operator as the chart makes it by default."""
    chart = Path(__file__).parents[3] / "charts" / "genset"
    command = [
        str(tools.ensure("helm")["helm"]),
        "template",
        "genset",
        str(chart),
        "--show-only",
        "templates/deployment.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spec: Object = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]
    return spec
