"""A podTemplate is a user's part of a pod that genset makes: fields that are merged over its own, and those to leave out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genset.api.base import ApiModel, Fragment

#: `spec`, then `.FIELD` or `.FIELD[KEY]`, once or more.
REMOVED_PATH = r"^spec(\.[A-Za-z][A-Za-z0-9]*(\[[^\[\]]+\])?)+$"

RemovedPath = Annotated[
    str,
    Field(pattern=REMOVED_PATH, max_length=512, examples=["spec.containers[engine].resources.limits[nvidia.com/gpu]"]),
]


class PodTemplateMetadata(ApiModel):
    """Labels and annotations added to the pods."""

    labels: dict[str, str] = Field(default_factory=dict, description="Labels; genset's own win.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations; genset's own win.")


class PodTemplate(ApiModel):
    """Escape hatch: merged last over the pod that genset makes, lists by their Kubernetes merge keys."""

    metadata: PodTemplateMetadata = Field(
        default_factory=PodTemplateMetadata, description="Labels and annotations of the pods."
    )
    remove: list[RemovedPath] = Field(
        default_factory=list,
        max_length=64,
        description="Fields that genset sets and that the pods are to be without; they go before spec is merged. A path is "
        "spec, then .FIELD or .FIELD[KEY] for each step. KEY is the name of a container, volume or variable, the mountPath "
        "of a mount, the containerPort of a port, the key of a toleration, or an entry of a map, e.g. "
        "spec.securityContext.runAsUser or spec.containers[engine].resources.limits[nvidia.com/gpu]. A path that names "
        "nothing is refused in a condition.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    spec: Fragment = Field(
        default_factory=dict,
        description="Part of a PodSpec: nodeSelector, tolerations, affinity, topologySpreadConstraints, priorityClassName, "
        "runtimeClassName, imagePullSecrets, env and resources of genset's own containers; everything else needs the "
        "operator's setting podTemplate: Full, and is refused in a condition without it. The API server checks it when the "
        "Deployment is applied; what it refuses shows in the Accepted condition. null cannot take a field away, because "
        "kubectl apply drops it: see remove.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
