"""Least requests in flight; among equals the next in turn, so that an idle backend's endpoints share evenly."""

from __future__ import annotations

from collections.abc import Sequence

from genset.router.backends.balance.base import E, Strategy, Tally, least_loaded


def choose(endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
    """Reads neither the key nor the tally."""
    return least_loaded(endpoints, turn)


STRATEGY = Strategy(choose, reads_prompt=False)
