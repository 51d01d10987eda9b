"""Advice says what to write instead of a mistake in a document, as far as that can be guessed.

It is for mistakes that people make, and for words that a router of this version does not know. The types say what is
wrong; this module adds what would be right. No value of the document is ever repeated, because somebody may have
written a key there. Pure.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

#: Base URLs of the OpenAI-compatible APIs of providers that have no entry of their own, from the providers'
#: documentation.
_COMPATIBLE: Final = {
    "cerebras": "https://api.cerebras.ai/v1",
    "vllm": "http://HOST:8000/v1",
}
#: What people call a provider -> what it is called here.
_OTHER_NAMES: Final = {
    "amazon": "bedrock",
    "aws": "bedrock",
    "azure": "azureOpenAI",
    "claude": "anthropic",
    "google": "gemini",
    "grok": "xai",
    "otari": "anyLLM",
}
#: What other programs call a field -> what it may be called here. Lower case, letters and digits only.
_ELSEWHERE: Final = {
    **dict.fromkeys(
        ("apikey", "key", "token", "secret", "secretref", "apikeysecretref", "credentials", "credentialssecretref"),
        ("credentialsSecretRef", "apiKeySecretRef"),
    ),
    **dict.fromkeys(("url", "baseurl", "endpoint", "apibase", "host", "address", "server"), ("baseURL", "url")),
    **dict.fromkeys(("modelname", "modelid", "deploymentname"), ("model",)),
    **dict.fromkeys(("type", "kind", "vendor"), ("provider",)),
    **dict.fromkeys(("timeout", "timeoutseconds", "deadline"), ("totalSeconds", "seconds", "queueSeconds")),
    **dict.fromkeys(("retries", "maxretries", "attempts"), ("maxAttempts",)),
    **dict.fromkeys(
        ("contextwindow", "contextlength", "contextsize", "maxcontext", "maxtokens"), ("contextTokens", "tokens")
    ),
    **dict.fromkeys(("concurrency", "maxconcurrency", "maxparallel"), ("maxInFlightPerEndpoint", "maxInFlight")),
    **dict.fromkeys(("fallbacks", "fallback", "priorities"), ("tiers",)),
    **dict.fromkeys(("upstreams", "targets", "providers", "models"), ("backends",)),
    **dict.fromkeys(("origins", "alloworigins"), ("allowedOrigins",)),
}
_SECRET_REFS: Final = ("credentialsSecretRef", "apiKeySecretRef")
_CLOSE: Final = 0.7  # least likeness of two names of which one may be meant for the other (difflib's ratio)
_WORDS: Final = ("enum", "literal_error")


def describe(
    problem: ValidationError, root: type[BaseModel], document: Any = None, *, unknown: str = "", most: int = 20
) -> str:
    """Returns place, reason and remedy of each mistake in a document of the type `root`, in the words of the file.

    `unknown` is what to do about a word or a field that resembles nothing known. At most `most` mistakes are described.
    """
    mistakes = problem.errors()
    told = [_told(mistake, root, document, unknown) for mistake in mistakes[:most]]
    more = [f"and {len(mistakes) - most} more"] if len(mistakes) > most else []
    return "; ".join([*told, *more])


def _told(mistake: Mapping[str, Any], root: type[BaseModel], document: Any, unknown: str) -> str:
    loc, kind = mistake["loc"], mistake["type"]
    field = _place(loc, document) or "document"
    if kind == "extra_forbidden":
        better = _either(_field(str(loc[-1]), root, loc), unknown)
        return f"{field}: there is no such field here: {better or 'take it out'}"
    if kind == "string_pattern_mismatch" and (example := _example(root, loc)):
        return f"{field}: it does not fit; write something like {example}"
    better = _either(_word(mistake), unknown) if kind in _WORDS else ""
    words = str(mistake["msg"]).removeprefix("Value error, ")
    return f"{field}: {words}" + (f" ({better})" if better else "")


def _either(better: str, unknown: str) -> str:
    return "; or ".join(words for words in (better, unknown) if words)


def _place(loc: Sequence[str | int], document: Any) -> str:
    """Returns the path of a place; items of lists are called by their names, if they have any."""
    place, here = "", document
    for step in loc:
        name = None
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
            name = here.get("name", here.get("backend")) if isinstance(here, dict) else None
        else:
            here = None
        if isinstance(step, int):
            place += f"[{name if isinstance(name, str) and name else step}]"
        else:
            place += f".{step}" if place else step
    return place


def _word(mistake: Mapping[str, Any]) -> str:
    """Returns what to write instead of a word that is not one of the allowed ones."""
    given, known = mistake.get("input"), _expected(mistake)
    if not isinstance(given, str):
        return ""
    if (mistake.get("loc") or ("",))[-1] == "provider":
        return _provider(given, known)
    return _did_you_mean(given, known)


def _provider(given: str, known: Sequence[str]) -> str:
    plain = _plain(given)
    for name, ours in _OTHER_NAMES.items():
        if plain.startswith(name) and ours in known:
            return f"did you mean {ours}?"
    for name, url in _COMPATIBLE.items():
        if plain.startswith(name):
            return f"its OpenAI-compatible API works: provider openAICompatible with baseURL {url}"
    return _did_you_mean(given, known) or "any other OpenAI-compatible API: openAICompatible with its baseURL"


def _field(given: str, root: type[BaseModel], loc: Sequence[str | int]) -> str:
    """Returns what to write instead of a field that does not exist."""
    here = _model_at(root, loc[:-1])
    known = _names(here) if here is not None else []
    if spelt := [name for name in known if _plain(name) == _plain(given)]:
        return f"did you mean {spelt[0]}?"
    for name in _ELSEWHERE.get(_plain(given), ()):
        if name in known:
            more = ": {name: SECRET, key: KEY}, which name a Secret that holds it" if name in _SECRET_REFS else ""
            return f"write {name}{more}"
    if better := _did_you_mean(given, known):
        return better
    places = [path for path in _paths(root, "") if path.rpartition(".")[2] == given]
    return f"it belongs to {places[0]}" if len(places) == 1 else ""


def _did_you_mean(given: str, known: Sequence[str]) -> str:
    lower = {name.lower(): name for name in known}
    close = get_close_matches(given.lower(), lower, n=1, cutoff=_CLOSE)
    return f"did you mean {lower[close[0]]}?" if close else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _expected(mistake: Mapping[str, Any]) -> list[str]:
    """Returns the values that pydantic names: "'a', 'b' or 'c'"."""
    context = mistake.get("ctx") or {}
    return [word for word in str(context.get("expected", "")).split("'")[1::2] if word]


# The types


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_at(model: type[BaseModel], name: str) -> FieldInfo | None:
    return next((field for key, field in model.model_fields.items() if name in (field.alias, key)), None)


def _model_at(root: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """Returns the type of the object at a place; None if there is none."""
    here: Any = root
    for step in loc:
        if isinstance(step, int):
            continue  # an item of the list that was just found
        field = _field_at(here, step) if _is_model(here) else None
        here = _inner(field.annotation) if field is not None else None
    return here if _is_model(here) else None


def _example(root: type[BaseModel], loc: Sequence[str | int]) -> str:
    """Returns what a field's type shows as an example; empty if it shows none."""
    names = [index for index, step in enumerate(loc) if isinstance(step, str)]
    model = _model_at(root, loc[: names[-1]]) if names else None
    field = _field_at(model, str(loc[names[-1]])) if model is not None else None
    if field is None:
        return ""
    return next((str(found[0]) for found in _examples(field, field.annotation)), "")


def _examples(field: FieldInfo, annotation: Any) -> Iterator[list[Any]]:
    """Yields the examples of the field itself, and of what its type is annotated with."""
    if field.examples:
        yield field.examples
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, FieldInfo) and item.examples:
            yield item.examples
    for part in typing.get_args(annotation):
        if hasattr(part, "__metadata__") or typing.get_args(part):
            yield from _examples(FieldInfo(), part)


def _paths(model: type[BaseModel], before: str) -> Iterator[str]:
    """Yields the path of every field, as `describe` writes it."""
    for name, field in model.model_fields.items():
        here = f"{before}{field.alias or name}"
        inner = _inner(field.annotation)
        if here == "status":
            continue
        yield here
        if _is_model(inner):
            yield from _paths(inner, f"{here}[]." if _many(field) else f"{here}.")


def _many(field: FieldInfo) -> bool:
    return "list[" in str(field.annotation) or "tuple[" in str(field.annotation)


def _is_model(found: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _inner(annotation: Any) -> Any:
    """Returns what an annotation holds, without None, list, tuple and constraints."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _inner(next(part for part in parts if part is not type(None)))
    if origin in (list, tuple, typing.Annotated):
        return _inner(parts[0])
    return annotation
