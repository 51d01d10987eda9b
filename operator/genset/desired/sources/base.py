"""A source comes to a download by the puller, or to files that lie somewhere already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from genset import names
from genset.api.base import SecretKeyRef
from genset.api.modeldeployment import Reason
from genset.api.sources.base import SourceBlock
from genset.contracts.puller import Role
from genset.contracts.sources import RemoteSource
from genset.desired.context import Settings
from genset.engines.base import Object

VOLUME = "weights"
#: The pattern by which converters name projectors (llama.cpp, convert_hf_to_gguf.py --mmproj).
ONE_PROJECTOR = "*mmproj*.gguf"

Block = TypeVar("Block", bound=SourceBlock)


@dataclass(frozen=True)
class Place:
    """A place is where one part of a pod's weights belongs, and what it is for.

    `field` is the path of its source in the resource. `volume` and `path` are for files that are mounted as they are.
    """

    field: str = "spec.source"
    role: Role = Role.MODEL
    whole_folder: bool = False
    volume: str = VOLUME
    path: str = names.MODELS_DIR


MODEL = Place()


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

    file: str  # the model, its first shard, or its folder, as its absolute path
    identity: list[str]  # what tells these files from others
    volumes: list[Object]
    mounts: list[Object]
    image: str = ""  # reference of the image that is mounted
    url: str = ""  # of the server that the node fetches it from, and tells `pull_secret`
    pull_secret: str = ""  # name of the Secret that the node needs for that


@dataclass(frozen=True)
class SourceProblem:
    """A problem is what no schema can tell about a source. `field` is its path in the resource."""

    reason: Reason
    field: str
    message: str


def _no_problems(_block: SourceBlock, _settings: Settings, _place: Place) -> Iterator[SourceProblem]:
    yield from ()


@dataclass(frozen=True)
class SourceKind(Generic[Block]):
    """A kind of source has a block in the spec, comes to something, and may be wrong."""

    block: type[Block]
    wanted: Callable[[Block, Settings, Place], Download | InPlace]
    problems: Callable[[Block, Settings, Place], Iterator[SourceProblem]] = _no_problems


def secrets(**named: SecretKeyRef | None) -> dict[str, SecretKeyRef]:
    """Returns those that the block names."""
    return {file: ref for file, ref in named.items() if ref is not None}


def climbs(path: str, field: str) -> Iterator[SourceProblem]:
    """Yields the problem of a path that climbs out of its volume or folder."""
    if ".." in path.split("/"):
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field} must not contain '..': name the file directly")


def globs(patterns: Sequence[str] | None) -> str:
    """Returns patterns as the puller takes them."""
    return ",".join(patterns or ())
