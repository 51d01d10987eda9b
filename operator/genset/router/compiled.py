"""What mypyc, which compiles the router for the image, is told of single classes (docs/adr/0007).

This module itself is not compiled: mypyc knows the decorator by its name and takes it away, and nothing else needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**told: bool) -> Callable[[T], T]:
        """The decorator of mypy_extensions, which only those have who compile."""
        return lambda made: made
