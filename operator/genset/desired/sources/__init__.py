"""This registry says which sources of weights there are, with what each comes to in a pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genset.api.modeldeployment import Reason
from genset.api.sources import Source
from genset.api.sources.base import DownloadBlock
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
    if isinstance(found, Download):
        yield from _server_problems(source, found, settings, namespace, place)
    yield from _KINDS[type(source.block)].problems(source.block, settings, place)


def _server_problems(
    source: Source, found: Download, settings: Settings, namespace: str, place: Place
) -> Iterator[SourceProblem]:
    """Yields why pods may not ask the server of a download, or may not send it what the Secrets hold."""
    block, field = source.block, f"{place.field}.{source.block_name}"
    if is_off_limits(found.url, namespace, settings):
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field}: {off_limits_text(found.url, 'pods', 'downloads')}")
    allowed = isinstance(block, DownloadBlock) and block.allow_plain_http
    if found.url.startswith("http://") and not allowed and found.secrets.keys() - {"ca_file"}:
        yield SourceProblem(Reason.INVALID_SPEC, field, f"{field}: {plain_text(f'{field}.allowPlainHTTP')}")
