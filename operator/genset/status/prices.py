"""What nobody knows the price of is told: its costs are left out of every sum, and shown as unknown. Pure."""

from __future__ import annotations

from genset.api.routepolicy import Reason, RoutePolicy
from genset.desired import prices
from genset.status.conditions import Verdict

_SHOWN = 3  # backends, by name


def verdict(resource: RoutePolicy) -> Verdict | None:
    """Returns what the condition PricesKnown says; None if every price is known."""
    unknown = [
        f"{backend.name} ({backend.cloud.provider} {backend.cloud.model})"
        for backend in resource.spec.backends
        if backend.cloud is not None and not prices.is_known(backend.cloud)
    ]
    if not unknown:
        return None
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    words = (
        f"Nobody knows what {', '.join(unknown[:_SHOWN])}{more} cost: requests there are counted without a cost; write it into "
        "cloud.price of the backend"
    )
    return Verdict("False", Reason.PRICE_UNKNOWN, words)
