"""These words say what an outage means for requests. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from genset.status.outline import Outline

_SHOWN, _STAND_INS = 6, 4  # routes, and backends that stand in, that a message names


def effect(policy: Outline, affected: Collection[str], down: Collection[str]) -> str:
    """Says what it means for requests of the routes that use `affected`: which have no backend left that is not `down`, and where
    the others go."""
    moved: dict[str, list[str]] = {}
    stranded = []
    for name, tiers in policy.tiers.items():
        if not any(backend in affected for tier in tiers for backend in tier):
            continue
        left = ((number, one) for number, tier in enumerate(tiers, 1) for one in tier if one not in down)
        if (found := next(left, None)) is None:
            stranded.append(name)
        else:
            moved.setdefault(f"{found[1]} (tier {found[0]})", []).append(name)
    said = [f"Requests of {some('route', stranded)} have no other backend"] if stranded else []
    for stand_in, names in list(moved.items())[:_STAND_INS]:
        said.append(f"{'those' if said else 'Requests'} of {some('route', names)} go to {stand_in}")
    return f"{'; '.join(said)}." if said else "No route uses it."


def some(word: str, names: Sequence[str]) -> str:
    """Enumerates the first few: a remedy is to be read behind them."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return listed(word, names[:_SHOWN]) + more


def listed(word: str, names: Sequence[str]) -> str:
    """Enumerates, e.g. `backends a, b`."""
    return f"{word}{'s' if len(names) != 1 else ''} {', '.join(names)}"
