"""A verb of `genset bundle` ends badly with one exception, whose text is for whoever typed the command."""

from __future__ import annotations


class BundleError(Exception):
    """The bundle can't be made, or is not what it says. The message names what, and the remedy."""
