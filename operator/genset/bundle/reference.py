"""A reference names an image as registries know it. What pods leave out is filled in as a container runtime does. Pure."""

from __future__ import annotations

import re

from genset.bundle.errors import BundleError
from genset.contracts.sources import Oci

_FORM = re.compile(
    r"[^\s/@,]+/[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


def whole(image: str) -> str:
    """Returns an image's name with its registry, and a tag if it has no digest (distribution/reference, familiar names)."""
    first, slash, _ = image.partition("/")
    if not slash or ("." not in first and ":" not in first and first != "localhost"):
        image = f"docker.io/{'' if slash else 'library/'}{image}"
    if "@" not in image and ":" not in image.rpartition("/")[2]:
        image = f"{image}:latest"
    if not _FORM.fullmatch(image):
        raise BundleError(f"{image[:300]!r} is no name of an image: write REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST")
    return image


def source_of(image: str, plain: frozenset[str]) -> Oci:
    """Returns how its registry is asked: without TLS if it is among `plain`, or on this machine."""
    host = image.partition("/")[0]
    return Oci(image, scheme="http" if host in plain or _LOOPBACK.fullmatch(host) else "")


def repository_of(image: str) -> str:
    """Returns the repository, without registry, tag and digest: what it is called at any registry that mirrors it."""
    name = image.partition("@")[0].partition("/")[2]
    return name.rpartition(":")[0] or name


def tag_of(image: str, digest: str) -> str:
    """Returns the tag; a name with a digest alone gets one of it, since registries clean away what has none."""
    last = image.partition("@")[0].rpartition("/")[2]
    return last.partition(":")[2] or f"sha256-{digest.removeprefix('sha256:')[:12]}"
