"""Spools are read from folders, from a router's admin port, or from all routers of a cluster's namespace."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from genset import names
from genset.contracts.usage import EGRESS_PATH, PREFIX, SUFFIX, EgressReading
from genset.kubectl import KubectlError, kubectl
from genset.router_pods import is_running, router_pods

TIMEOUT_SECONDS = 60
_MISSING = "a cluster is read with kubectl: install it, or give -f SPOOL or --admin URL"


class UsageError(Exception):
    """Records cannot be read. The message names what, and the remedy."""


def from_files(paths: Iterable[Path]) -> EgressReading:
    """Reads spools, which are folders, and segments. Raises UsageError."""
    reading = EgressReading()
    for path in paths:
        try:
            found = sorted(path.glob(f"{PREFIX}*{SUFFIX}")) if path.is_dir() else [path]
            for segment in found:
                reading.add(segment.read_bytes())
        except OSError as problem:
            raise UsageError(f"{path}: {problem.strerror}; name a spool's folder, or a segment in it") from problem
        if not found:
            raise UsageError(f"{path}: no segment {PREFIX}*{SUFFIX} in there; name the folder of --spool")
    return reading


def from_admin(url: str) -> EgressReading:
    """Reads the spool of the router whose admin port is at `url`. Raises UsageError."""
    reading = EgressReading()
    with httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_SECONDS) as client:
        try:
            listed = client.get(EGRESS_PATH).raise_for_status().json()
            for name in _segments(listed):
                answer = client.get(f"{EGRESS_PATH}/{name}")
                if answer.status_code == 200:  # it may have made way meanwhile
                    reading.add(answer.content)
        except (httpx.HTTPError, ValueError) as problem:
            raise UsageError(
                f"{url}: {problem}; give the admin port of a router, e.g. http://127.0.0.1:9090"
            ) from problem
    return reading


def from_cluster(context: str | None, namespace: str, policy: str | None) -> EgressReading:
    """Reads the spools of all running routers of a namespace, or of one policy's. Raises UsageError."""
    try:
        pods = router_pods(namespace, policy, missing=_MISSING, context=context, seconds=2 * TIMEOUT_SECONDS)
    except KubectlError as problem:
        raise UsageError(str(problem)) from problem
    running = [pod["metadata"]["name"] for pod in pods if is_running(pod)]
    if not running:
        whose = f"RoutePolicy {policy}" if policy else "any RoutePolicy"
        raise UsageError(
            f"no router of {whose} runs in namespace {namespace}: correct --namespace or the policy's name"
        )
    reading = EgressReading()
    for pod in running:
        base = f"/api/v1/namespaces/{namespace}/pods/{pod}:{names.ROUTER_ADMIN_PORT}/proxy{EGRESS_PATH}"
        for name in _segments(json.loads(_kubectl(context, "get", "--raw", base))):
            reading.add(_kubectl(context, "get", "--raw", f"{base}/{name}"))
    return reading


def _segments(listed: Any) -> Iterator[str]:
    if not isinstance(listed, dict) or not isinstance(listed.get("segments"), list):
        raise UsageError("this router keeps no egress records: it is older, or nothing answered in its place")
    yield from (name for name in listed["segments"] if isinstance(name, str))


def _kubectl(context: str | None, *arguments: str) -> bytes:
    return asked_kubectl(context, *arguments, missing=_MISSING)


def asked_kubectl(context: str | None, *arguments: str, missing: str) -> bytes:
    """Returns what kubectl prints. Raises UsageError."""
    what = f"kubectl {' '.join(arguments[:4])}"
    try:
        return kubectl(*arguments, missing=missing, what=what, context=context, seconds=2 * TIMEOUT_SECONDS)
    except KubectlError as problem:
        raise UsageError(str(problem)) from problem
