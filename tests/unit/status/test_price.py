"""status.price tells what a deployment costs the house, by its replicas."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.status import price

TABLE: list[tuple[dict[str, Any], int, tuple[str, str]]] = [
    ({"currency": "EUR", "perHour": "0.40"}, 3, ("0.4", "1.2")),
    ({"currency": "EUR", "perHour": "0.40"}, 0, ("0.4", "0")),
    ({"currency": "EUR", "watts": 350, "perKWh": "0.30", "hardwarePerMonth": "73"}, 2, ("0.205", "0.41")),
]


def deployment(**spec: Any) -> ModelDeployment:
    source = {"http": {"url": "http://m/m.gguf", "sha256": "0" * 64}}
    return ModelDeployment.model_validate({"metadata": {"name": "m", "uid": "u"}, "spec": {"source": source, **spec}})


@pytest.mark.parametrize(("said", "pods", "expected"), TABLE)
def test_what_it_costs(said: dict[str, Any], pods: int, expected: tuple[str, str]) -> None:
    found = price.status(deployment(price=said), pods)
    assert found is not None and (found.per_hour, found.reserved_per_hour, found.currency) == (*expected, "EUR")


def test_without_a_price_nothing_is_told() -> None:
    assert price.status(deployment(), 3) is None
