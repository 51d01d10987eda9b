"""This strategy chooses the endpoint with the fewest requests in flight; equals take turns.

So the endpoints of an idle backend share its requests evenly.
"""

from __future__ import annotations

from collections.abc import Sequence

from genset.router.backends.balance.base import E, Strategy, Tally, least_loaded


def choose(endpoints: Sequence[E], turn: int, key: int | None, tally: Tally) -> E:
    """Returns the least loaded endpoint; key and tally are ignored."""
    return least_loaded(endpoints, turn)


STRATEGY = Strategy(choose, reads_prompt=False)
