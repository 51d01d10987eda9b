"""A source is where the puller downloads from, with its flags, and with what identifies the bytes that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Final

from genset.contracts.shards import shards_of

PUBLIC_HUB: Final = "https://huggingface.co"  # the base URL of sources that name no mirror


@dataclass(frozen=True)
class RemoteSource(ABC):
    """This is one source on a network."""

    FLAGS: ClassVar[Mapping[str, str]]  # flag of each field, in the order of the arguments

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, str]:
        """Returns what identifies the bytes; neither a mirror nor a URL does."""

    @property
    def shards(self) -> int:
        """Returns the number of files that the model is split into, as the source says it; 1 for a model in one file."""
        return 1


@dataclass(frozen=True)
class HuggingFace(RemoteSource):
    """These are files of a repository on the Hugging Face hub or a mirror.

    `file` is a glob that must match one model.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {
        "repo": "--repo", "revision": "--revision", "file": "--file", "endpoint": "--endpoint",
    }  # fmt: skip

    repo: str
    revision: str = "main"
    file: str = "*.gguf"
    endpoint: str = ""  # base URL of a mirror; empty: the public hub

    @property
    def identity(self) -> Mapping[str, str]:
        return {"kind": "huggingFace", "repo": self.repo, "revision": self.revision, "file": self.file}

    @property
    def shards(self) -> int:
        return shards_of(self.file)


@dataclass(frozen=True)
class Http(RemoteSource):
    """This is one file by URL and checksum (lower-case hexadecimal SHA-256)."""

    FLAGS: ClassVar[Mapping[str, str]] = {"url": "--url", "sha256": "--sha256"}

    url: str
    sha256: str

    @property
    def identity(self) -> Mapping[str, str]:
        return {"kind": "http", "sha256": self.sha256}


SOURCES: tuple[type[RemoteSource], ...] = (HuggingFace, Http)


def source_of(given: Mapping[str, str]) -> RemoteSource:
    """Returns the one source that arguments name, by its fields.

    Raises ValueError if they name none, several, or a part of one.
    """
    for kind in SOURCES:
        flags = kind.FLAGS
        if given.keys() & flags.keys():
            unknown = sorted(f"--{name}" for name in given.keys() - flags.keys())
            if unknown:
                raise ValueError(f"{', '.join(unknown)}: not a flag of a {kind.__name__} source")
            missing = [flags[f.name] for f in fields(kind) if f.default is MISSING and f.name not in given]
            if missing:
                raise ValueError(f"{', '.join(missing)}: needed for a {kind.__name__} source")
            return kind(**given)
    raise ValueError("no source: give --repo (hub) or --url with --sha256 (web server)")
