"""Where a child's field comes from: the field of the resource that a person has to change. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genset import names
from genset.desired.merge_keys import NAMED

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
_ELEMENT = re.compile(r"([A-Za-z]+)\[(\d+)\]")
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


def in_words_of(owner_kind: str, child: Mapping[str, Any], message: str) -> str:
    """Returns what the API server has said of a child, with the resource's fields in the place of the child's.

    An element of a list has another place there than in the resource, so it is named by its key if it has one.
    """
    kind = child["kind"]
    return _PATH.sub(lambda found: field_of(owner_kind, kind, _by_keys(found.group(), child)), message)


def _by_keys(path: str, child: Mapping[str, Any]) -> str:
    here: Any = child
    shown: list[str] = []
    for step in path.split("."):
        name, index = found.groups() if (found := _ELEMENT.fullmatch(step)) else (step, None)
        here = here.get(name) if isinstance(here, Mapping) else None
        if index is not None:
            here = here[int(index)] if isinstance(here, list) and int(index) < len(here) else None
            key = here.get(NAMED.get(name, "")) if isinstance(here, Mapping) else None
            step = f"{name}[{key}]" if key else step
        shown.append(step)
    return ".".join(shown)
