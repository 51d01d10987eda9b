"""The trail of a request tells which backends were asked, in their order, and how each attempt ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

OK: Final = "ok"


@final
class Step:
    """A step is one attempt. `word` says how it ended: an outcome, another way to ask, or OK for an answer.

    `at` is when it ended, in seconds of the router's clock. `milliseconds` is None while it still runs.
    """

    __slots__ = ("at", "backend", "milliseconds", "word")

    def __init__(self, backend: str, word: str = OK, milliseconds: int | None = None, at: float = 0.0) -> None:
        self.backend = backend
        self.word = word
        self.milliseconds = milliseconds
        self.at = at

    def told(self) -> str:
        """Shows the step as clients and the access log see it: `house:too_late:1500ms`."""
        took = self.milliseconds
        return f"{self.backend}:{self.word}" if took is None else f"{self.backend}:{self.word}:{took}ms"


def told(trail: Sequence[Step]) -> str:
    """Shows the whole trail in one line."""
    return ", ".join([step.told() for step in trail])


def evidence(backend: str, tier: int, reason: str, trail: Sequence[Step]) -> bytes:
    """Returns the x-genset-* header lines. `reason` is shown only if a lower tier answered, or none."""
    lines = f"x-genset-backend: {backend}\r\nx-genset-tier: {tier}\r\n" if backend else ""
    if reason and (tier > 0 or not backend):
        lines += f"x-genset-reason: {reason}\r\n"
    if trail:
        lines += f"x-genset-attempts: {told(trail)}\r\n"
    return lines.encode("latin-1")
