"""Echoes are our own writes, remembered for a moment, so that the watch event that each one causes starts no reconcile.

An optimisation only: an event that slips through costs one reconcile that writes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

REMEMBERED = 8192  # writes; a burst of 600 resources makes about 5,000


class Echoes:
    """The echoes are a bounded set of (uid, resourceVersion)."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wrote(self, stored: Mapping[str, Any]) -> None:
        """Remembers an object as the API server returned it from our write."""
        metadata = stored.get("metadata") or {}
        self._seen[str(metadata.get("uid")), str(metadata.get("resourceVersion"))] = None
        while len(self._seen) > self._size:
            self._seen.popitem(last=False)

    def is_own(self, metadata: Mapping[str, Any]) -> bool:
        """Returns whether this very version of the object came from our write."""
        return (str(metadata.get("uid")), str(metadata.get("resourceVersion"))) in self._seen
