"""What is wanted is looked up at registries, hubs and stores, by digest and checksum, before anything large is read."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from genset.bundle import layout, reference
from genset.bundle.errors import BundleError
from genset.bundle.wanted import Needed, WeightsPart
from genset.contracts.bundle import Blob, Image
from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Oci, RemoteSource
from genset.weights.client import check_status, get
from genset.weights.failure import WeightsFailure
from genset.weights.fetch import lookup
from genset.weights.oci import ARCHITECTURES
from genset.weights.origin import Checksum, RemoteFile, without_secrets
from genset.weights.progress import ProgressLog
from genset.weights.registry import INDEXES, Manifest, Registry, knows
from genset.weights.retry import Attempts, Retry, Transient

LOGIN = "log in with docker login, or name a Docker configuration that may pull from there (--docker-config)"
FILES_LOGIN = "give the credentials that the source asks for in a folder of Secrets (--secrets-dir)"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Means:
    """The means are how servers are asked, and with which credentials."""

    docker_config: str = ""
    secrets_dir: Path | None = None
    ca_file: str = ""
    plain: frozenset[str] = frozenset()  # registries without TLS: HOST:PORT
    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True)
class File:
    """A file is a blob to be: where it comes from, and its digest if that is known already. `title` is its name in a model."""

    remote: RemoteFile
    digest: str = ""
    media_type: str = ""
    title: str = ""

    @property
    def key(self) -> str:
        """Names its content, whichever checksum it has."""
        checksum = self.remote.checksum
        unsure = f" {self.remote.shown}" if checksum.algorithm in ("version", "md5") else ""
        return f"{checksum.algorithm}:{checksum.value}{unsure}"


@dataclass(frozen=True)
class Copied:
    """This is what is copied from a registry as it is: its manifests, and the blobs that these name."""

    name: str
    root: Blob
    manifests: tuple[bytes, ...]
    files: tuple[File, ...]


@dataclass(frozen=True)
class PartFiles:
    """These are the files of a part of a model: copied as an artifact, or to be made one."""

    part: WeightsPart
    copied: Copied | None
    files: tuple[File, ...]


@dataclass(frozen=True)
class BundlePlan:
    """A plan is everything that will be in the bundle."""

    wanted: Needed
    platforms: tuple[str, ...]
    images: tuple[tuple[str, Copied], ...]  # with the name that pods have for it
    parts: tuple[PartFiles, ...]

    def files(self) -> Iterator[File]:
        """Yields every file once, however often it is named."""
        seen: set[str] = set()
        copied = [one.files for _, one in self.images]
        copied += [one.copied.files if one.copied else one.files for one in self.parts]
        for files in copied:
            for file in files:
                if file.key not in seen:
                    seen.add(file.key)
                    yield file

    @property
    def size(self) -> int:
        """Returns the bytes of all files whose size is known before they are read; manifests are left out."""
        return sum(file.remote.size or 0 for file in self.files())


def plan(
    wanted: Needed, platforms: Sequence[str], means: Means, client: httpx.Client, progress: ProgressLog
) -> BundlePlan:
    """Asks for everything. Raises BundleError, which names what could not be had. `client` stays open while files are fetched."""
    copier = _Copier(client, means, platforms, progress)
    images = tuple((image, copier.copied(reference.whole(image))) for image in wanted.images)
    parts = tuple(copier.part(one) for one in wanted.parts)
    return BundlePlan(wanted, tuple(platforms), images, parts)


def origin_of(source: RemoteSource) -> str:
    """Says in one line where a source's files come from, without secrets that a URL may hold."""
    told = {name: without_secrets(value) if "://" in value else value for name, value in vars(source).items()}
    return " ".join(
        value for name, value in told.items() if value and name in ("repo", "revision", "url", "uri", "reference")
    )


def own_platform() -> str:
    """Returns the platform of this machine, as images name it."""
    machine = platform.machine()
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def image_of(asked: str, copied: Copied) -> Image:
    """Returns the table's line for an image."""
    return Image(name=copied.name, root=copied.root, asked=asked)


class _Copier:
    def __init__(self, client: httpx.Client, means: Means, platforms: Sequence[str], progress: ProgressLog) -> None:
        self._client = client
        self._means = means
        self._platforms = platforms
        self._progress = progress

    def copied(self, name: str, files_of: FetchSpec | None = None) -> Copied:
        """Looks an image or artifact up."""
        source = reference.source_of(name, self._means.plain)
        if files_of is not None and isinstance(files_of.source, Oci):
            source = replace(source, scheme=files_of.source.scheme or source.scheme)
        config = files_of.credentials_file if files_of and files_of.credentials_file else self._means.docker_config
        registry = Registry(source, self._client, config if knows(config, source) else "", login=LOGIN)
        root = self._manifest(name, registry, source.version)
        chosen = [root] if not _is_index(root) else self._of_platforms(name, root, registry)
        manifests = [root.content, *(one.content for one in chosen if one is not root)]
        files: dict[str, File] = {}
        for manifest in chosen:
            for blob, _ in layout.references(manifest.content, manifest.media_type):
                files[blob.digest] = _file(blob, name, source, registry)
        media_type = root.media_type or layout.MANIFEST
        return Copied(
            name,
            Blob(media_type=media_type, digest=root.digest, size=len(root.content)),
            tuple(manifests),
            tuple(files.values()),
        )

    def _of_platforms(self, name: str, index: Manifest, registry: Registry) -> list[Manifest]:
        """Returns the manifests of the platforms that are wanted; all of them if "all" is."""
        found: list[tuple[str, str]] = []
        for entry in index.document["manifests"]:
            of = entry.get("platform") or {}
            found.append((f"{of.get('os', 'linux')}/{of.get('architecture', 'any')}", entry["digest"]))
        every = "all" in self._platforms
        chosen = [digest for shown, digest in found if every or shown in self._platforms]
        missing = () if every else sorted(set(self._platforms) - {shown for shown, _ in found})
        if missing:
            there = ", ".join(sorted({shown for shown, _ in found if not shown.startswith("unknown")})) or "nothing"
            raise BundleError(f"{name} has nothing for {missing[0]}; it has: {there}")
        return [self._manifest(name, registry, digest) for digest in chosen]

    def _manifest(self, name: str, registry: Registry, version: str) -> Manifest:
        return self._asked(name, lambda: registry.manifest(version))

    def part(self, part: WeightsPart) -> PartFiles:
        """Looks a part of a model up."""
        spec = replace(part.spec, **self._credentials(part))
        shown = f"ModelDeployment {part.deployment}, {part.field}"
        if isinstance(spec.source, Oci):
            return PartFiles(part, self.copied(spec.source.reference, spec), ())
        resolved = self._asked(shown, lambda: lookup(spec).resolve(spec.source, spec))
        every = [self._sized(shown, remote) for remote in resolved.files]
        files = [_weight(remote, number) for number, remote in enumerate(every)]
        return PartFiles(part, None, tuple(files))

    def _sized(self, shown: str, remote: RemoteFile) -> RemoteFile:
        return self._asked(shown, lambda: _sized(self._client, remote))

    def _credentials(self, part: WeightsPart) -> dict[str, Any]:
        """Returns the files of a source's Secrets, and the certificates that all are held against."""
        given: dict[str, Any] = {"ca_file": self._means.ca_file} if self._means.ca_file else {}
        for field_, (name, key) in part.secrets.items():
            folder = self._means.secrets_dir
            path = folder / name / key if folder else None
            if path is None or not path.is_file():
                raise BundleError(
                    f"{part.field} of ModelDeployment {part.deployment} needs Secret {name}: give a folder with a file "
                    f"{name}/{key} in it (--secrets-dir)"
                )
            given[field_] = str(path)
        return given

    def _asked(self, shown: str, question: Callable[[], _T]) -> _T:
        return asked(shown, question, self._means.retry, self._progress)


def asked(shown: str, question: Callable[[], _T], retry: Retry, progress: ProgressLog) -> _T:
    """Asks until there is an answer, or patience ends. Raises BundleError, which begins with what was asked for."""
    attempts = Attempts(retry, progress)
    try:
        while True:
            try:
                return question()
            except Transient as trouble:
                attempts.wait(trouble)
    except WeightsFailure as failure:
        text = failure.message if failure.message.startswith(shown) else f"{shown}: {failure.message}"
        raise BundleError(text) from failure


def _is_index(manifest: Manifest) -> bool:
    return manifest.media_type in INDEXES or isinstance(manifest.document.get("manifests"), list)


def _file(blob: Blob, name: str, source: Oci, registry: Registry) -> File:
    remote = RemoteFile(
        url=f"{source.server}/v2/{source.repository}/blobs/{blob.digest}",
        name=f"{name} {blob.digest[:19]}",
        checksum=Checksum("sha256", blob.digest.partition(":")[2]),
        size=blob.size,
        pinned=True,
        path=blob.digest,  # it may be anything, and not only a model
        renewed=lambda: registry.blob(blob.digest),
    )
    return File(remote, blob.digest, blob.media_type)


def _sized(client: httpx.Client, remote: RemoteFile) -> RemoteFile:
    """Returns a file with its size, which a web server tells with the head of its answer."""
    if remote.size is not None:
        return remote
    with get(client, *remote.request(), {"range": "bytes=0-0"}) as answer:
        check_status(answer, remote.shown, login=FILES_LOGIN)
        told = answer.headers.get("content-range", "").rpartition("/")[2]
        length = told if answer.status_code == 206 else answer.headers.get("content-length", "")
    return replace(remote, size=int(length)) if length.isdigit() else remote


def _weight(remote: RemoteFile, number: int) -> File:
    title = remote.path or remote.name.rpartition("/")[2] or f"model-{number}.gguf"
    known = f"sha256:{remote.checksum.value}" if remote.checksum.algorithm == "sha256" else ""
    return File(remote, known, title=title)
