"""What pods say when they do not come up: image, crash, scheduling, volumes, eviction.

Reads Pod objects as the API server gives them. Messages name the pod, the cause in the component's own words, and
the remedy; they hold nothing that changes by itself (no counters, no back-off times), so that a stuck pod is not
news at each retry. Reasons are those that both resources share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from genset.api.modeldeployment import Reason
from genset.desired.context import Object
from genset.status.conditions import Verdict

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
_START_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*": ErrImagePull: ')
_RESTARTS_THAT_COUNT = 2  # one restart may be a passing fault; from the second on it is said until the pod is ready
_WORDS = 400  # characters of a crashed container's last words
_TELLING = re.compile(r"error|fail|fatal|exception|cannot|could not|unable", re.IGNORECASE)
_PREEMPTION = re.compile(r"[.,]? ?(?:no new claims to deallocate, )?preemption: .*$")  # of no use to a reader


@dataclass(frozen=True)
class ContainerState:
    """One container of a pod, as far as its status tells."""

    pod: str
    name: str
    image: str = ""
    init: bool = False
    ready: bool = False
    restarts: int = 0
    running: bool = False
    waiting: str = ""  # reason
    waiting_message: str = ""
    exit_code: int | None = None  # of the current state, if it has ended
    last: Mapping[str, Any] | None = None  # the last termination: current state's, else lastState's

    @property
    def ended_well(self) -> bool:
        return self.exit_code == 0

    @property
    def last_message(self) -> str:
        return str((self.last or {}).get("message") or "")

    @property
    def last_exit_code(self) -> int | None:
        code = (self.last or {}).get("exitCode")
        return code if isinstance(code, int) else None

    @property
    def out_of_memory(self) -> bool:
        return (self.last or {}).get("reason") == "OOMKilled"


def live(pods: Iterable[Object]) -> list[Object]:
    """Pods that count: not leaving, not over. By name, so that the same pods give the same words."""
    kept = (
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp") and _phase(pod) not in ("Succeeded", "Failed")
    )
    return sorted(kept, key=name_of)


def name_of(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def containers(pod: Object) -> list[ContainerState]:
    """Init containers first, then the others; only those that have a status yet."""
    status = pod.get("status", {})
    return [
        _container(name_of(pod), entry, init=field == "initContainerStatuses")
        for field in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(field) or ()
    ]


def container(pod: Object, name: str) -> ContainerState | None:
    """The container of that name, if it has a status."""
    return next((state for state in containers(pod) if state.name == name), None)


def _container(pod: str, entry: Mapping[str, Any], *, init: bool) -> ContainerState:
    state = entry.get("state") or {}
    waiting = state.get("waiting") or {}
    terminated = state.get("terminated")
    return ContainerState(
        pod=pod,
        name=str(entry.get("name", "")),
        image=str(entry.get("image", "")),
        init=init,
        ready=bool(entry.get("ready")),
        restarts=int(entry.get("restartCount") or 0),
        running="running" in state,
        waiting=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or ""),
        exit_code=terminated.get("exitCode") if terminated else None,
        last=terminated or (entry.get("lastState") or {}).get("terminated"),
    )


def condition(pod: Object, kind: str) -> Mapping[str, Any]:
    """A pod's own condition, {} if it has none of that type."""
    found = (c for c in pod.get("status", {}).get("conditions") or () if c.get("type") == kind)
    return next(found, {})


def is_ready(pod: Object) -> bool:
    """Whether it is ready and not on its way out: a pod that drains stays ready, and nobody should count on it."""
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def trouble(pods: Iterable[Object], quiet: frozenset[str] = frozenset()) -> Verdict | None:
    """The first thing that keeps pods from coming up, worst kind first. Containers named in `quiet` are judged
    elsewhere, apart from their image and their start."""
    every = list(pods)
    alive = live(every)
    for check in (_image_trouble, _start_trouble):
        for pod in alive:
            for state in containers(pod):
                if (verdict := check(state)) is not None:
                    return verdict
    for pod in alive:
        for state in containers(pod):
            if state.name not in quiet and (verdict := _crash_trouble(pod, state)) is not None:
                return verdict
    for pod in alive:
        if (verdict := _unschedulable(pod)) is not None:
            return verdict
    return None if any(map(is_ready, alive)) else _evicted(every)


def _image_trouble(state: ContainerState) -> Verdict | None:
    if state.waiting not in _IMAGE_REASONS:
        return None
    cause = _BACK_OFF.sub("", state.waiting_message)
    if cause.startswith("Back-off pulling image"):
        cause = ""  # an older kubelet says no more while it waits
    return Verdict(
        "False",
        Reason.IMAGE_PULL_FAILED,
        f"Image {state.image} of container {state.name} cannot be pulled{_because(cause)}: correct the image, make it "
        f"public, or add imagePullSecrets (pod {state.pod})",
        needs_person=True,
    )


def _start_trouble(state: ContainerState) -> Verdict | None:
    if state.waiting not in _START_REASONS:
        return None
    return Verdict(
        "False",
        Reason.CRASH_LOOP,
        f"Container {state.name} of pod {state.pod} cannot be started{_because(state.waiting_message)}",
        needs_person=True,
    )


def _crash_trouble(pod: Object, state: ContainerState) -> Verdict | None:
    loops = state.waiting == "CrashLoopBackOff" or (state.restarts >= _RESTARTS_THAT_COUNT and state.last is not None)
    if state.ready or not loops or (state.init and state.ended_well):
        return None
    return Verdict("False", Reason.CRASH_LOOP, crash_message(pod, state), needs_person=True)


def crash_message(pod: Object, state: ContainerState) -> str:
    """Why a container ended, in words."""
    if state.out_of_memory:
        return (
            f"Container {state.name} of pod {state.pod} was killed for using more than its memory limit"
            f"{_limit(pod, state.name)}: raise spec.resources.memory, or lower what it has to hold"
        )
    words = last_words(state.last_message)
    return (
        f"Container {state.name} of pod {state.pod} keeps ending with exit code {state.last_exit_code}{_because(words)}"
    )


def last_words(log: str) -> str:
    """The lines at the end of a log that tell most: the last few that speak of an error, or the very last one."""
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return " / ".join(telling[-3:] or lines[-1:])[-_WORDS:]


def _limit(pod: Object, name: str) -> str:
    spec = pod.get("spec", {})
    for field in ("containers", "initContainers"):
        for entry in spec.get(field) or ():
            if entry.get("name") == name:
                memory = ((entry.get("resources") or {}).get("limits") or {}).get("memory")
                return f" ({memory})" if memory else ""
    return ""


def _unschedulable(pod: Object) -> Verdict | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    cause = _PREEMPTION.sub("", str(scheduled.get("message") or ""))
    message = f"No node can take pod {name_of(pod)}{_because(cause)}"
    return Verdict("False", Reason.UNSCHEDULABLE, message)


def _evicted(pods: Iterable[Object]) -> Verdict | None:
    for pod in sorted(pods, key=name_of, reverse=True):
        status = pod.get("status", {})
        if _phase(pod) == "Failed" and status.get("reason") == "Evicted":
            message = f"A node evicted pod {name_of(pod)}{_because(str(status.get('message') or ''))}"
            return Verdict("False", Reason.REPLICAS_MISSING, message)
    return None


def _because(cause: str) -> str:
    cause = cause.strip().rstrip(".")
    return f": {cause}" if cause else ""
