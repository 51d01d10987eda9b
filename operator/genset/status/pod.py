"""A PodView is a pod as far as genset looks at it: read once from the API server's object, asked by everyone.

`ready`, `running` and `counts` are three things. A pod that drains still passes its readiness probe, so that readiness
alone says nothing of one that is leaving; a router answers its admin port before it is ready; and what is stuck counts,
although it neither runs nor is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genset import names
from genset.desired.context import Object
from genset.times import seconds

_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class ContainerSpec:
    """This is what a pod asks for one of its containers."""

    memory_limit: str = ""  # "" without one
    startup_seconds: int = 0  # that its start-up probe allows; 0 without one
    sidecar: bool = False  # an init container that goes on running: native sidecars have restartPolicy Always

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ContainerSpec:
        """Reads an entry of containers or initContainers."""
        return cls(
            str(((entry.get("resources") or {}).get("limits") or {}).get("memory") or ""),
            _allowed_seconds(entry["startupProbe"]) if entry.get("startupProbe") else 0,
            entry.get("restartPolicy") == "Always",
        )


@dataclass(frozen=True)
class ContainerState:
    """This is one container of a pod, as far as its status tells."""

    pod: str
    name: str
    image: str = ""
    spec: ContainerSpec = field(default_factory=ContainerSpec)
    init: bool = False
    started: bool = False  # it runs, and passes its start-up probe if it has one
    ready: bool = False
    restarts: int = 0
    running: bool = False
    started_at: str = ""  # RFC 3339; of the run that goes on
    waiting: str = ""  # reason
    waiting_message: str = ""
    exit_code: int | None = None  # of the current state, if it has ended
    last: Mapping[str, Any] | None = None  # the last termination: current state's, else lastState's

    @property
    def foreign(self) -> bool:
        """Returns whether somebody else has put it into the pod, e.g. a mesh its sidecar."""
        return self.name not in names.CONTAINERS

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
    def last_ran_seconds(self) -> float:
        """Returns how long the run took that ended last; 0 if nobody said."""
        begun, ended = (self.last or {}).get("startedAt"), (self.last or {}).get("finishedAt")
        return seconds(str(ended)) - seconds(str(begun)) if begun and ended else 0.0

    @property
    def out_of_memory(self) -> bool:
        return (self.last or {}).get("reason") == "OOMKilled"


@dataclass(frozen=True)
class PodView:
    """A view is what the API server said of one pod at one moment. What it did not say is empty."""

    name: str
    namespace: str = ""
    uid: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    leaving: bool = False  # it is being deleted, and drains
    phase: str = "Pending"
    reason: str = ""  # of the pod as a whole, e.g. Evicted
    message: str = ""
    address: str = ""  # of its network
    node: str = ""  # that it stands on
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by type
    containers: tuple[ContainerState, ...] = ()  # init containers first; only those that have a status yet
    sandbox_failure: str = ""  # the node's words; of a pod whose containers cannot even be begun

    @classmethod
    def of(cls, pod: Object) -> PodView:
        """Reads a Pod object as the API server gives it back."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        name = str(metadata["name"])
        return cls(
            name=name,
            namespace=str(metadata.get("namespace") or ""),
            uid=str(metadata.get("uid") or ""),
            annotations=metadata.get("annotations") or {},
            labels=metadata.get("labels") or {},
            leaving=bool(metadata.get("deletionTimestamp")),
            phase=str(status.get("phase") or "Pending"),
            reason=str(status.get("reason") or ""),
            message=str(status.get("message") or ""),
            address=str(status.get("podIP") or ""),
            node=str((pod.get("spec") or {}).get("nodeName") or ""),
            conditions={str(item.get("type")): item for item in status.get("conditions") or ()},
            containers=_containers(name, pod.get("spec") or {}, status),
        )

    @property
    def lost(self) -> bool:
        """Returns whether its node does not answer any more.

        The controller of nodes then says of each pod there that it is not ready, without a reason, and nothing of its containers
        (MarkPodsNotReady); a kubelet says both. So nobody needs the right to read nodes.
        """
        ready, containers = self.conditions.get("Ready", {}), self.conditions.get("ContainersReady", {})
        return ready.get("status") == "False" and not ready.get("reason") and containers.get("status") == "True"

    @property
    def unscheduled(self) -> str:
        """Returns the scheduler's words if it finds no node for the pod; "" if it does, or has not looked."""
        known = self.conditions.get("PodScheduled", {})
        if known.get("status") != "False" or known.get("reason") != "Unschedulable":
            return ""
        return str(known.get("message") or "no node is available")

    @property
    def ready(self) -> bool:
        """Returns whether it passes its readiness probe and is not leaving: whether anybody should count on it."""
        return not self.leaving and self.conditions.get("Ready", {}).get("status") == "True"

    @property
    def ready_since(self) -> str | None:
        """Returns when it became ready (RFC 3339); None if it is not, or nobody said since when."""
        return self.conditions["Ready"].get("lastTransitionTime") if self.ready else None

    @property
    def unready_since(self) -> str:
        """Returns since when it is not ready (RFC 3339); empty if it is, or nobody said."""
        known = self.conditions.get("Ready", {})
        return str(known.get("lastTransitionTime") or "") if known.get("status") == "False" else ""

    @property
    def running(self) -> bool:
        """Returns whether its containers run at an address and it is not leaving: whether it can be asked, ready or
        not."""
        return not self.leaving and self.phase == "Running" and bool(self.address)

    @property
    def counts(self) -> bool:
        """Returns whether it is one of those that there should be: neither leaving nor over."""
        return not self.leaving and self.phase not in _OVER

    @property
    def coming(self) -> bool:
        """Returns whether it starts for the first time: it was never ready, and no container was started again."""
        since = self.unready_since
        ours = [state for state in self.containers if not state.foreign]
        ran_before = any(state.restarts or (state.started_at and state.started_at < since) for state in ours)
        return self.counts and not self.ready and not ran_before

    @property
    def waits_for_sandbox(self) -> bool:
        """Returns whether a node has taken it and has not begun any container."""
        taken = self.conditions.get("PodScheduled", {}).get("status") == "True"
        made = self.conditions.get("PodReadyToStartContainers", {}).get("status") == "True"
        begun = made or any(state.running or state.last is not None for state in self.containers)
        return self.counts and taken and not begun

    def container(self, name: str) -> ContainerState | None:
        """Returns the container of that name, if it has a status."""
        return next((state for state in self.containers if state.name == name), None)


def _containers(pod: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[ContainerState, ...]:
    asked = {
        str(entry.get("name")): ContainerSpec.of(entry)
        for entries in ("initContainers", "containers")
        for entry in spec.get(entries) or ()
    }
    return tuple(
        _container(pod, entry, asked.get(str(entry.get("name"))), init=entries == "initContainerStatuses")
        for entries in ("initContainerStatuses", "containerStatuses")
        for entry in status.get(entries) or ()
    )


def _allowed_seconds(probe: Mapping[str, Any]) -> int:
    """Returns how long a probe may fail. Defaults as in k8s.io/api, core/v1/types.go."""
    period, failures = int(probe.get("periodSeconds") or 10), int(probe.get("failureThreshold") or 3)
    return int(probe.get("initialDelaySeconds") or 0) + period * failures


def _container(pod: str, entry: Mapping[str, Any], asked: ContainerSpec | None, *, init: bool) -> ContainerState:
    state = entry.get("state") or {}
    waiting = state.get("waiting") or {}
    terminated = state.get("terminated")
    return ContainerState(
        pod=pod,
        name=str(entry.get("name", "")),
        image=str(entry.get("image", "")),
        spec=asked or ContainerSpec(),
        init=init,
        started=bool(entry.get("started")),
        ready=bool(entry.get("ready")),
        restarts=int(entry.get("restartCount") or 0),
        running="running" in state,
        started_at=str((state.get("running") or {}).get("startedAt") or ""),
        waiting=str(waiting.get("reason") or ""),
        waiting_message=str(waiting.get("message") or ""),
        exit_code=terminated.get("exitCode") if terminated else None,
        last=terminated or (entry.get("lastState") or {}).get("terminated"),
    )
