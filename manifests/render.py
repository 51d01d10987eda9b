"""Writes manifests/install.yaml from the chart: `python manifests/render.py [FILE]`. For people without Helm.

What it does beyond `helm template`: the namespace in front, with the Pod Security level that the operator's pods meet,
and no marks of Helm, which will never see these objects again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from genset.cli.crds import Dumper
from testbed.cluster import tools

HERE = Path(__file__).parent
NAMESPACE = "genset-system"
_HEADER = """\
# Generated from charts/genset by `make manifests`. Do not edit.
#   kubectl apply --server-side -f install.yaml
"""
_HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance")
_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
)


def render() -> str:
    """The whole file."""
    helm = tools.ensure("helm")["helm"]
    chart = HERE.parent / "charts" / "genset"
    text = subprocess.run(
        [str(helm), "template", "genset", str(chart), "--namespace", NAMESPACE],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    objects = [_namespace(), *(_plain(item) for item in yaml.safe_load_all(text) if item)]
    objects.sort(key=lambda item: _FIRST.index(item["kind"]) if item["kind"] in _FIRST else len(_FIRST))
    documents = [yaml.dump(item, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True) for item in objects]
    return _HEADER + "---\n" + "---\n".join(documents)


def _namespace() -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "genset", "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """The object without Helm's labels; selectors keep theirs, and so do the pods that they select."""
    metadata = item["metadata"]
    for label in _HELM_LABELS:
        metadata.get("labels", {}).pop(label, None)
    metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    return item


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "install.yaml"
    target.write_text(render())


if __name__ == "__main__":
    main()
