"""Licences are compared by their SPDX name in small letters, whatever a file or a model card calls them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

UNKNOWN = "unknown"
_SAME: Mapping[str, str] = {
    "apache": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "apache-2": "apache-2.0",
    "mit license": "mit",
    "llama3": "llama3",
    "llama 3.1": "llama3.1",
    "llama 3.1 community license": "llama3.1",
    "llama 4": "llama4",
    "modified mit": "modified-mit",
}


def normal(licence: str) -> str:
    """Returns a licence as it is compared and shown; empty if none is named."""
    found = " ".join(licence.strip().lower().replace("_", "-").split())[:64]
    return _SAME.get(found, found)


def is_allowed(licence: str, allowed: Collection[str]) -> bool:
    """Says whether a licence is among the allowed ones; none given allows all, `UNKNOWN` stands for an unnamed one."""
    return not allowed or (normal(licence) or UNKNOWN) in {normal(one) for one in allowed}
