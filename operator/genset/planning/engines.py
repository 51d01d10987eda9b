"""Engines are known to planning by the form of weights that they load, as their settings say it."""

from __future__ import annotations

from genset.api.engines import FIELDS
from genset.api.engines.base import WeightsForm
from genset.engines import MANAGED


def is_pooled(engine: str) -> bool:
    """Says whether an engine loads whole repositories into a pool of GPU memory."""
    return engine in MANAGED and MANAGED[engine].settings.weights not in (WeightsForm.GGUF, WeightsForm.NONE)


def engine_for(pooled: bool) -> str:
    """Returns the first engine of that kind; its name is what people know, if this build has none of it."""
    return next(
        (name for name in FIELDS if name in MANAGED and is_pooled(name) == pooled), "an engine for repositories"
    )


def is_known(engine: str) -> bool:
    """Says whether a ModelDeployment can name the engine."""
    return engine in FIELDS
