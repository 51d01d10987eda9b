"""Models on this machine's disk: a GGUF file with its shards, or the folder of a repository."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from genset.contracts.shards import Shard, shard_names
from genset.planning.errors import PlanError
from genset.planning.found import Found
from genset.sizing import gguf_model, hf_model
from genset.sizing.gguf import GgufError, read_header
from genset.sizing.model import ModelError
from genset.sizing.quantisation import in_file_name


def find(path: Path) -> Found:
    """Returns the model in a file or a folder."""
    try:
        return _folder(path) if path.is_dir() else _gguf(path)
    except OSError as error:
        raise PlanError(f"{path} can't be read: {error.strerror or error}") from error
    except ModelError as error:
        raise PlanError(f"{path}: {error}") from error


def _gguf(path: Path) -> Found:
    shard = Shard.of(path.name)
    paths = [path.with_name(name) for name in shard_names(shard.stem, shard.count)]
    headers = []
    for one in paths:
        with one.open("rb") as stream:
            try:
                headers.append(read_header(stream, tensors=True))
            except GgufError as error:
                raise PlanError(f"{one}: {error}") from error
    model = gguf_model.from_headers(headers, sum(one.stat().st_size for one in paths))
    model = replace(model, quantisation=in_file_name(path.name) or model.quantisation)
    source = {"hostPath": {"path": str(path.resolve())}}
    return Found(model, False, str(path), source, files=len(paths))


def _folder(path: Path) -> Found:
    config = path / "config.json"
    if not config.is_file():
        ggufs = sorted(
            one for one in path.glob("*.gguf") if Shard.of(one.name).number == 1 and "mmproj" not in one.name
        )
        if len(ggufs) == 1:
            return _gguf(ggufs[0])
        raise PlanError(f"{path} holds no config.json and {len(ggufs)} GGUF models: name one file")
    try:
        values = json.loads(config.read_text())
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{config} is no JSON") from error
    weights = sorted(path.glob("*.safetensors"))
    size = sum(one.stat().st_size for one in weights)
    model = hf_model.from_config(values, file_bytes=size, name=path.name)
    return Found(model, True, str(path), {"hostPath": {"path": str(path.resolve())}}, files=len(weights))
