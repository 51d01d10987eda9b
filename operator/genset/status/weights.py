"""WeightsReady and status.weights go from init containers and pullers' progress to one verdict and one number.

The replica that is furthest behind speaks. Percentages move in steps of 5 and bytes with them, so that a download
writes the status twenty times and not each second. A permanent failure stays said while the kubelet tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genset import names
from genset.api.modeldeployment import ModelDeployment, Reason
from genset.api.modeldeployment_status import PartStatus, WeightsStatus
from genset.contracts.puller import DownloadProgress, ExitCode, LastWords, PartProgress
from genset.desired.context import Object
from genset.engines import managed_engine_of
from genset.status import pods
from genset.status.conditions import Verdict
from genset.status.observed import ModelDeploymentObserved
from genset.status.pod import ContainerState, PodView
from genset.weights.failure import size_text

STEP = 5  # percent
_UNKNOWN_STEP = 2**30  # bytes, if the total is not known
_PERSON = frozenset(
    {
        Reason.CHECKSUM_MISMATCH, Reason.NOT_GGUF, Reason.NOT_A_MODEL, Reason.UNSAFE_ARCHIVE,
        Reason.SOURCE_NOT_FOUND, Reason.SOURCE_UNAUTHORIZED,
        Reason.SOURCE_AMBIGUOUS, Reason.SOURCE_TOO_LARGE, Reason.DISK_FULL, Reason.LICENCE_NOT_ALLOWED,
    }
)  # fmt: skip
_PART_STATES: Mapping[str, Literal["Waiting", "Downloading", "Ready"]] = {"waiting": "Waiting", "done": "Ready"}
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True)
class _Replica:
    """This is one live pod's weights."""

    pod: PodView
    done: bool
    puller: ContainerState | None
    progress: DownloadProgress | None


def verdict(resource: ModelDeployment, observed: ModelDeploymentObserved) -> Verdict:
    """Returns what WeightsReady says of a ModelDeployment whose pods are ours and wanted."""
    replicas = _replicas(observed)
    if resource.spec.prefetch and not any(replica.puller or replica.done for replica in replicas):
        ahead = prefetched(observed)
        if ahead is not None:
            return ahead
    for replica in replicas:
        if (failure := _failure(replica)) is not None:
            return failure
    behind = [replica for replica in replicas if not replica.done]
    if not behind and replicas:
        return Verdict("True", Reason.WEIGHTS_READY, _ready_message(replicas))
    downloading = [replica for replica in behind if replica.puller is not None and replica.puller.running]
    if downloading:
        return Verdict("False", Reason.DOWNLOADING, _progress_message(downloading))
    return _waiting(resource, observed, behind)


def prefetched(observed: ModelDeploymentObserved) -> Verdict | None:
    """Returns what WeightsReady says while no engine's pod has looked at the weights and a Job fetches them ahead.

    None if there is no such Job yet.
    """
    ahead = observed.prefetch
    if ahead is None:
        return None
    fetchers = _fetchers(observed)
    if ahead.succeeded or any(one.done for one in fetchers):
        return Verdict("True", Reason.WEIGHTS_READY, _ready_message(fetchers) + ": fetched ahead")
    trouble = pods.trouble(ahead.pods, quiet=frozenset({names.WEIGHTS_CONTAINER}))
    for failure in (*map(_failure, fetchers), trouble):
        if failure is not None:
            return failure
    if ahead.refused:
        told = f"The pods of Job {ahead.job['metadata']['name']}, which fetches the weights ahead, are refused: {ahead.refused}"
        return Verdict("False", Reason.REPLICAS_MISSING, told, needs_person=True)
    running = [one for one in fetchers if one.puller is not None and one.puller.running]
    message = _progress_message(running) if running else "The weights are about to be fetched ahead"
    return Verdict("False", Reason.DOWNLOADING, message)


def joining_trouble(resource: ModelDeployment, observed: ModelDeploymentObserved) -> Verdict | None:
    """Returns what keeps adapters from joining servers that run already; None if nothing does, or nobody waits for them."""
    engine = managed_engine_of(resource)
    if engine is None or not engine.joining(resource) or not any(replica.done for replica in _replicas(observed)):
        return None
    ahead = prefetched(observed)
    if ahead is None or ahead.status == "True" or ahead.reason == Reason.DOWNLOADING:
        return None
    return Verdict("True", ahead.reason, f"Adapters do not join the running servers: {ahead.message}")


def _fetchers(observed: ModelDeploymentObserved) -> list[_Replica]:
    """Returns the pods of the Job that fetches ahead, also those that are over."""
    found = []
    for pod in observed.prefetch.pods if observed.prefetch is not None else ():
        puller = pod.container(names.WEIGHTS_CONTAINER)
        if not pod.leaving:
            done = puller is not None and puller.ended_well
            found.append(_Replica(pod, done, puller, observed.weights.get(pod.name)))
    return found


def _replicas(observed: ModelDeploymentObserved) -> list[_Replica]:
    out = []
    for pod in pods.live(observed.pods):
        puller = pod.container(names.WEIGHTS_CONTAINER)
        engine = pod.container(names.ENGINE_CONTAINER)
        started = engine is not None and (engine.running or engine.last is not None)
        done = started or (puller is not None and puller.ended_well)
        out.append(_Replica(pod, done, puller, observed.weights.get(pod.name)))
    return out


def _failure(replica: _Replica) -> Verdict | None:
    """Returns the puller's own words if it has failed. One that is trying again after a passing failure has not."""
    puller, progress = replica.puller, replica.progress
    if replica.done:
        return None
    if progress is not None and progress.state == "failed":
        return _failed(progress.reason, progress.message, permanent=False)
    if puller is None or puller.last is None or puller.last_exit_code == 0:
        return None
    words = _last_words(puller)
    message = words.message
    if puller.out_of_memory or not message:
        message = pods.crash_message(puller)
    told = _failed(words.reason, message, permanent=puller.last_exit_code == ExitCode.PERSON)
    return told if told.needs_person or not puller.running else None


def _last_words(puller: ContainerState | None) -> LastWords:
    return LastWords.from_json(puller.last_message if puller is not None else "")


def _failed(reason: str, message: str, *, permanent: bool) -> Verdict:
    known = reason if reason in _REASONS else Reason.DOWNLOAD_FAILED.value
    return Verdict("False", known, message, needs_person=permanent or known in _PERSON)


def _ready_message(replicas: Sequence[_Replica]) -> str:
    """Says that the weights are ready.

    A puller that ended well may have something to add: that it serves an earlier download.
    """
    told = (_last_words(replica.puller).message for replica in replicas)
    return next(filter(None, told), "The weights are complete and verified")


def _progress_message(downloading: Sequence[_Replica]) -> str:
    known = [replica.progress for replica in downloading if replica.progress is not None]
    if not known:
        return "The weights are being fetched or checked"
    last = min(known, key=_percent)
    if last.total_bytes == 0:
        return last.message or "The weights are being fetched; their size is not known yet"
    size = size_text(last.total_bytes)
    if last.state == "verifying":
        return f"{size} are there and being verified"
    return f"{_percent(last)} % of {size} are there"


def _waiting(resource: ModelDeployment, observed: ModelDeploymentObserved, behind: Sequence[_Replica]) -> Verdict:
    claim = observed.pvc
    if resource.spec.cache is not None and claim is not None and _claim_phase(claim) != "Bound":
        storage = resource.spec.cache.storage_class_name or "the cluster's default"
        return Verdict(
            "False",
            Reason.WAITING_FOR_VOLUME,
            f"PersistentVolumeClaim {claim['metadata']['name']} is {_claim_phase(claim)}: storage class {storage} has "
            "given no volume yet",
        )
    for replica in behind if _has_volume(resource) else ():
        # The kubelet sets this condition once the sandbox, its volumes and its network are there.
        if replica.pod.conditions.get("PodReadyToStartContainers", {}).get("status") == "False":
            name = replica.pod.name
            return Verdict(
                "False",
                Reason.WAITING_FOR_VOLUME,
                f"Pod {name} waits for its volumes and network; `kubectl describe pod {name}` says what for",
            )
    return Verdict("Unknown", Reason.STARTING, "No replica has looked at the weights yet")


def _has_volume(resource: ModelDeployment) -> bool:
    """Returns whether something has to be mounted that may not be there; scratch space always is."""
    return resource.spec.cache is not None or any(not part.source.block.downloaded for part in resource.spec.parts)


def _claim_phase(claim: Object) -> str:
    return str((claim.get("status") or {}).get("phase") or "Pending")


def status(
    resource: ModelDeployment, observed: ModelDeploymentObserved, old: WeightsStatus | None
) -> WeightsStatus | None:
    """Returns status.weights: how far the replica is that is furthest behind. None if nothing is downloaded."""
    if not any(part.source.block.downloaded for part in resource.spec.parts):
        return None
    replicas = _replicas(observed)
    if not any(replica.puller or replica.done for replica in replicas):
        replicas = _fetchers(observed) or replicas
    behind = [replica for replica in replicas if not replica.done]
    known = [replica.progress for replica in behind if replica.progress is not None]
    if known:
        return _measured(min(known, key=_percent))
    if behind or not replicas:
        return old
    return _finished(replicas, old)


def _finished(replicas: Sequence[_Replica], old: WeightsStatus | None) -> WeightsStatus:
    """Reads size and revision from the termination messages: all pullers have ended, and their servers with them."""
    for words in (_last_words(replica.puller) for replica in replicas):
        if size := words.total_bytes:
            return WeightsStatus(
                bytes=size, total_bytes=size, percent=100, revision=words.revision, parts=_parts(words.parts)
            )
    if old is None:
        return WeightsStatus(percent=100)
    return WeightsStatus(
        bytes=old.total_bytes, total_bytes=old.total_bytes, percent=100, revision=old.revision, parts=old.parts
    )


def _measured(progress: DownloadProgress) -> WeightsStatus:
    percent = _percent(progress)
    total = progress.total_bytes
    size = total * percent // 100 if total else progress.received - progress.received % _UNKNOWN_STEP
    return WeightsStatus(
        bytes=size, total_bytes=total, percent=percent, revision=progress.revision, parts=_parts(progress.parts)
    )


def _parts(told: Sequence[PartProgress]) -> list[PartStatus] | None:
    """Returns the parts as the puller tells of them, if there are several. Only what changes seldom is among it."""
    return [
        PartStatus(
            name=part.name[:63],
            state=_PART_STATES.get(part.state, "Downloading"),
            total_bytes=part.total_bytes,
            revision=part.revision,
        )
        for part in told
    ] or None


def _percent(progress: DownloadProgress) -> int:
    if progress.total_bytes == 0:
        return 0
    return min(100, progress.received * 100 // progress.total_bytes // STEP * STEP)
