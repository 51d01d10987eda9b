"""The folder of a model, as engines read that load safetensors: configuration, tokenizer, and every shard of the weights.

Nothing is loaded; the input is hostile, so that every length is bounded before it is used. What is missing or cut off is
named here, once, and not by an engine that crashes again and again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.puller import Role
from genset.weights.choice import WEIGHTS, stays_inside
from genset.weights.failure import WeightsFailure

_INDEX = ".safetensors.index.json"
_JSON_BYTES = 64 << 20  # of an index; one of 100,000 tensors has about 10 MB
_HEADER_BYTES = 100_000_000  # of a safetensors file, as its own library bounds it
_SHOWN = 10  # names in a message


def check_folder(folder: Path, shown: str, role: str) -> None:
    """Checks that a folder holds a whole model, or a whole adapter. `shown` is its name in messages."""
    try:
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    except OSError as error:
        raise _unreadable(shown, error) from error
    needed = "adapter_config.json" if role == Role.ADAPTER else "config.json"
    if not folder.is_dir() or not names:
        raise WeightsFailure(Reason.SOURCE_NOT_FOUND, f"{shown} is no folder with files in it; check the path")
    if needed not in names:
        raise _incomplete(shown, f"{needed} is missing, which every {role or 'model'} has; it has {_list(names)}")
    weights = {name for name in names if name.endswith(WEIGHTS)}
    if not weights:
        raise _incomplete(shown, f"no .safetensors file is among its files: {_list(names)}")
    for name in sorted(names):
        if name.endswith(_INDEX):
            check_index(folder / name, f"{shown}: {name}", names)
        elif name.endswith(".safetensors"):
            _check_safetensors(folder / name, f"{shown}: {name}")
        elif name == needed:
            _object(folder / name, f"{shown}: {name}")


def check_index(path: Path, shown: str, names: Iterable[str]) -> None:
    """Checks that every shard that an index names is among the names of files, which are relative to the folder."""
    shards = _object(path, shown).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise WeightsFailure(
            Reason.NOT_A_MODEL, f"{shown} has no weight_map: it is no index of shards; check the source"
        )
    there = set(names)
    missing = sorted({name for name in shards.values() if name not in there or not stays_inside(name)})
    if missing:
        raise WeightsFailure(
            Reason.NOT_A_MODEL,
            f"{shown} names {len(set(shards.values()))} shards, and these are missing: {_list(missing)}; complete the source, "
            "or correct include and exclude",
        )


def is_index(name: str) -> bool:
    """Returns whether a file says which shards there are."""
    return name.endswith(_INDEX)


def _check_safetensors(path: Path, shown: str) -> None:
    """Checks that a file is as long as its header says (huggingface/safetensors, README, Format)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            head = stream.read(length) if length <= min(_HEADER_BYTES, size - 8) else b""
    except OSError as error:
        raise _unreadable(shown, error) from error
    try:
        header = json.loads(head)
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise WeightsFailure(
            Reason.NOT_A_MODEL, f"{shown} is no safetensors file, or its beginning is cut off; check the source"
        ) from None
    if size != 8 + length + max(ends, default=0):
        raise WeightsFailure(
            Reason.NOT_A_MODEL,
            f"{shown} has {size} bytes, and its header speaks of {8 + length + max(ends, default=0)}; copy it again",
        )


def _object(path: Path, shown: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > _JSON_BYTES:
            raise WeightsFailure(Reason.NOT_A_MODEL, f"{shown} is larger than any such file; check the source")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise _unreadable(shown, error) from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WeightsFailure(Reason.NOT_A_MODEL, f"{shown} holds no JSON object; check the source")
    return found


def _incomplete(shown: str, what: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.NOT_A_MODEL, f"{shown} is no whole model: {what}; check the source, and what is included"
    )


def _unreadable(shown: str, error: OSError) -> WeightsFailure:
    return WeightsFailure(
        Reason.SOURCE_UNAUTHORIZED if isinstance(error, PermissionError) else Reason.SOURCE_UNREACHABLE,
        f"{shown} can't be read by user {os.getuid()}: {error.strerror or error}; let everybody read it, and enter its folders",
        permanent=isinstance(error, PermissionError),
    )


def _list(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
