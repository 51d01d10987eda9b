"""status.price says what a deployment costs the house: one replica, and all that there are. Pure."""

from __future__ import annotations

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import PriceStatus
from genset.pricing.house import hourly
from genset.pricing.money import counted, digits


def status(resource: ModelDeployment, pods: int) -> PriceStatus | None:
    """Returns what it costs while there are so many pods; None if its spec says no price."""
    price = resource.spec.price
    if price is None:
        return None
    if price.per_hour is not None:
        hour = counted(price.per_hour)
    else:
        hour = hourly(price.watts or 0, price.per_kwh or "0", price.hardware_per_month or "0")
    replicas = -(-pods // resource.spec.nodes)  # one that has only some of its pods holds their nodes all the same
    return PriceStatus(per_hour=digits(hour), reserved_per_hour=digits(hour * replicas), currency=price.currency)
