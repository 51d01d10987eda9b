"""Which images a resource may name is the operator's to say: an image is code, and pods run it in the user's namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator

from genset.desired.context import Settings
from genset.engines import MANAGED

FULL = "Full"


def is_full(settings: Settings) -> bool:
    """Returns whether users may shape pods as if they made them."""
    return settings.pod_template == FULL


def fault(image: str | None, field: str, settings: Settings) -> str:
    """Says why a resource may not name this image, with the remedy; "" if it may."""
    if image is None or is_full(settings) or any(matches(image, pattern) for pattern in _allowed(settings)):
        return ""
    return (
        f"{field} {image} is none of the images that the operator allows: leave it out for the operator's own, or have an "
        "administrator add it to allowedImages of the chart, or run the operator with podTemplate: Full"
    )


def _allowed(settings: Settings) -> Iterator[str]:
    """Yields the operator's own image, those of engines, and the patterns of the setting."""
    yield settings.image
    for images in settings.engine_images.values():
        yield from images.values()
    for engine in MANAGED.values():
        yield from engine.images.values()
    yield from settings.allowed_images


def matches(text: str, pattern: str) -> bool:
    """Returns whether a text, e.g. an image, is of a pattern, in which each * stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
