"""Reads an installation with the rights of whoever asks."""

from __future__ import annotations

import json

from genset import kinds, names
from genset.doctor.findings import Installation, Read
from genset.kubectl import KubectlError, kubectl


def read(context: str | None) -> Installation:
    """Reads what there is. Raises KubectlError if the cluster does not answer at all."""
    missing = "an installation is read from its cluster: install kubectl"

    def asked(*arguments: str) -> bytes:
        return kubectl(*arguments, missing=missing, what=f"kubectl {' '.join(arguments[:2])}", context=context)

    def listed(*arguments: str) -> Read:
        try:
            return list(json.loads(asked("get", *arguments, "-o", "json"))["items"])
        except KubectlError as problem:
            return [] if "doesn't have a resource type" in str(problem) else str(problem)

    def of_the_chart(component: str) -> Read:
        chosen = f"{names.LABEL_NAME}=genset,{names.LABEL_COMPONENT}={component}"
        return listed("deployments", "--all-namespaces", "-l", chosen)

    own = [f"{kind.plural}.{names.GROUP}" for kind in (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY)]
    version = json.loads(asked("version", "-o", "json")).get("serverVersion") or {}
    definitions = listed("customresourcedefinitions.apiextensions.k8s.io")
    if not isinstance(definitions, str):
        definitions = [one for one in definitions if one["metadata"]["name"] in own]
    return Installation(
        version=str(version.get("gitVersion", "")),
        definitions=definitions,
        operators=of_the_chart("operator"),
        leases=listed("leases.coordination.k8s.io", "--all-namespaces"),
        ledgers=of_the_chart("ledger"),
        namespaces=listed("namespaces"),
        resources=listed(",".join(own), "--all-namespaces"),
        storage_classes=listed("storageclasses.storage.k8s.io"),
        nodes=listed("nodes"),
    )
