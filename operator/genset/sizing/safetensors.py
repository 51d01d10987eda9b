"""This bounded reader of safetensors headers tells which tensors a file holds, without the file.

Format (github.com/huggingface/safetensors): u64 length of the header, little-endian; the header, JSON of name to
{"dtype", "shape", "data_offsets"}; the data. As hostile as GGUF: lengths are capped, and nothing but SafetensorsError is
raised.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADER_LIMIT = 100 * 2**20  # bytes; the format's own limit
LENGTH_BYTES = 8
_MOST_TENSORS = 1_000_000
_MOST_ELEMENTS = 2**50
_BITS: Mapping[str, int] = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


class SafetensorsError(ValueError):
    """The bytes are no safetensors header. The message says why."""


@dataclass(frozen=True)
class SafeTensor:
    """A tensor of the file; `size` in bytes."""

    name: str
    dtype: str
    elements: int
    size: int


def header_length(start: bytes) -> int:
    """Returns how long the header is that follows the first eight bytes of a file."""
    if len(start) < LENGTH_BYTES:
        raise SafetensorsError("not safetensors: the file ends within its first eight bytes")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 2 <= length <= HEADER_LIMIT:
        raise SafetensorsError("not safetensors: the header has no length that the format allows")
    return length


def read_header(header: bytes) -> tuple[SafeTensor, ...]:
    """Returns the tensors that a header lists."""
    try:
        listed = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError("broken safetensors: the header is no JSON") from error
    if not isinstance(listed, dict) or len(listed) > _MOST_TENSORS:
        raise SafetensorsError("broken safetensors: the header lists no tensors")
    return tuple(_tensor(name, entry) for name, entry in listed.items() if name != "__metadata__")


def index_size(index: bytes) -> tuple[int, tuple[str, ...]]:
    """Returns the bytes of all tensors and the names of the files, of a `model.safetensors.index.json`."""
    try:
        parsed = json.loads(index)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError("broken safetensors: the index is no JSON") from error
    files = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise SafetensorsError("broken safetensors: the index has no weight_map")
    metadata = parsed.get("metadata")
    size = metadata.get("total_size", 0) if isinstance(metadata, dict) else 0
    return (int(size) if isinstance(size, int | float) and 0 <= size < 2**60 else 0), tuple(sorted(set(files.values())))


def _tensor(name: str, entry: Any) -> SafeTensor:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if (
        not isinstance(shape, list)
        or not all(isinstance(one, int) and 0 <= one < 2**48 for one in shape)
        or len(shape) > 16
    ):
        raise SafetensorsError(f"broken safetensors: tensor {name[:64]} has no shape")
    dtype = str(entry.get("dtype", ""))[:16]
    elements = math.prod(shape)
    if elements > _MOST_ELEMENTS:
        raise SafetensorsError(f"broken safetensors: tensor {name[:64]} is larger than any model")
    return SafeTensor(name, dtype, elements, elements * _BITS.get(dtype, 8) // 8)
