"""Says what a backend cannot do, so that no request that needs it goes there.

A policy's word counts. Of a cloud everything is assumed but what `providers/abilities.toml` names; a model of the house sees,
hears and reads files only if somebody says so, because most do not, and some of their servers take a picture for text. Whether it
sees and hears may be its server who says so (`watch.sense_watch`). Pure.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Final, NamedTuple

from genset.contracts.backend_config import BackendConfig

_OF_THE_HOUSE: Final[frozenset[str]] = frozenset({"vision", "audio", "files"})
_SENSES: Final[frozenset[str]] = frozenset({"vision", "audio"})


class Inability(NamedTuple):
    """An inability is one of models of a provider, whose names are like one of `models`."""

    provider: str
    models: tuple[str, ...]
    lacks: frozenset[str]
    source: str


def _read() -> Iterator[Inability]:
    text = files("genset.router.providers").joinpath("abilities.toml").read_text()
    for row in tomllib.loads(text)["known"]:
        yield Inability(row["provider"], tuple(row["models"]), frozenset(row["lacks"]), row["source"])


KNOWN: Final = tuple(_read())


def lacks_of(config: BackendConfig) -> frozenset[str]:
    """Returns what a backend cannot do."""
    lacks: set[str] = set()
    if config.kind == "local":
        lacks |= _OF_THE_HOUSE
    elif config.url is not None:
        for known in KNOWN:
            if known.provider == config.url.provider and any(fnmatchcase(config.model, like) for like in known.models):
                lacks |= known.lacks
    for word, can in config.capabilities.said().items() if config.capabilities is not None else ():
        if can:
            lacks.discard(word)
        else:
            lacks.add(word)
    return frozenset(lacks)


def senses_untold(config: BackendConfig) -> frozenset[str]:
    """Returns the senses of a model of the house of which the configuration says nothing, so that its servers may."""
    if config.kind != "local":
        return frozenset()
    return _SENSES.difference(config.capabilities.said() if config.capabilities is not None else ())
