"""Access logs of a cluster's routers are read by kubectl, a line at a time: a day of a busy router is larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genset import names
from genset.kubectl import KubectlError, lines_of
from genset.router_pods import router_pods

_MISSING = "logs stand in the cluster: install kubectl, or give -f FILE"


class LogsError(Exception):
    """Logs cannot be read. The message names whose, and the remedy."""


def from_cluster(
    context: str | None, namespace: str, policy: str | None, since: str, warn: Callable[[str], None]
) -> Iterator[tuple[str, bytes]]:
    """Yields the lines of a namespace's routers, or of one policy's, with the pod's name; of a container that has ended, too.

    A router whose log cannot be read is named by `warn`, and passed over. Raises LogsError if there are none.
    """
    try:
        pods = router_pods(namespace, policy, missing=_MISSING, context=context)
    except KubectlError as problem:
        raise LogsError(str(problem)) from problem
    if not pods:
        whose = f"RoutePolicy {policy}" if policy else "any RoutePolicy"
        raise LogsError(
            f"there is no router of {whose} in namespace {namespace}: correct --namespace or the policy's name"
        )
    for pod in pods:
        name = pod["metadata"]["name"]
        told = [
            one for one in pod.get("status", {}).get("containerStatuses") or () if one["name"] == names.ROUTER_CONTAINER
        ]
        ended = any(one.get("lastState", {}).get("terminated") for one in told)
        for earlier in (("--previous",), ()) if ended else ((),):
            asked = ("-n", namespace, "logs", name, "-c", names.ROUTER_CONTAINER, f"--since={since}", *earlier)
            try:
                for line in lines_of(*asked, missing=_MISSING, what=f"kubectl logs {name}", context=context):
                    yield name, line
            except KubectlError as problem:
                warn(f"{problem}; its requests are left out")
