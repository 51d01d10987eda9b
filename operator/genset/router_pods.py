"""Pods of routers are found for the commands that ask them, by kubectl and with the user's rights."""

from __future__ import annotations

import json
from typing import Any

from genset import names
from genset.kubectl import kubectl


def router_pods(
    namespace: str | None, policy: str | None, *, missing: str, context: str | None, seconds: int = 60
) -> list[dict[str, Any]]:
    """Returns the pods of all routers, of a namespace's, or of one policy's. Raises KubectlError, as `kubectl` does."""
    label = names.LABEL_ROUTE_POLICY + (f"={policy}" if policy else "")
    selector = f"{label},{names.LABEL_COMPONENT}={names.COMPONENT_ROUTER}"
    where = ("-n", namespace) if namespace else ("--all-namespaces",)
    listed = kubectl(
        "get", "pods", *where, "-l", selector, "-o", "json",
        missing=missing, what=f"kubectl get pods {' '.join(where)}", context=context, seconds=seconds,
    )  # fmt: skip
    return list(json.loads(listed)["items"])


def is_running(pod: dict[str, Any]) -> bool:
    """Returns whether a pod has begun and not ended."""
    return (pod.get("status") or {}).get("phase") == "Running"
