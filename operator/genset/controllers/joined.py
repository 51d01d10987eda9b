"""Pods hear of another list of adapters at once, and tell what has become of it.

An annotation makes the kubelet mount their ConfigMaps anew; by itself it would look after a minute or so. It says only a mark of
the list, which stands in the ConfigMap. The container that follows the list is asked over HTTP, for as long as there is news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.contracts.adapter_list import AdapterReport
from genset.controllers.session import Session
from genset.desired import joined
from genset.status import warned
from genset.status.conditions import Verdict
from genset.status.pod import PodView

log = logging.getLogger(__name__)

JOINING_SECONDS = 5.0  # between two looks at pods that have not come to their list yet
PATIENT_SECONDS = (
    30.0  # and where a server starts, files are still to come, or an adapter was refused (it is tried as often)
)


async def refused_adapters(
    session: Session, resource: ModelDeployment, pods: Iterable[PodView]
) -> tuple[tuple[Verdict, ...], float | None]:
    """Returns what servers have against adapters, and when to look again; None if there is nothing to wait for.

    Pods of a release that did not tell do not answer, and nobody waits for them.
    """
    mark = joined.mark(resource, session.settings)
    asked = [pod for pod in pods if mark and pod.counts and pod.address and _follows(pod)]
    answers = await asyncio.gather(*(session.prober.adapters(pod.address) for pod in asked))
    found: dict[str, AdapterReport] = {
        pod.name: answer for pod, answer in zip(asked, answers, strict=True) if answer is not None
    }
    if any(report.mark not in (mark, "") for report in found.values()):
        return warned.of_adapters(found), JOINING_SECONDS
    open_ = any(not report.mark or report.waiting or report.refused for report in found.values())
    return warned.of_adapters(found), PATIENT_SECONDS if open_ else None


def _follows(pod: PodView) -> bool:
    container = pod.container(names.ADAPTERS_CONTAINER)
    return container is not None and container.running


async def tell_of_adapters(session: Session, resource: ModelDeployment, pods: Iterable[PodView]) -> None:
    """Marks each pod that follows a list of adapters and has not heard of this one."""
    mark = joined.mark(resource, session.settings)
    if not mark:
        return
    stale = [
        pod
        for pod in pods
        if pod.counts
        and pod.container(names.ADAPTERS_CONTAINER) is not None
        and pod.annotations.get(names.ANNOTATION_ADAPTERS) != mark
    ]
    await asyncio.gather(*(_mark(session, pod, mark) for pod in stale))


async def _mark(session: Session, pod: PodView, mark: str) -> None:
    if await session.patch_pod(pod, {"annotations": {names.ANNOTATION_ADAPTERS: mark}}, "annotate"):
        log.info("Told pod %s/%s of another list of adapters", pod.namespace, pod.name)
