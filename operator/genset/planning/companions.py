"""What a model has beside its own weights: projector and adapters take memory, too, and have to belong to this model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from genset.api.modeldeployment import ModelDeploymentSpec
from genset.api.sources import Source
from genset.contracts.sources import PUBLIC_HUB
from genset.planning.hub import Hub
from genset.planning.ranges import RangedFile
from genset.planning.where import Where
from genset.sizing import companions
from genset.sizing.gguf import GgufError, GgufHeader, read_header
from genset.sizing.model import ModelFacts
from genset.weights import client as http

_OF_HEADERS = "a source with headersSecretRef can't be read from here"
_WEIGHTS = ("*.safetensors", "*.gguf")


def sizes(sources: Iterable[Source], where: Where) -> list[int]:
    """Returns the bytes of each source; 0 of one that can't be asked from here."""
    return [_size(source, where) for source in sources]


def unfit(spec: ModelDeploymentSpec, model: ModelFacts, where: Where) -> Iterator[str]:
    """Yields what the server will have against companions of a GGUF model, each with its field, as far as headers tell."""
    header = _header(spec.projector, where) if spec.projector is not None else None
    if header is not None and (problem := companions.projector_problem(model.edges.width, header)):
        yield f"spec.projector: {problem}"
    for adapter in spec.adapters:
        header = _header(adapter.source, where)
        if header is not None and (problem := companions.adapter_problem(model.architecture, header)):
            yield f"spec.adapters[{adapter.name}].source: {problem}"


def _header(source: Source, where: Where) -> GgufHeader | None:
    """Returns the header of a companion's file; None if it can't be read from here, or is no GGUF file."""
    try:
        if source.hugging_face is not None:
            block = source.hugging_face
            endpoint = block.endpoint or where.endpoint or PUBLIC_HUB
            with http.make_client("") as client:
                return Hub(client, endpoint, where.token_for(endpoint)).header(block.repo, block.file, block.revision)
        if source.http is not None:
            with http.make_client("") as client:
                stream = cast(BinaryIO, RangedFile(client, source.http.url, {}, _OF_HEADERS))
                return read_header(stream, tensors=True)
        if source.host_path is not None and Path(source.host_path.path).is_file():
            with Path(source.host_path.path).open("rb") as file:
                return read_header(file, tensors=True)
    except GgufError:
        return None  # the puller refuses it, with the reason
    return None


def _size(source: Source, where: Where) -> int:
    if source.hugging_face is not None:
        block = source.hugging_face
        endpoint = block.endpoint or where.endpoint or PUBLIC_HUB
        with http.make_client("") as client:
            hub = Hub(client, endpoint, where.token_for(endpoint))
            return hub.size(block.repo, [block.file] if block.file else _WEIGHTS, block.revision)
    if source.http is not None:
        with http.make_client("") as client:
            stream = RangedFile(client, source.http.url, {}, _OF_HEADERS)
            stream.read(1)
            return stream.size
    if source.host_path is not None and Path(source.host_path.path).exists():
        path = Path(source.host_path.path)
        return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else (path,)) if one.is_file())
    return 0
