"""What a podTemplate may say is judged here against the pod that genset makes of the same resource."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from genset.api.pod_template import PodTemplate
from genset.desired import pod_path
from genset.engines.base import Object

_NAMED = 8  # fields that a message lists


class PodFault(NamedTuple):
    """A fault is a field of a podTemplate that cannot be taken, and why, with the remedy."""

    field: str
    message: str


def faults(own: Object, patch: PodTemplate | None, at: str) -> Iterator[PodFault]:
    """Yields what of a podTemplate cannot be taken. `own` is the pod before it, `at` the podTemplate's own path."""
    if patch is None:
        return
    for index, path in enumerate(patch.remove):
        if not pod_path.is_there(own["spec"], path):
            yield _names_nothing(own["spec"], path, f"{at}.remove[{index}]")


def _names_nothing(spec: Object, path: str, field: str) -> PodFault:
    known, names = pod_path.there_instead(spec, path)
    shown = ", ".join(names[:_NAMED]) + (" and more" if len(names) > _NAMED else "")
    under = f" ({known} has {shown})" if shown else ""
    return PodFault(
        field, f"{field}: {path} names nothing that genset sets in these pods{under}: correct the path, or take it out"
    )
