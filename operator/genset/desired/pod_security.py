"""Pods run as nobody in particular: under the *restricted* Pod Security Standard, or as whom their namespace says.

A namespace of OpenShift has a range of user ids of its own, and its policy (restricted-v2) refuses every other; it also
fills in what a pod leaves out. Elsewhere the ids must be said: images of engines are made for root, and volumes and Secrets
are read by the pod's group.
"""

from __future__ import annotations

from genset import names
from genset.desired.context import Settings
from genset.engines.base import Object, RunAs

TMP: Object = {"name": "tmp", "mountPath": "/tmp"}  # the one folder that containers may write to
CLOSED: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
IDS = ("runAsUser", "runAsGroup", "fsGroup")


def pod_security(settings: Settings, run_as: RunAs | None = None) -> Object:
    """Returns the security context of a pod; `run_as`: whom its programs were made for, if not for everybody."""
    own = run_as or RunAs()
    ids = {} if settings.place.assigned_ids else dict(zip(IDS, (own.user, own.group, names.RUN_AS_USER), strict=True))
    return {"runAsNonRoot": True, **ids, "seccompProfile": {"type": "RuntimeDefault"}}
