"""This registry says which sources of weights there are, with what each comes to in a pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genset.api.modeldeployment import Reason
from genset.api.sources import Source
from genset.api.sources.base import ONE_MODEL, DownloadBlock
from genset.api.sources.s3 import S3Source
from genset.desired.context import Settings
from genset.desired.servers import is_off_limits, off_limits_text, plain_text
from genset.desired.sources import host_path, http, hugging_face, oci, pvc, s3
from genset.desired.sources.base import MODEL, Download, InPlace, Place, SourceKind, SourceProblem

_KINDS: dict[type[Any], SourceKind[Any]] = {
    kind.block: kind for kind in (hugging_face.KIND, http.KIND, s3.KIND, oci.KIND, pvc.KIND, host_path.KIND)
}


def wanted(source: Source, settings: Settings, place: Place = MODEL) -> Download | InPlace:
    """Returns what the source comes to."""
    return _KINDS[type(source.block)].wanted(source.block, settings, place)


def problems(source: Source, settings: Settings, namespace: str, place: Place = MODEL) -> Iterator[SourceProblem]:
    """Yields what is wrong with the source and no schema can tell. `namespace`: of the pods that download."""
    found = wanted(source, settings, place)
    if found.url and is_off_limits(found.url, namespace, settings):
        field = f"{place.field}.{source.block_name}"
        who = "pods" if isinstance(found, Download) else "nodes"
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field}: {off_limits_text(found.url, who, 'downloads')}")
    if isinstance(found, Download):
        yield from _plain_problems(source, found, place)
    yield from _nothing_left(source, place)
    yield from _outside(source, place)
    yield from _file_of_one(source, place)
    yield from _KINDS[type(source.block)].problems(source.block, settings, place)


def _nothing_left(source: Source, place: Place) -> Iterator[SourceProblem]:
    """Yields that everything that a source includes is excluded again."""
    included, excluded = (getattr(source.block, name, None) or () for name in ("include", "exclude"))
    if excluded and ("*" in excluded or (included and set(included) <= set(excluded))):
        field = f"{place.field}.{source.block_name}.exclude"
        told = f"{field} leaves out every file that is asked for, so that nothing would be fetched: take something out of it"
        yield SourceProblem(Reason.INVALID_SPEC, field, told)


def _outside(source: Source, place: Place) -> Iterator[SourceProblem]:
    """Yields globs of names that no file of a repository or bucket has, because they begin at a root or climb."""
    for name in ("file", "include", "exclude"):
        said = getattr(source.block, name, None) or ()
        field = f"{place.field}.{source.block_name}.{name}"
        for glob in (said,) if isinstance(said, str) else said:
            if glob.startswith("/") or ".." in glob.split("/"):
                told = (
                    f"{field} {glob} matches no file: write it as the repository lists it, without / before it or '..'"
                )
                yield SourceProblem(Reason.INVALID_SPEC, field, told)


def _file_of_one(source: Source, place: Place) -> Iterator[SourceProblem]:
    """Yields a glob beside a URL that names one object already, and would win."""
    block = source.block
    if isinstance(block, S3Source) and block.uri.endswith(".gguf") and block.file != ONE_MODEL:
        field = f"{place.field}.{source.block_name}.file"
        told = f"{field} {block.file} has no effect, because uri names one object: remove it, or end uri with / at a prefix"
        yield SourceProblem(Reason.INVALID_SPEC, field, told)


def _plain_problems(source: Source, found: Download, place: Place) -> Iterator[SourceProblem]:
    """Yields why pods may not send a server what the Secrets hold."""
    block, field = source.block, f"{place.field}.{source.block_name}"
    allowed = isinstance(block, DownloadBlock) and block.allow_plain_http
    if found.url.startswith("http://") and not allowed and found.secrets.keys() - {"ca_file"}:
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field}: {plain_text(f'{field}.allowPlainHTTP')}")
