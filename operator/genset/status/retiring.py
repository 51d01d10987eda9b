"""Models whose end their servers have announced are told ahead, in Warnings: they still answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from genset.api.routepolicy import Reason, RoutePolicy
from genset.contracts.router_admin import ConfigReport
from genset.status.problem import Problem


def of_route_policy(resource: RoutePolicy, routers: Iterable[ConfigReport | None]) -> Iterator[Problem]:
    """Yields the clouds whose answers have announced the end of their model, in the order of the spec."""
    told = {one.backend: one for ack in routers if ack is not None for one in ack.servers}
    for backend in resource.spec.backends:
        found = told.get(backend.name)
        if found is None or backend.cloud is None:
            continue
        field = f"spec.backends[{backend.name}].cloud.model"
        when = f"ends on {found.sunset[:10]}" if found.sunset else "is no longer recommended"
        since = f" (deprecated since {found.deprecated[:10]})" if found.deprecated else ""
        words = f"{field}: answers say that {backend.cloud.model} {when}{since}: name its successor"
        yield Problem(Reason.MODEL_RETIRING, words, field)
