"""The outage book notices what routers see as down: each router is asked every few seconds, and the policy enqueued
when one says news.

The reconcile asks the routers itself and writes what they say; here is only remembered what it heard, so that a look
can tell whether anything is new. Plain HTTP over kept-alive connections, spread over the period; the API server is not
asked, and nothing is written while nothing changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from genset.contracts.router_admin import ConfigReport
from genset.controllers.keys import Key
from genset.controllers.queue import WorkQueue
from genset.kube.probe import Prober

PERIOD_SECONDS = 5.0  # between two questions to one router
SHARE_SECONDS = 60.0  # at least, until a policy is reconciled because routes' local shares have changed
LOOKS_PER_SECOND = 40.0  # policies; with more of them than fit, a round takes longer


@dataclass(frozen=True)
class _Heard:
    address: str
    said: ConfigReport | None
    at: float


class OutageBook:
    """The outage book knows where the routers of each policy run, and what each of them said last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._routers: dict[Key, dict[str, _Heard]] = {}

    def heard(
        self, policy: Key, addresses: Mapping[str, str], said: Mapping[str, ConfigReport | None]
    ) -> dict[str, ConfigReport | None]:
        """Notes that a reconcile has asked the routers at `addresses`, by pod name.

        Returns what each says, or said when it last spoke.
        """
        before = self._routers.pop(policy, {})
        now = {}
        for name, address in addresses.items():
            known = before.get(name)
            earlier = known.said if known is not None and known.address == address else None
            now[name] = _Heard(address, said.get(name) or earlier, self._clock())
        if now:
            self._routers[policy] = now
        return {name: router.said for name, router in now.items()}

    def drop(self, policy: Key) -> None:
        """Forgets a policy that is gone."""
        self._routers.pop(policy, None)

    def any_refuses(self, policy: Key) -> bool:
        """Returns whether a router has said last that it cannot read the policy's configuration."""
        return any(router.said is not None and router.said.error for router in self._routers.get(policy, {}).values())

    def policies(self) -> list[Key]:
        return list(self._routers)

    def addresses(self, policy: Key) -> dict[str, str]:
        """Returns the addresses of the routers to ask, by pod name."""
        return {name: router.address for name, router in self._routers.get(policy, {}).items()}

    def is_news(self, policy: Key, name: str, said: ConfigReport | None) -> bool:
        """Returns whether a router says something else than a reconcile has heard.

        Silence is none: pods are watched.
        """
        known = self._routers.get(policy, {}).get(name)
        if known is None or said is None:
            return False
        if known.said is None or _told(said) != _told(known.said):
            return True
        return self._clock() - known.at >= SHARE_SECONDS and _percents(said) != _percents(known.said)


def _told(ack: ConfigReport) -> ConfigReport:
    """Leaves the times out: a router works them out anew at each question, and a file that was only touched is no news.

    So it leaves out what changes with each answer; what was spent of a budget is news by the percent.
    """
    budgets = tuple(replace(budget, spent="", uncounted=min(1, budget.uncounted)) for budget in ack.budgets)
    outages = tuple(replace(outage, since="") for outage in ack.outages)
    return replace(ack, loaded_at="", outages=outages, shares=(), budgets=budgets)


def _percents(ack: ConfigReport) -> dict[str, int]:
    return {share.route: 100 * share.house // share.answers for share in ack.shares if share.answers}


async def poll(book: OutageBook, prober: Prober, queue: WorkQueue[Key], *, period: float = PERIOD_SECONDS) -> None:
    """Looks until cancelled. A router that is slow to answer delays no other."""

    async def look(policy: Key) -> None:
        asked = book.addresses(policy)
        answers = await asyncio.gather(*(prober.router_config(address) for address in asked.values()))
        for name, answer in zip(asked, answers, strict=True):
            if is_of(answer, policy) and book.is_news(policy, name, answer):
                queue.add(policy)
                return

    async with asyncio.TaskGroup() as group:
        while True:
            policies = book.policies()
            if not policies:
                await asyncio.sleep(period)
            for policy in policies:
                group.create_task(look(policy), name=f"look-{policy}")
                await asyncio.sleep(max(period / len(policies), 1 / LOOKS_PER_SECOND))


def is_of(answer: ConfigReport | None, policy: Key) -> bool:
    """Returns whether it is a router of this policy that answers: an address may have gone to another pod meanwhile."""
    return answer is not None and (answer.namespace or policy.namespace, answer.name or policy.name) == (
        policy.namespace,
        policy.name,
    )
