"""This bounded reader of the GGUF header proves that a file is GGUF, and tells what the file says about itself.

Pure: it reads from a stream that the caller opened. The input is hostile until proven otherwise, so every count and
length is capped before it is used, no value is allocated from a length that the file claims (arrays are skipped in
place, but for short ones of numbers), and whatever is wrong surfaces as `GgufError` and nothing else.

Format (ggml-org/ggml docs/gguf.md), little-endian: "GGUF", u32 version, u64 tensor count, u64 key-value count;
key-values as string key (u64 length + bytes), u32 type, value; then tensor infos (string name, u32 dimensions,
u64 per dimension, u32 type, u64 offset); then data, aligned to `general.alignment` (32).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

MAGIC = b"GGUF"
VERSIONS = (2, 3)  # what llama.cpp reads today; version 1 had 32-bit lengths and is refused by it, too
HEADER_LIMIT = 256 * 2**20  # bytes; headers of vocabularies with 256k tokens are about 16 MB
_MAX_KEY_VALUES = 65_536
_MAX_TENSORS = 1_048_576
_MAX_KEY = 65_535  # bytes, from the specification
_MAX_KEPT_STRING = 4_096  # bytes; longer ones (chat templates) are skipped
_MAX_DIMENSIONS = 8  # ggml has 4
_MAX_ITEMS = 16 * 2**20  # strings in one array: bounds the time, as each is walked over
_MAX_NESTING = 2
_MAX_KEPT_ARRAY = 4_096  # numbers; arrays of one value per layer are kept, vocabularies are not
_MAX_KEPT_ITEMS = 262_144  # of all arrays together
_MAX_LISTED_TENSORS = 65_536  # Kimi K2 has about 1,100
_MAX_TENSOR_NAME = 64  # bytes, GGML_MAX_NAME: llama.cpp refuses longer ones
_MAX_ELEMENTS = 2**50  # of one tensor: a thousand times the largest model there is
_BLOCK = 256 * 2**10  # bytes read at a time

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Scalar = int | float | bool | str


class GgufError(ValueError):
    """The bytes are not a GGUF file that an engine could load. The message says what they look like instead."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of the file: its name, its shape, the fastest dimension first, and its ggml type by number."""

    name: str
    shape: tuple[int, ...]
    kind: int


@dataclass(frozen=True)
class GgufHeader:
    """This is what the header says. Sizes are in bytes."""

    version: int
    tensor_count: int
    key_value_count: int
    metadata: Mapping[str, Scalar] = field(default_factory=dict)  # scalars and short strings; arrays are left out
    header_size: int = 0  # up to the end of the tensor infos
    minimum_file_size: int = 0  # where the last tensor begins: a shorter file is cut off
    arrays: Mapping[str, tuple[int | float | bool, ...]] = field(default_factory=dict)  # short ones, of numbers
    lengths: Mapping[str, int] = field(default_factory=dict)  # items of every array
    tensors: tuple[GgufTensor, ...] = ()  # only if they were asked for

    @property
    def architecture(self) -> str:
        """Returns e.g. "llama"; empty if it is missing, as in all shards but the first."""
        value = self.metadata.get("general.architecture", "")
        return value if isinstance(value, str) else ""

    @property
    def split_count(self) -> int:
        """Returns the number of files of this model; 1 if it is not split."""
        return max(1, self._integer("split.count"))

    @property
    def split_number(self) -> int:
        """Returns the number of this file, counted from 1."""
        return self._integer("split.no") + 1

    def _integer(self, key: str) -> int:
        value = self.metadata.get(key, 0)
        return value if isinstance(value, int) else 0


def read_header(stream: BinaryIO, *, limit: int = HEADER_LIMIT, tensors: bool = False) -> GgufHeader:
    """Reads the header from the start of a file; `tensors`: the list of tensors, too.

    Reads at most `limit` bytes; raises only GgufError.
    """
    cursor = _Cursor(stream, limit)
    magic = cursor.head(64)
    if magic[:4] != MAGIC:
        raise GgufError(f"not GGUF: the file is {looks_like(magic)}")
    cursor.skip(4)
    version = cursor.number("I")
    if version not in VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
            raise GgufError("GGUF for big-endian machines: engines on this architecture can't read it")
        raise GgufError(f"GGUF version {version} is not supported; versions 2 and 3 are")
    count = _capped("tensors", cursor.number("Q"), _MAX_LISTED_TENSORS if tensors else _MAX_TENSORS)
    key_values = _capped("key-values", cursor.number("Q"), _MAX_KEY_VALUES)
    metadata: dict[str, Scalar] = {}
    arrays: dict[str, tuple[int | float | bool, ...]] = {}
    lengths: dict[str, int] = {}
    for _ in range(key_values):
        key = cursor.string("key", _MAX_KEY)
        value = _value(cursor, cursor.number("I"))
        if isinstance(value, _Array):
            lengths[key] = value.length
            if value.items is not None:
                arrays[key] = value.items
        elif value is not None:
            metadata[key] = value
    listed: list[GgufTensor] | None = [] if tensors else None
    last_offset = _tensor_infos(cursor, count, listed)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
        raise GgufError(f"broken GGUF: general.alignment is {str(alignment)[:32]}")
    data_start = -(-cursor.position // alignment) * alignment
    minimum = data_start + last_offset if count else cursor.position
    return GgufHeader(
        version, count, key_values, metadata, cursor.position, minimum, arrays, lengths, tuple(listed or ())
    )


def looks_like(head: bytes) -> str:
    """Says what the first bytes of a file are, for people who expected a model."""
    if not head:
        return "empty"
    text = head.lstrip().lower()
    for prefix, words in _FAMILIAR:
        if (text if prefix.islower() else head).startswith(prefix):
            return words
    if not any(head):
        return "zeros at its start (a copy that was cut off, or a sparse file)"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27:
        return "safetensors, not GGUF (convert it with llama.cpp's convert_hf_to_gguf.py)"
    return f"something else that starts with {head[:16]!r}"


_FAMILIAR = (
    (b"<!doctype html", "an HTML page (a login or error page, most likely)"),
    (b"<html", "an HTML page (a login or error page, most likely)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to (fetch it with git lfs pull)"),
    (b"<?xml", "an XML document (an error of an object store, most likely)"),
    (b"{", "JSON (an error of an API, most likely)"),
    (b"PK\x03\x04", "a ZIP archive or PyTorch checkpoint"),
    (b"\x1f\x8b", "gzip data (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data (unpack it first)"),
    (b"MZ", "an executable (a llamafile?)"),
    (b"\x7fELF", "an executable (a llamafile?)"),
    (b"lmgg", "GGML, the format before GGUF"),
    (b"fmgg", "GGML, the format before GGUF"),
    (b"tjgg", "GGML, the format before GGUF"),
)


class _Cursor:
    """A cursor reads forward through a stream in blocks, and refuses to go past the limit."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = b""
        self._at = 0  # in the buffer
        self._before = 0  # bytes before the buffer
        self.kept = 0  # items of arrays that were kept

    @property
    def position(self) -> int:
        return self._before + self._at

    def head(self, length: int) -> bytes:
        """Returns up to `length` bytes from here, without moving."""
        self._fill(length)
        return self._buffer[self._at : self._at + length]

    def take(self, length: int) -> bytes:
        self._fill(length)
        if len(self._buffer) - self._at < length:
            raise GgufError(
                f"broken GGUF: the file ends inside its header, after {self._before + len(self._buffer)} bytes"
            )
        start = self._at
        self._at += length
        return self._buffer[start : self._at]

    def skip(self, length: int) -> None:
        if self.position + length > self._limit:
            raise GgufError(f"broken GGUF: a value of {length} bytes in the header")
        while length:
            step = min(length, _BLOCK)
            self.take(step)
            length -= step

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def string(self, what: str, maximum: int) -> str:
        length = _capped(f"bytes in a {what}", self.number("Q"), maximum)
        return self.take(length).decode("utf-8", "replace")

    def keep(self, items: int) -> None:
        """Counts items that stay in memory."""
        self.kept += items

    def _fill(self, length: int) -> None:
        while len(self._buffer) - self._at < length:
            room = self._limit - self._before - len(self._buffer)
            if room <= 0:
                raise GgufError(f"broken GGUF: the header is longer than {self._limit} bytes")
            try:
                block = self._stream.read(min(_BLOCK, room))
            except OSError as error:
                raise GgufError(f"can't read the file: {error.strerror or error}") from error
            if not block:
                return
            self._before += self._at
            self._buffer = self._buffer[self._at :] + block
            self._at = 0


def _capped(what: str, value: int, maximum: int) -> int:
    if value > maximum:
        raise GgufError(f"broken GGUF: {value} {what}, more than {maximum}")
    return value


@dataclass(frozen=True)
class _Array:
    """An array that was walked over; `items` if it was short and of numbers."""

    length: int
    items: tuple[int | float | bool, ...] | None = None


def _value(cursor: _Cursor, kind: int) -> Scalar | _Array | None:
    """Reads one value; None for a string that is too long to keep."""
    if kind in _SCALARS:
        return _scalars(cursor, kind, 1)[0]
    if kind == _STRING:
        length = cursor.number("Q")
        if length > _MAX_KEPT_STRING:
            cursor.skip(length)
            return None
        return cursor.take(length).decode("utf-8", "replace")
    if kind == _ARRAY:
        return _array(cursor, nesting=0)
    raise GgufError(f"broken GGUF: unknown value type {kind}")


def _scalars(cursor: _Cursor, kind: int, count: int) -> tuple[int | float | bool, ...]:
    code = f"<{count}{_SCALARS[kind]}"
    return struct.unpack(code, cursor.take(struct.calcsize(code)))


def _array(cursor: _Cursor, nesting: int) -> _Array:
    kind, count = cursor.number("I"), cursor.number("Q")
    if kind in _SCALARS:
        if count <= _MAX_KEPT_ARRAY and cursor.kept + count <= _MAX_KEPT_ITEMS:
            cursor.keep(count)
            return _Array(count, _scalars(cursor, kind, count))
        cursor.skip(count * struct.calcsize("<" + _SCALARS[kind]))
    elif kind == _STRING:
        for _ in range(_capped("strings in an array", count, _MAX_ITEMS)):
            cursor.skip(cursor.number("Q"))
    elif kind == _ARRAY and nesting < _MAX_NESTING:
        for _ in range(_capped("arrays in an array", count, _MAX_KEY_VALUES)):
            _array(cursor, nesting + 1)
    else:
        raise GgufError(f"broken GGUF: an array of type {kind}")
    return _Array(count)


def _tensor_infos(cursor: _Cursor, count: int, listed: list[GgufTensor] | None) -> int:
    """Walks over the tensor infos, which it adds to `listed`; returns the highest offset into the data."""
    highest = 0
    for _ in range(count):
        name = cursor.string("tensor name", _MAX_KEY if listed is None else _MAX_TENSOR_NAME)
        dimensions = _capped("dimensions of a tensor", cursor.number("I"), _MAX_DIMENSIONS)
        shape = tuple(cursor.number("Q") for _ in range(dimensions))
        kind = cursor.number("I")
        if listed is not None:
            _capped(f"elements in tensor {name}", math.prod(shape), _MAX_ELEMENTS)
            listed.append(GgufTensor(name, shape, kind))
        highest = max(highest, cursor.number("Q"))
    return highest
