"""What routes survive is shown as a table for people and as JSON lines, by the status of policies. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from genset.columns import aligned
from genset.continuity.coverage import Survival

_HEADS = ("POLICY", "ROUTE", "LOSS OF", "OUTCOME", "TIER", "LACKS", "CAPACITY", "WHY")


@dataclass(frozen=True)
class LossRow:
    """A row tells what one loss does to one route."""

    policy: str
    route: str
    kind: str
    name: str
    outcome: str
    tier: int | None
    lacks: tuple[str, ...]
    capacityPercent: int | None
    why: str


def rows(policies: Iterable[Mapping[str, Any]]) -> Iterator[LossRow]:
    """Yields what the status of policies says, as the API server has them."""
    for policy in policies:
        for route in (policy.get("status") or {}).get("coverage") or ():
            for loss in route.get("losses") or ():
                yield LossRow(
                    policy=str(policy["metadata"]["name"]),
                    route=str(route.get("route", "")),
                    kind=str(loss.get("kind", "")),
                    name=str(loss.get("name") or ""),
                    outcome=str(loss.get("outcome", "")),
                    tier=loss.get("tier"),
                    lacks=tuple(map(str, loss.get("lacks") or ())),
                    capacityPercent=loss.get("capacityPercent"),
                    why=str(loss.get("why", "")),
                )


def table(found: Sequence[LossRow]) -> str:
    """Returns a line for each row, under their heads; "" without any."""
    if not found:
        return ""
    return "\n".join(aligned([_HEADS, *map(_cells, found)]))


def as_json(found: Sequence[LossRow]) -> str:
    """Returns a JSON object a line."""
    return "\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in found)


def ends_a_route(found: Iterable[LossRow]) -> bool:
    """Returns whether a single loss ends a route."""
    return any(row.outcome == Survival.LOST for row in found)


def is_untouched(row: LossRow) -> bool:
    """Returns whether the route goes on as it was."""
    return row.outcome == Survival.SURVIVES


def _cells(row: LossRow) -> tuple[str, ...]:
    return (
        row.policy,
        row.route,
        f"{row.kind} {row.name}".strip(),
        row.outcome,
        "-" if row.tier is None else str(row.tier),
        ",".join(row.lacks) or "-",
        "-" if row.capacityPercent is None else f"{row.capacityPercent} %",
        row.why,
    )
