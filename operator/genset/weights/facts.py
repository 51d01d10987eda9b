"""The facts of a model are read from its files once they are there, for whoever reckons with its memory.

They are told beside the puller's last words. A model whose header says too little is served all the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.puller import Companion, Role
from genset.contracts.shards import Shard, shard_names
from genset.sizing import companions as fitting
from genset.sizing import gguf_model, hf_model, licences, told
from genset.sizing.gguf import GgufError, GgufHeader, read_header
from genset.sizing.model import ModelError, ModelFacts
from genset.weights.failure import WeightsFailure

_log = logging.getLogger(__name__)
_CONFIG_LIMIT = 8 * 2**20  # bytes


def facts_of(path: Path, companions: Sequence[Companion] = ()) -> dict[str, Any]:
    """Returns the facts of the model at a path, a GGUF file or a folder, and which companions are for another model.

    Empty if they cannot be had.
    """
    try:
        if path.is_dir():
            return told.tell(_folder(path))
        headers, size = _headers(path)
        model = gguf_model.from_headers(headers, size)
        return told.tell(replace(model, unfit=tuple(_unfit(model, headers, companions))))
    except (OSError, ValueError, GgufError, ModelError, RecursionError) as error:
        _log.warning("Failed to read what the model is: %s", error)
        return {}


def _unfit(model: ModelFacts, headers: Sequence[GgufHeader], companions: Sequence[Companion]) -> Iterator[str]:
    """Yields what the server will have against companions, each with its field. One that can't be read is left to the server."""
    for one in companions:
        try:
            with Path(one.spec.model_path).open("rb") as stream:
                header = read_header(stream, tensors=True)
        except (OSError, GgufError) as error:
            _log.warning("Failed to read what %s is: %s", one.field, error)
            continue
        if one.spec.role == Role.PROJECTOR:
            problem = fitting.projector_problem(model.edges.width, header)
        else:
            problem = fitting.adapter_problem(model.architecture, header, headers)
        if problem:
            yield f"{one.field}: {problem}"


def check_licence(licence: str, allowed: str) -> None:
    """Refuses a model whose licence is not among those that the administrator allows. What was downloaded stays."""
    names = [name for name in allowed.split(",") if name]
    if licences.is_allowed(licence, names):
        return
    shown = f"has licence {licence}" if licence else "names no licence in its files"
    raise WeightsFailure(
        Reason.LICENCE_NOT_ALLOWED,
        f"The model {shown}, and allowed are {', '.join(names)}: choose another model, or have an administrator add "
        f"{licence or licences.UNKNOWN} to allowedLicences",
    )


def _headers(path: Path) -> tuple[list[GgufHeader], int]:
    """Returns the headers of a file, or of all shards of a split model, and the bytes of them all."""
    shard = Shard.of(path.name)
    headers, size = [], 0
    for name in shard_names(shard.stem, shard.count):
        one = path.with_name(name)
        with one.open("rb") as stream:
            headers.append(read_header(stream, tensors=True))
        size += one.stat().st_size
    return headers, size


def _folder(path: Path) -> ModelFacts:
    config = path / "config.json"
    if config.stat().st_size > _CONFIG_LIMIT:
        raise ModelError("config.json is too long")
    weights = list(path.glob("*.safetensors"))
    model = hf_model.from_config(json.loads(config.read_text()), file_bytes=sum(one.stat().st_size for one in weights))
    return replace(model, name="")
