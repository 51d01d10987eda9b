"""The trail tells clients which backends were asked, and how each attempt ended."""

from __future__ import annotations


def evidence(backend: str, tier: int, reason: str, trail: list[str]) -> bytes:
    """The x-genset-* headers. `reason` only where a lower tier answered, or none."""
    lines = f"x-genset-backend: {backend}\r\nx-genset-tier: {tier}\r\n" if backend else ""
    if reason and (tier > 0 or not backend):
        lines += f"x-genset-reason: {reason}\r\n"
    if trail:
        lines += f"x-genset-attempts: {', '.join(trail)}\r\n"
    return lines.encode("latin-1")
