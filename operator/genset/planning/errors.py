"""Planning ends badly in one way: with a sentence for whoever asked."""

from __future__ import annotations


class PlanError(Exception):
    """A plan cannot be made. The message names what, and the remedy."""
