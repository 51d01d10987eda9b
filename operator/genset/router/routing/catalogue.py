"""The catalogue is what `/v1/models` lists: names that clients can really use, and the tokens they may count on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from genset.contracts.backend_config import CAPABILITIES
from genset.router.backends.backend import Backend
from genset.router.errors import ErrorAnswer, error
from genset.router.routing.needs import NO_NEEDS
from genset.router.routing.route import Route

TOLD_NAMES: Final = 20  # names of models in an error message
#: The model of a moderation that names none, as OpenAI has it (the API reference, Moderations, `model`).
_MODERATES: Final = "omni-moderation-latest"
_MODERATION: Final = "moderation"  # in the names of all models for it: omni-, text-, mistral-moderation


def catalogue(
    routes: Iterable[Route], adapters: Mapping[str, Mapping[str, Backend]] | None = None
) -> dict[str, dict[str, Any]]:
    """Returns an entry for each model name, in the order of the routes.

    A route lists the names that it takes in full; one that takes a pattern, or any name, lists the matching models of
    its backends and of their `adapters`. `context_length` is the largest context known of a name's backends; `capabilities` say
    what at least one of them can do.
    """
    contexts: dict[str, int] = {}
    lacks: dict[str, frozenset[str]] = {}
    for route in routes:
        backends = [candidate.backend for tier in route.tiers for candidate, _ in tier]
        lacking = frozenset.intersection(*(backend.lacks for backend in backends)) if backends else NO_NEEDS
        largest = max((backend.context_tokens or 0 for backend in backends), default=0)
        names = [name for name in route.config.match.models if not name.endswith("*")]
        served = [name for b in backends for name in (b.target.model, *sorted((adapters or {}).get(b.name, ())))]
        names += [name for name in served if route.any_model or name.startswith(route.prefixes or ("\0",))]
        for name in names:
            contexts[name] = max(contexts.get(name, 0), largest)
            lacks[name] = lacks.get(name, lacking) & lacking
    return {name: _entry(name, context, lacks[name]) for name, context in contexts.items()}


def some_names(known: Iterable[str]) -> str:
    """Returns the first names of a catalogue, for an error message."""
    names = list(known)
    more = f" and {len(names) - TOLD_NAMES} more" if len(names) > TOLD_NAMES else ""
    return ", ".join(names[:TOLD_NAMES]) + more if names else "none by name"


def moderating(names: Mapping[str, Iterable[Backend]]) -> str | ErrorAnswer:
    """Returns the name that a moderation stands for which names no model. `names`: whom a client may name -> who answers then.

    It is OpenAI's own default, or the only name behind which a model for moderations is.
    """
    if _MODERATES in names:
        return _MODERATES
    found = [
        name
        for name, backends in names.items()
        if any(_MODERATION in one.lower() for one in (name, *(backend.target.model for backend in backends)))
    ]
    if len(found) == 1:
        return found[0]
    which = (
        f"several moderate: {some_names(found)}" if found else f"none is known to moderate; models: {some_names(names)}"
    )
    return error("caller_missing_model", f"name a model in `model`: {which}")


def _entry(name: str, context: int, lacks: frozenset[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "genset"}
    entry["capabilities"] = {word: word not in lacks for word in CAPABILITIES}
    return {**entry, "context_length": context} if context else entry
