"""Where a child's field comes from: the field of the resource that a person has to change. Pure."""

from __future__ import annotations

import re

from genset import names

#: (kind of the owner, kind of the child, beginning of the child's path, the resource's own path)
_ORIGINS = (
    (names.MODEL_DEPLOYMENT, "Deployment", "spec.template.", "spec.podTemplate."),
    (names.MODEL_DEPLOYMENT, "Deployment", "spec.replicas", "spec.replicas"),
    (names.MODEL_DEPLOYMENT, "PersistentVolumeClaim", "spec.resources.requests.storage", "spec.cache.size"),
    (names.MODEL_DEPLOYMENT, "PersistentVolumeClaim", "spec.storageClassName", "spec.cache.storageClassName"),
    (names.MODEL_DEPLOYMENT, "PersistentVolumeClaim", "spec.accessModes", "spec.cache.accessMode"),
    (names.ROUTE_POLICY, "NetworkPolicy", "spec.ingress[0].from", "spec.router.allowedClients"),
    (names.ROUTE_POLICY, "Service", "metadata.annotations", "spec.router.service.annotations"),
    (names.ROUTE_POLICY, "Service", "spec.", "spec.router.service."),
    (names.ROUTE_POLICY, "Deployment", "spec.replicas", "spec.router.replicas"),
    (names.ROUTE_POLICY, "Deployment", "spec.template.", "spec.router.podTemplate."),
)
#: What the API server says of a field that does not fit its schema (sigs.k8s.io/structured-merge-diff, typed/validate.go).
_MISFIT = re.compile(r"\.([A-Za-z][^\s:]*): (field not declared in schema|expected [^\n;]*)")
#: A path in what the API server says otherwise, e.g. `spec.template.spec.tolerations[0].effect: Unsupported value`.
_PATH = re.compile(r"\bspec\.[A-Za-z][A-Za-z0-9_.\[\]\"=/-]*[A-Za-z0-9\]]")


def field_of(owner_kind: str, child_kind: str, path: str) -> str:
    """Returns the resource's field behind a child's; the child's own path where none is known."""
    for owner, child, beginning, own in _ORIGINS:
        if (owner, child) == (owner_kind, child_kind) and path.startswith(beginning):
            return own + path[len(beginning) :]
    return path


def misfits(owner_kind: str, child_kind: str, message: str) -> list[tuple[str, str]]:
    """Returns the resource's fields that do not fit the schema, each with the reason, from the API server's message."""
    return [
        (field_of(owner_kind, child_kind, path), "no such field" if why.startswith("field not") else why)
        for path, why in _MISFIT.findall(message)
    ]


def in_words_of(owner_kind: str, child_kind: str, message: str) -> str:
    """Returns what the API server has said, with the resource's fields in the place of the child's."""
    return _PATH.sub(lambda found: field_of(owner_kind, child_kind, found.group()), message)
