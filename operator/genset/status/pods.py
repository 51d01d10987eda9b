"""Pods say here why they do not come up: image, crash, scheduling, volumes, eviction.

Messages name the pod, the cause in the component's own words, and
the remedy; they hold nothing that changes by itself (no counters, no back-off times), so that a stuck pod is not
news at each retry. Reasons are those that both resources share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from genset.api.modeldeployment import Reason
from genset.names import ENGINE_CONTAINER, ROUTER_CONTAINER
from genset.status.conditions import Verdict
from genset.status.pod import ContainerState, PodView

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
_PROBE_SLACK_SECONDS = 3  # the last probe that counts may come so much before the whole time is over
_NOT_OURS = "it is not one of genset's, so whoever put it into the pod can mend it"
#: What bounds the start of a container of genset's, and what to do when it was not enough.
_STARTS = {
    ENGINE_CONTAINER: ("rollout.startupSeconds", "raise it, or give the engine more cpu"),
    ROUTER_CONTAINER: ("the time of its start-up probe", "give it more router.resources.cpu"),
}
_WORDS = 400  # characters of a crashed container's last words
_TELLING = re.compile(r"error|fail|fatal|exception|cannot|could not|unable", re.IGNORECASE)
_PREEMPTION = re.compile(r"[.,]? ?(?:no new claims to deallocate, )?preemption: .*$")  # of no use to a reader


def live(pods: Iterable[PodView]) -> list[PodView]:
    """Returns the pods that count, by name, so that the same pods give the same words."""
    return sorted((pod for pod in pods if pod.counts), key=_name)


def _name(pod: PodView) -> str:
    return pod.name


def trouble(pods: Iterable[PodView], quiet: frozenset[str] = frozenset()) -> Verdict | None:
    """Returns the first thing that keeps pods from coming up, worst kind first.

    Containers named in `quiet` are judged elsewhere, apart from their image and their start.
    """
    every = list(pods)
    alive = live(every)
    for check in (_image_trouble, _start_trouble):
        for pod in alive:
            for state in _blocking(pod):
                if (verdict := check(state)) is not None:
                    return verdict
    for pod in alive:
        for state in _blocking(pod):
            if state.name not in quiet and (verdict := _startup_trouble(pod, state) or _crash_trouble(state)):
                return verdict
    for pod in alive:
        if pod.sandbox_failure:
            return _sandbox_trouble(pod)
    for pod in alive:
        if (verdict := _unschedulable(pod)) is not None:
            return verdict
    for pod in alive:
        if (verdict := _waits_for_sidecar(pod)) is not None:
            return verdict
    return None if any(pod.ready for pod in alive) else _evicted(every)


def _blocking(pod: PodView) -> list[ContainerState]:
    """Returns the containers whose trouble is the pod's, genset's own first: what others put into a pod, such as a mesh its
    sidecar, may do what it likes in one that is ready."""
    return sorted((state for state in pod.containers if not (state.foreign and pod.ready)), key=_is_foreign)


def _is_foreign(state: ContainerState) -> bool:
    return state.foreign


def _waits_for_sidecar(pod: PodView) -> Verdict | None:
    """Returns that a container of somebody else keeps a pod from serving, or one of ours from being started."""
    ours = [state for state in pod.containers if not state.foreign]
    serving = any(state.ready and not state.init for state in ours)
    if pod.ready or (any(state.running for state in ours) and not serving):
        return None
    for state in pod.containers:
        why = _holds_up(state, serving=serving) if state.foreign and state.running else ""
        if why:
            return Verdict(
                "False",
                Reason.SIDECAR_NOT_READY,
                f"Pod {pod.name} waits for its container {state.name}, which {why}; {_NOT_OURS} (kubectl logs {pod.name} -c "
                f"{state.name} may tell why)",
            )
    return None


def _holds_up(state: ContainerState, *, serving: bool) -> str:
    """Says what a running container has not done yet that others of its pod wait for."""
    if serving:
        return "is not ready" if not state.ready and (state.spec.sidecar or not state.init) else ""
    if state.spec.sidecar:
        return "" if state.started else "has not started yet"
    return "has not ended yet" if state.init else ""


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


def _sandbox_trouble(pod: PodView) -> Verdict:
    words = " ".join(pod.sandbox_failure.split())[:_WORDS]
    return Verdict(
        "False",
        Reason.SANDBOX_FAILED,
        f"No container of pod {pod.name} can be begun on its node{_because(words)}",
        needs_person=True,
    )


def _startup_trouble(pod: PodView, state: ContainerState) -> Verdict | None:
    """Returns that a container was ended because it had not become ready in time.

    It was never ready in the run that ended, which took as long as its start-up probe allows. A program that ends on its
    own ends earlier: longer than that no kubelet lets it live.
    """
    began = str((state.last or {}).get("startedAt") or "")
    if state.ready or not state.restarts or not state.spec.startup_seconds or state.out_of_memory:
        return None
    ready_then = not pod.unready_since or pod.unready_since > began
    if ready_then or state.last_ran_seconds < state.spec.startup_seconds - _PROBE_SLACK_SECONDS:
        return None
    seconds = state.spec.startup_seconds
    ended = f"Container {state.name} of pod {state.pod} did not become ready within "
    if state.foreign:
        return Verdict(
            "False",
            Reason.SIDECAR_NOT_READY,
            f"{ended}the time of its start-up probe ({seconds}) and was ended by its node; {_NOT_OURS}",
        )
    limit, remedy = _STARTS.get(state.name, ("the time of its start-up probe", "its log may tell why"))
    return Verdict(
        "False",
        Reason.STARTUP_TIMEOUT,
        f"{ended}{limit} ({seconds}) and was ended by its node: {remedy}",
        needs_person=True,
    )


def _crash_trouble(state: ContainerState) -> Verdict | None:
    loops = state.waiting == "CrashLoopBackOff" or (state.restarts >= _RESTARTS_THAT_COUNT and state.last is not None)
    if state.ready or not loops or (state.init and state.ended_well and not state.spec.sidecar):
        return None
    return Verdict("False", Reason.CRASH_LOOP, crash_message(state), needs_person=True)


def crash_message(state: ContainerState) -> str:
    """Says why a container ended."""
    if state.out_of_memory:
        limit = f" ({state.spec.memory_limit})" if state.spec.memory_limit else ""
        remedy = "raise spec.resources.memory, or lower what it has to hold"
        return (
            f"Container {state.name} of pod {state.pod} was killed for using more than its memory limit"
            f"{limit}: {_NOT_OURS if state.foreign else remedy}"
        )
    words = last_words(state.last_message)
    ends = f"Container {state.name} of pod {state.pod} keeps ending with exit code {state.last_exit_code}"
    if state.foreign:
        return f"{ends}{_because(words)}; {_NOT_OURS}"
    if state.last_exit_code == 0 and not words:
        return f"{ends}, as no server does by itself: look at command and arguments (podTemplate, extraArgs)"
    return f"{ends}{_because(words)}"


def last_words(log: str) -> str:
    """Returns the lines at the end of a log that tell most: the last few that speak of an error, or the very last one."""
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return " / ".join(telling[-3:] or lines[-1:])[-_WORDS:]


def _unschedulable(pod: PodView) -> Verdict | None:
    if not pod.unscheduled:
        return None
    message = f"No node can take pod {pod.name}{_because(_PREEMPTION.sub('', pod.unscheduled))}"
    return Verdict("False", Reason.UNSCHEDULABLE, message)


def _evicted(pods: Iterable[PodView]) -> Verdict | None:
    for pod in sorted(pods, key=_name, reverse=True):
        if pod.phase == "Failed" and pod.reason == "Evicted":
            message = f"A node evicted pod {pod.name}{_because(pod.message)}"
            return Verdict("False", Reason.REPLICAS_MISSING, message)
        if pod.phase == "Succeeded":  # a server that is stopped ends well; nobody but its node stops it for good
            return Verdict("False", Reason.REPLICAS_MISSING, _ended_by_node(pod))
    return None


def _ended_by_node(pod: PodView) -> str:
    words = _because(pod.message or pod.reason)
    return (
        f"Pod {pod.name} was ended by its node, as one is that takes more memory or ephemeral storage than it may{words}: "
        "kubectl describe pod tells why; with spec.cache weights take no ephemeral storage"
    )


def _because(cause: str) -> str:
    cause = cause.strip().rstrip(".")
    return f": {cause}" if cause else ""
