"""A fault is what no schema can tell of a field: engines and builders find it, builders leave out what has one, and
conditions tell it. Pure.
"""

from __future__ import annotations

from typing import NamedTuple


class FieldFault(NamedTuple):
    """A fault is a field of a resource that cannot be taken, and why, with the remedy."""

    field: str
    message: str
