"""What routers count of the house's share of answers goes into status, and into the condition LocalShareMet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from genset.api.local_share import ShareWindow
from genset.api.routepolicy import Reason, RoutePolicy
from genset.api.routepolicy_status import RouteShare
from genset.contracts.router_admin import ConfigReport
from genset.status.conditions import Verdict

FEWEST_ANSWERS: Final = 20  # by which a share is told: a failover of one in three says nothing
_SHOWN: Final = 5  # routes, for people
_WINDOWS: Final = {ShareWindow.HOUR: "hour", ShareWindow.DAY: "day", ShareWindow.WEEK: "week"}


def shares(resource: RoutePolicy, heard: Iterable[ConfigReport | None]) -> list[RouteShare]:
    """Returns the share of each route that has a target, over all routers that have spoken."""
    counts: dict[str, tuple[int, int]] = {}
    for report in heard:
        for one in report.shares if report is not None else ():
            answers, house = counts.get(one.route, (0, 0))
            counts[one.route] = answers + one.answers, house + one.house
    found = []
    for route in resource.spec.routes:
        if route.local_share is not None:
            answers, house = counts.get(route.name, (0, 0))
            percent = 100 * house // answers if answers >= FEWEST_ANSWERS else None
            found.append(RouteShare(route=route.name, target=route.local_share.target, percent=percent))
    return found


def shown(found: Sequence[RouteShare]) -> str:
    """Returns the shares in a word: one alone, or each with its route."""
    cells = ["-" if one.percent is None else f"{one.percent}%" for one in found[:_SHOWN]]
    if len(found) < 2:
        return "".join(cells)
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*(f"{one.route} {cell}" for one, cell in zip(found, cells, strict=False)), *more])[:256]


def verdict(resource: RoutePolicy, found: Sequence[RouteShare]) -> Verdict | None:
    """Returns what the condition LocalShareMet says; None if no route has a target."""
    if not found:
        return None
    windows = {route.name: route.local_share.window for route in resource.spec.routes if route.local_share is not None}
    below = [
        f"Route {one.route}: the house gave {one.percent} % of the last {_WINDOWS[windows[one.route]]}'s answers, and "
        f"{one.target} % are wanted"
        for one in found
        if one.percent is not None and one.percent < one.target
    ]
    if not below:
        return Verdict("True", Reason.LOCAL_SHARE_MET, "No route is below its localShare.target")
    more = [f"{len(below) - _SHOWN} more routes"] if len(below) > _SHOWN else []
    return Verdict("False", Reason.LOCAL_SHARE_BELOW, "; ".join([*below[:_SHOWN], *more]))
