"""A problem is what keeps a resource from being what it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A problem keeps a resource from being what it says: a constant reason, words for a person, the field."""

    reason: str
    message: str
    field: str = ""
