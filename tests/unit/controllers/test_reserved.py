"""What the house's models cost is told of each, as it is now, and of none that is gone."""

from __future__ import annotations

from genset.api.modeldeployment_status import PriceStatus
from genset.controllers.keys import Key
from genset.controllers.reserved import Reserved
from genset.kube.metrics import Metrics


def told(metrics: Metrics) -> dict[tuple[str, str], float]:
    (family,) = metrics.house_cost.collect()
    return {(sample.labels["deployment"], sample.labels["currency"]): sample.value for sample in family.samples}


def price(reserved: str, currency: str = "EUR") -> PriceStatus:
    return PriceStatus(per_hour="0.2", reserved_per_hour=reserved, currency=currency)


def test_each_one_is_told_as_it_is_now() -> None:
    metrics = Metrics()
    reserved = Reserved(metrics.house_cost)
    a, b = (Key("ModelDeployment", "models", name) for name in ("a", "b"))
    reserved.tell(a, price("0.4"))
    reserved.tell(b, None)
    assert told(metrics) == {("a", "EUR"): 0.4}
    reserved.tell(b, price("0"))
    reserved.tell(a, price("0.6", "USD"))
    assert told(metrics) == {("a", "USD"): 0.6, ("b", "EUR"): 0.0}, "one at rest costs nothing, and is there"
    reserved.tell(a, None)
    reserved.drop(b)
    reserved.drop(b)
    assert told(metrics) == {}
    reserved.tell(a, price("1"))
    Reserved(metrics.house_cost)
    assert told(metrics) == {}, "a process that no longer leads tells nothing"
