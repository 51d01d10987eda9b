"""The way out of a pod that downloads is closed when its weights are there, and opened again if they are fetched anew.

A NetworkPolicy with a way out selects pods by the label `genset.dev/downloading`. Pods are born with it; here it is taken
off once the weights container has ended well, so that an engine that serves may talk to nobody. A connection that stands
at that moment may stay, as network plugins differ; a new one is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.controllers.session import Session
from genset.status.pod import PodView

log = logging.getLogger(__name__)


async def bound_to_downloads(session: Session, resource: ModelDeployment, pods: Iterable[PodView]) -> None:
    """Makes each pod of a downloaded model carry the label if and only if its weights container has work to do."""
    downloads = any(part.source.block.downloaded for part in resource.spec.parts)
    if not session.settings.network_policies or not downloads:
        return
    wrong = [pod for pod in pods if pod.counts and needs_way_out(pod) != _has_way_out(pod)]
    await asyncio.gather(*(_label(session, pod) for pod in wrong))


def needs_way_out(pod: PodView) -> bool:
    """Returns whether a pod's weights are still to be fetched: also after a restart of the pod, which looks at them anew."""
    state = pod.container(names.WEIGHTS_CONTAINER)
    if state is None:  # nobody has looked yet, or a podTemplate has taken the container away
        return pod.conditions.get("Initialized", {}).get("status") != "True"
    return not state.ended_well


def _has_way_out(pod: PodView) -> bool:
    return pod.labels.get(names.LABEL_DOWNLOADING) == names.DOWNLOADING


async def _label(session: Session, pod: PodView) -> None:
    value = names.DOWNLOADING if needs_way_out(pod) else None
    if await session.patch_pod(pod, {"labels": {names.LABEL_DOWNLOADING: value}}, "label"):
        log.info("%s the way out of pod %s/%s", "Opened" if value else "Closed", pod.namespace, pod.name)
