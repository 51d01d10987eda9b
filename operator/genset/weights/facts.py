"""The facts of a model are read from its files once they are there, for whoever reckons with its memory.

They are told beside the puller's last words. A model whose header says too little is served all the same.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.shards import Shard, shard_names
from genset.sizing import gguf_model, hf_model, licences, told
from genset.sizing.gguf import GgufError, read_header
from genset.sizing.model import ModelError, ModelFacts
from genset.weights.failure import WeightsFailure

_log = logging.getLogger(__name__)
_CONFIG_LIMIT = 8 * 2**20  # bytes


def facts_of(path: Path) -> dict[str, Any]:
    """Returns the facts of the model at a path, a GGUF file or a folder; empty if they cannot be had."""
    try:
        return told.tell(_folder(path) if path.is_dir() else _gguf(path))
    except (OSError, ValueError, GgufError, ModelError, RecursionError) as error:
        _log.warning("Failed to read what the model is: %s", error)
        return {}


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


def _gguf(path: Path) -> ModelFacts:
    shard = Shard.of(path.name)
    headers, size = [], 0
    for name in shard_names(shard.stem, shard.count):
        one = path.with_name(name)
        with one.open("rb") as stream:
            headers.append(read_header(stream, tensors=True))
        size += one.stat().st_size
    return gguf_model.from_headers(headers, size)


def _folder(path: Path) -> ModelFacts:
    config = path / "config.json"
    if config.stat().st_size > _CONFIG_LIMIT:
        raise ModelError("config.json is too long")
    weights = list(path.glob("*.safetensors"))
    model = hf_model.from_config(json.loads(config.read_text()), file_bytes=sum(one.stat().st_size for one in weights))
    return replace(model, name="")
