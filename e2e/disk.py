"""A disk of the node with models on it, as somebody has carried it in: a PersistentVolume, and the claim for it."""

from __future__ import annotations

from pathlib import Path

from testbed.house import Object

_CAPACITY = {"storage": "1Gi"}


def claimed(folder: Path, namespace: str, claim: str) -> list[Object]:
    """Makes a folder of the node a claim of a namespace, which several pods may mount, and lets everybody read it."""
    for path in (folder, *folder.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o055)
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = f"{namespace}-{claim}"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **common,
                "capacity": _CAPACITY,
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": namespace, "name": claim},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": claim},
            "spec": {**common, "resources": {"requests": _CAPACITY}, "volumeName": volume},
        },
    ]


def on_claim(claim: str, path: str) -> Object:
    """Returns a source on a claim."""
    return {"pvc": {"claimName": claim, "path": path}}
