"""Names of models that somebody may name: exact ones, and beginnings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final


@final
class ModelNames:
    """These names are a set, told by patterns as a route's are: exact, or with a * at the end."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, patterns: Iterable[str]) -> None:
        told = tuple(patterns)
        self._exact = frozenset(name for name in told if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in told if name.endswith("*"))

    def holds(self, model: str) -> bool:
        return model in self._exact or model.startswith(self._prefixes or ("\0",))

    def those_of(self, models: Iterable[str]) -> list[str]:
        """Returns those of these models that are among the names."""
        return [model for model in models if self.holds(model)]
