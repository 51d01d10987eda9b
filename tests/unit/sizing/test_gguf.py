"""The GGUF header reader: right about real files, unshaken by hostile ones."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import gguf as reference
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genset.sizing.gguf import GgufError, GgufHeader, looks_like, read_header
from tests.support.weights.fakes import tiny_gguf


def header_of(data: bytes) -> GgufHeader:
    return read_header(io.BytesIO(data))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file by the gguf library with every kind of value."""
    path: Path = tmp_path_factory.mktemp("gguf") / "real.gguf"
    writer = reference.GGUFWriter(str(path), "qwen3")
    writer.add_name("Größe")
    writer.add_uint8("x.u8", 8)
    writer.add_int64("x.i64", -64)
    writer.add_float32("x.f32", 0.5)
    writer.add_bool("x.bool", True)
    writer.add_string("tokenizer.chat_template", "t" * 10_000)
    writer.add_array("tokenizer.ggml.tokens", [f"token {number}" for number in range(50_000)])
    writer.add_array("tokenizer.ggml.scores", [0.5] * 50_000)
    writer.add_uint32("qwen3.block_count", 28)
    writer.add_tensor("a", numpy.ones((64, 32), dtype=numpy.float32))
    writer.add_tensor("b", numpy.ones(7, dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_a_real_file(real: bytes) -> None:
    header = header_of(real)
    assert (header.version, header.tensor_count, header.architecture) == (3, 2, "qwen3")
    assert (header.split_number, header.split_count) == (1, 1)
    assert header.metadata == {
        "general.architecture": "qwen3",
        "general.name": "Größe",
        "x.u8": 8,
        "x.i64": -64,
        "x.f32": 0.5,
        "x.bool": True,
        "qwen3.block_count": 28,
    }
    assert header.key_value_count == len(header.metadata) + 3
    assert header.minimum_file_size == len(real) - 32  # the second tensor, padded, is the last thing in the file


def test_shards_tell_their_place() -> None:
    header = header_of(tiny_gguf(100, split=(2, 3)))
    assert (header.split_number, header.split_count) == (2, 3)


@settings(max_examples=400)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(GgufError):
        header_of(data)


@settings(max_examples=400)
@given(st.binary(max_size=300))
def test_random_bytes_after_a_good_start_are_read_or_refused(data: bytes) -> None:
    _read_or_refused(b"GGUF" + struct.pack("<I", 3) + data)


@settings(max_examples=300)
@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 15),
    st.integers(0, 2**64 - 1), st.binary(max_size=64),
)  # fmt: skip
def test_any_count_and_length_is_survived(
    tensors: int, key_values: int, key_length: int, kind: int, length: int, rest: bytes
) -> None:
    start = b"GGUF" + struct.pack("<IQQ", 3, tensors, key_values)
    _read_or_refused(start + struct.pack("<Q", key_length) + rest)
    _read_or_refused(start + struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", kind, length) + rest)
    _read_or_refused(start + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, kind, length) + rest)


@settings(max_examples=300)
@given(st.data())
def test_a_real_file_with_flipped_bytes_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(tiny_gguf(1000, split=(1, 2)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _read_or_refused(bytes(content))


@pytest.mark.parametrize("length", range(0, 260, 3))
def test_a_file_that_ends_anywhere_in_its_header_is_refused(length: int) -> None:
    content = tiny_gguf(1000)
    header_size = header_of(content).header_size
    if length < header_size:
        with pytest.raises(GgufError):
            header_of(content[:length])
    else:
        assert header_of(content[:length]).header_size == header_size


def test_claims_of_terabytes_allocate_nothing() -> None:
    """The stream really has the bytes, so only the limits stop the reader."""

    class Endless(io.RawIOBase):
        def __init__(self, start: bytes) -> None:
            self.start = start
            self.given = 0

        def read(self, size: int = -1) -> bytes:
            data = self.start[self.given : self.given + size].ljust(size, b"\1")
            self.given += len(data)
            return data

    start = b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k"
    huge = 2**50
    claims = [
        struct.pack("<IIQ", 9, 0, huge),  # array of bytes
        struct.pack("<IIQ", 9, 8, huge),  # array of strings
        struct.pack("<IIQIQ", 9, 9, 1, 9, huge),  # arrays in arrays
        struct.pack("<IQ", 8, huge),  # string
        struct.pack("<IIQ", 9, 8, 16 * 2**20) + struct.pack("<Q", huge),
    ]
    tracemalloc.start()
    for claim in claims:
        stream = Endless(start + claim)
        with pytest.raises(GgufError):
            read_header(stream, limit=8 * 2**20)  # type: ignore[arg-type]
        assert stream.given <= 8 * 2**20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


@pytest.mark.parametrize(
    ("version", "words"),
    [(1, "version 1 is not supported"), (4, "version 4 is not supported"), (3 << 24, "for big-endian machines")],
)
def test_versions_that_engines_do_not_read(version: int, words: str) -> None:
    with pytest.raises(GgufError, match=words):
        header_of(b"GGUF" + struct.pack("<IQQ", version, 0, 0))


@pytest.mark.parametrize("alignment", [0, 2**30])
def test_a_senseless_alignment_is_refused(alignment: int) -> None:
    key = b"general.alignment"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<II", 4, alignment)
    with pytest.raises(GgufError, match="alignment"):
        header_of(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry)


def test_a_file_that_can_not_be_read_is_a_gguf_error() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(GgufError, match="Input/output error"):
        read_header(Broken())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"  <!DOCTYPE HTML>", "HTML"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x7fELF", "executable"),
        (b"MZqFpD", "llamafile"),
        (struct.pack("<Q", 1000) + b'{"__metadata__"', "safetensors"),
        (b"tjgg", "before GGUF"),
        (b"\0" * 64, "zeros"),
        (b"hello", "something else that starts with b'hello'"),
    ],
)
def test_what_the_first_bytes_look_like(head: bytes, words: str) -> None:
    assert words in looks_like(head)


def _read_or_refused(data: bytes) -> None:
    try:
        header = header_of(data)
    except GgufError:
        return
    assert header.header_size <= len(data)
