"""A source resolves to files with URL, size and checksum, before a byte of them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from genset.contracts.puller import FetchSpec
from genset.contracts.sources import RemoteSource

AnySource = TypeVar("AnySource", bound=RemoteSource)


class Hasher(Protocol):
    """A hasher is the part of hashlib objects that is used."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Checksum:
    """A checksum is `sha256` for almost everything; `gitSha1` for the few hub files that are not in large-file storage; `md5`
    for objects whose ETag is one; `version` if there is none at all: then the value names the version at the source, which
    every part of a download has to be of."""

    algorithm: str
    value: str

    def hasher(self, size: int | None) -> Hasher:
        """Returns a fresh hash object. Git hashes "blob <size>", a zero byte and the content, so it needs the size."""
        if self.algorithm == "sha256":
            return hashlib.sha256()
        if self.algorithm == "md5":
            return hashlib.md5(usedforsecurity=False)
        if self.algorithm == "version":
            return _Unhashed(self.value)
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(f"blob {size}\0".encode())
        return digest


class _Unhashed:
    """This stands for a hash object of a file that nobody gave a checksum of."""

    def __init__(self, value: str) -> None:
        self._value = value

    def update(self, data: bytes, /) -> None:
        pass

    def hexdigest(self) -> str:
        return self._value


@dataclass(frozen=True)
class RemoteFile:
    """This is one file at its source."""

    url: str
    name: str  # at the source, for people; never used as a path
    checksum: Checksum
    size: int | None = None  # bytes; None when the source does not say before the download
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # credentials: sent to the URL's origin only
    pinned: bool = False  # the URL can't change its content (a commit): parts may be joined without If-Range
    path: str = ""  # in the folder of a model that is fetched as a whole; "" for a GGUF file, whose place is known
    etag: str = ""  # with its quotes, of the version that was resolved: another one is not taken
    archive: str = ""  # it is unpacked: tar, tar+gzip or tar+zstd
    #: Returns URL and headers for the next request, if those that were resolved go out of date (signatures, tokens).
    renewed: Callable[[], tuple[str, Mapping[str, str]]] | None = field(default=None, repr=False, compare=False)

    def request(self) -> tuple[str, Mapping[str, str]]:
        """Returns URL and headers of a request that is made now."""
        return self.renewed() if self.renewed is not None else (self.url, self.headers)

    @property
    def shown(self) -> str:
        """Returns the URL for messages: without user, query and fragment, where credentials hide."""
        return without_secrets(self.url)


@dataclass(frozen=True)
class Resolved:
    """These are the files of one model, in the order of its shards."""

    files: tuple[RemoteFile, ...]
    revision: str = ""  # commit, for a hub; digest, for a registry
    known_as: str = ""  # content of what was unpacked: by the archives, whatever was in them

    @property
    def content(self) -> str:
        """Names this content on the volume: the same bytes have the same name, whatever the commit."""
        if self.known_as:
            return self.known_as
        text = "\n".join(f"{file.checksum.algorithm}:{file.checksum.value}{_at(file.path)}" for file in self.files)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lookup(Generic[AnySource]):
    """A lookup is how the puller asks one kind of source."""

    source: type[AnySource]
    login: str  # what a person does about a refusal
    #: Asks what the spec's source has. Raises WeightsFailure, or Transient for what may pass.
    resolve: Callable[[AnySource, FetchSpec], Resolved]
    is_fixed: Callable[[AnySource], bool]  # whether its content can never change


def _at(path: str) -> str:
    return f" {path}" if path else ""


def without_secrets(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host_and_path = rest.split("?")[0].split("#")[0]
    host, slash, path = host_and_path.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
