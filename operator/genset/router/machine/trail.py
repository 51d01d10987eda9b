"""The trail of a request tells which backends were asked, in their order, and how each attempt ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

OK: Final = "ok"


@final
class Step:
    """One attempt. `word` says how it ended: that of an outcome, or of another way to ask; OK is an answer.

    `at` is the time of its end, in seconds of the router's clock. `milliseconds` is None while it still answers.
    """

    __slots__ = ("at", "backend", "milliseconds", "word")

    def __init__(self, backend: str, word: str = OK, milliseconds: int | None = None, at: float = 0.0) -> None:
        self.backend = backend
        self.word = word
        self.milliseconds = milliseconds
        self.at = at

    def told(self) -> str:
        """As clients and the access log see it: `house:too_late:1500ms`."""
        took = self.milliseconds
        return f"{self.backend}:{self.word}" if took is None else f"{self.backend}:{self.word}:{took}ms"


def told(trail: Sequence[Step]) -> str:
    """The whole trail in one line."""
    return ", ".join([step.told() for step in trail])


def evidence(backend: str, tier: int, reason: str, trail: Sequence[Step]) -> bytes:
    """The x-genset-* header lines. `reason` is shown only where a lower tier answered, or none."""
    lines = f"x-genset-backend: {backend}\r\nx-genset-tier: {tier}\r\n" if backend else ""
    if reason and (tier > 0 or not backend):
        lines += f"x-genset-reason: {reason}\r\n"
    if trail:
        lines += f"x-genset-attempts: {told(trail)}\r\n"
    return lines.encode("latin-1")
