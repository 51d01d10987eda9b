"""A source comes to a download by the puller, or to files that lie somewhere already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genset.api.base import SecretKeyRef
from genset.api.modeldeployment import Reason
from genset.api.sources.base import SourceBlock
from genset.contracts.sources import RemoteSource
from genset.desired.context import Settings
from genset.engines.base import Object

VOLUME = "weights"

Block = TypeVar("Block", bound=SourceBlock)


@dataclass(frozen=True)
class Download:
    """A download is what the puller is asked for, and the Secrets that it is given, by the field of `FetchSpec` that
    names their file. `url` names the server that is told them."""

    source: RemoteSource
    url: str
    secrets: Mapping[str, SecretKeyRef] = field(default_factory=dict)


@dataclass(frozen=True)
class InPlace:
    """These files are mounted read-only and only looked at."""

    file: str  # the model, or its first shard, in the folder of models
    identity: list[str]  # what tells these files from others
    volumes: list[Object]
    mounts: list[Object]


@dataclass(frozen=True)
class SourceProblem:
    """A problem is what no schema can tell about a source. `field` is its path in the resource."""

    reason: Reason
    field: str
    message: str


def _no_problems(_block: SourceBlock, _settings: Settings) -> Iterator[SourceProblem]:
    yield from ()


@dataclass(frozen=True)
class SourceKind(Generic[Block]):
    """A kind of source has a block in the spec, comes to something, and may be wrong."""

    block: type[Block]
    wanted: Callable[[Block, Settings], Download | InPlace]
    problems: Callable[[Block, Settings], Iterator[SourceProblem]] = _no_problems


def secrets(**named: SecretKeyRef | None) -> dict[str, SecretKeyRef]:
    """Returns those that the block names."""
    return {file: ref for file, ref in named.items() if ref is not None}


def climbs(path: str, field: str) -> Iterator[SourceProblem]:
    """Yields the problem of a path that climbs out of its volume or folder."""
    if ".." in path.split("/"):
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field} must not contain '..': name the file directly")
