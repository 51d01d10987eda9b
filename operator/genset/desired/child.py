"""A resource's children are declared once; what is made, listed, watched and pruned is derived from that.

A child is a kind and its builder. The operator's rights (the chart's ClusterRole) follow from the kinds, too; a test
compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from genset.engines.base import Object
from genset.kinds import Kind

AnyResource = TypeVar("AnyResource")
AnyContext = TypeVar("AnyContext")


@dataclass(frozen=True)
class Child(Generic[AnyResource, AnyContext]):
    """A child is one object that a resource may have.

    The builder gives None if this resource, in this context, has none.
    """

    kind: Kind
    build: Callable[[AnyResource, AnyContext], Object | None]


@dataclass(frozen=True)
class ChildSet(Generic[AnyResource, AnyContext]):
    """A child set is all objects that a resource may have, in the order in which they are worth applying."""

    all: tuple[Child[AnyResource, AnyContext], ...]

    def build(self, resource: AnyResource, context: AnyContext) -> list[Object]:
        """Returns the objects that the resource has."""
        made = (child.build(resource, context) for child in self.all)
        return [item for item in made if item is not None]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Returns each kind once."""
        return tuple(dict.fromkeys(child.kind for child in self.all))

    @property
    def listed(self) -> tuple[Kind, ...]:
        """Returns the kinds that are found by label; the others are read by name."""
        return tuple(kind for kind in self.kinds if kind.listed)
