"""A histogram of Prometheus is a count for each bound: of all that was not above it. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def quantile(counts: Mapping[float, float], share: float) -> float | None:
    """Returns below which value this share of a histogram is; None if nothing was counted.

    Inside a bucket it is taken as evenly spread, as Prometheus does; beyond the last bound it is that bound.
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, below, low = share * total, 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank:
            if bound == float("inf"):
                return low
            inside = counts[bound] - below
            return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        below, low = counts[bound], bound
    return low
