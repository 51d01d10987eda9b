"""A source is where the puller downloads from, with its flags, and with what identifies the bytes that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Final

from genset.contracts.shards import shards_of

DOCKER_HUB: Final = "registry-1.docker.io"
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

    `file` is a glob that must match one model. `include` and `exclude` are globs parted by commas, of a whole folder.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {
        "repo": "--repo", "revision": "--revision", "file": "--file", "endpoint": "--endpoint",
        "include": "--include", "exclude": "--exclude",
    }  # fmt: skip

    repo: str
    revision: str = "main"
    file: str = "*.gguf"
    endpoint: str = ""  # base URL of a mirror; empty: the public hub
    include: str = ""
    exclude: str = ""

    @property
    def identity(self) -> Mapping[str, str]:
        named = {"kind": "huggingFace", "repo": self.repo, "revision": self.revision, "file": self.file}
        return named | _said(include=self.include, exclude=self.exclude)

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


@dataclass(frozen=True)
class S3(RemoteSource):
    """These are objects of a bucket: `uri` is s3://, gs:// or az:// with the bucket and a key that ends in .gguf, or a prefix."""

    FLAGS: ClassVar[Mapping[str, str]] = {
        "uri": "--uri", "region": "--region", "file": "--file", "endpoint": "--endpoint", "include": "--include",
        "exclude": "--exclude", "sha256": "--sha256",
    }  # fmt: skip

    uri: str
    region: str = ""
    file: str = "*.gguf"
    endpoint: str = ""  # base URL of the store; empty: the public one
    include: str = ""
    exclude: str = ""
    sha256: str = ""  # of the one object

    @property
    def identity(self) -> Mapping[str, str]:
        """Returns what identifies the bytes: the checksum if there is one, else the store, too, since buckets of two stores
        may have one name."""
        if self.sha256:
            return {"kind": "s3", "sha256": self.sha256}
        named = {"kind": "s3", "endpoint": self.endpoint, "uri": self.uri, "file": self.file}
        return named | _said(include=self.include, exclude=self.exclude)

    @property
    def is_object(self) -> bool:
        """Returns whether the URI names one object, and not a prefix."""
        return self.uri.endswith(".gguf")

    @property
    def shards(self) -> int:
        return shards_of(self.uri if self.is_object else self.file)


@dataclass(frozen=True)
class Oci(RemoteSource):
    """This is an artifact or image: `reference` is REGISTRY/REPOSITORY with :TAG or @DIGEST.

    `path` is a glob that must match one model in it, or a folder of it. `scheme` is "http" for a registry without TLS.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {"reference": "--reference", "path": "--path", "scheme": "--scheme"}

    reference: str
    path: str = ""
    scheme: str = ""

    @property
    def identity(self) -> Mapping[str, str]:
        return {"kind": "oci", "reference": self.digest or self.reference, "path": self.path}

    @property
    def server(self) -> str:
        """Returns the base URL of the registry. Docker Hub's has another name than its references (distribution/reference)."""
        host = self.reference.partition("/")[0]
        return f"{self.scheme or 'https'}://{DOCKER_HUB if host in ('docker.io', 'index.docker.io') else host}"

    @property
    def repository(self) -> str:
        """Returns the name of the repository in its registry."""
        name = self.reference.partition("@")[0].partition("/")[2]
        name = name.rpartition(":")[0] or name
        return f"library/{name}" if "/" not in name and DOCKER_HUB in self.server else name

    @property
    def version(self) -> str:
        """Returns the digest, or else the tag."""
        return self.digest or self.reference.partition("/")[2].rpartition(":")[2]

    @property
    def digest(self) -> str:
        """Returns the digest that the reference is pinned to; "" if a tag may move."""
        return self.reference.partition("@")[2]

    @property
    def shards(self) -> int:
        return shards_of(self.path)


SOURCES: tuple[type[RemoteSource], ...] = (HuggingFace, Http, S3, Oci)


def source_of(given: Mapping[str, str]) -> RemoteSource:
    """Returns the one source that arguments name, by its fields. A kind is known by its first flag.

    Raises ValueError if they name none, several, or a part of one.
    """
    known = sorted(SOURCES, key=lambda kind: next(iter(kind.FLAGS)) not in given)
    for kind in known:
        flags = kind.FLAGS
        if given.keys() & flags.keys():
            unknown = sorted(f"--{name}" for name in given.keys() - flags.keys())
            if unknown:
                raise ValueError(f"{', '.join(unknown)}: not a flag of a {kind.__name__} source")
            missing = [flags[f.name] for f in fields(kind) if f.default is MISSING and f.name not in given]
            if missing:
                raise ValueError(f"{', '.join(missing)}: needed for a {kind.__name__} source")
            return kind(**given)
    raise ValueError(
        "no source: give --repo (hub), --url with --sha256 (web server), --uri (bucket) or --reference (registry)"
    )


def _said(**fields_: str) -> dict[str, str]:
    """Returns the fields that say something: what came later leaves the identities of before as they were."""
    return {name: value for name, value in fields_.items() if value}
