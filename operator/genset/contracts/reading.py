"""Reading is tolerant of JSON that another release may have written: what is absent or of another type counts as not
told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def parsed(body: bytes | str) -> Mapping[str, Any]:
    """Returns the object that a document holds; empty if it holds none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """Returns a count that a status can hold, whose numbers have 63 bits."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def duration(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
