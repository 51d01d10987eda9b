"""Writes the list of models in Anthropic's form. Source: `types/model_info.py` of the anthropic package 2.14.0. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genset.times import rfc3339


def models_page(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the one page of the list: a router knows as many models as its policy names."""
    data = [model_of(entry) for entry in known.values()]
    return {
        "data": data,
        "has_more": False,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def model_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one model. `entry` is that of OpenAI's list, which knows no more than the tokens of the context."""
    return {
        "type": "model",
        "id": entry["id"],
        "display_name": entry["id"],
        "created_at": rfc3339(float(entry["created"])),
        "lifecycle": "active",
        "line": None,
        "capabilities": None,
        "max_input_tokens": entry.get("context_length"),
        "max_tokens": None,
        "deprecated_at": None,
        "retires_at": None,
    }
