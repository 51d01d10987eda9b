"""Servers that free their accelerators while their model is at rest are told to sleep, and to wake, pod by pod.

Level-triggered: each pass asks every server whether it sleeps, and tells those that should do otherwise. A pod that starts while
its model rests starts awake and is told; one that is silent is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.engines import managed_engine_of
from genset.engines.base import SleepCalls
from genset.kube.probe import Prober
from genset.status.pod import PodView

AGAIN_SECONDS = 2.0  # between two looks at servers that do not yet do as they should


async def settle(
    prober: Prober,
    resource: ModelDeployment,
    pods: Iterable[PodView],
    *,
    awake: bool,
    port: int = names.ENGINE_PORT,
) -> float | None:
    """Makes servers sleep or wake. Returns when to look again; None if all do as they should, or cannot sleep at all."""
    engine = managed_engine_of(resource)
    if engine is None or engine.sleep is None or not resource.spec.sleeps:
        return None
    asked = [pod for pod in pods if pod.running and pod.address and not pod.leaving]
    done = await asyncio.gather(*(_one(prober, pod.address, port, engine.sleep, awake=awake) for pod in asked))
    return None if all(done) else AGAIN_SECONDS


async def _one(prober: Prober, address: str, port: int, calls: SleepCalls, *, awake: bool) -> bool:
    """Returns whether the server does as it should. One that does not answer is starting: awake, if it ever is."""
    asleep = await prober.asleep(address, port, calls.asleep)
    if asleep is None:
        return awake
    if asleep is not awake:
        return True
    await prober.tell(address, port, calls.wake if awake else calls.sleep)
    return False
