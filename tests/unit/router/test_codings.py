"""Content codings without sockets: what is unpacked, in any cutting, and where it stops."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from genset.router.http.codings import (
    FREE_BYTES,
    MOST_MEMBERS,
    MOST_RATIO,
    PIECE_BYTES,
    CodingError,
    Decoder,
    TooLargeError,
    UnknownCodingError,
    is_plain,
    unpacked,
)

MIB = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_stream(data: bytes) -> bytes:
    """Without the size of its content, as servers write it that do not know it yet."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-Gzip", gzip.compress),
    "gzip and identity": (b"identity, gzip", gzip.compress),
    "several gzip members": (
        b"gzip",
        lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:]),
    ),
    "padded gzip": (b"gzip", lambda data: gzip.compress(data) + bytes(700)),
    "deflate": (b"deflate", zlib.compress),
    "raw deflate": (b"deflate", raw_deflate),
    "zstd": (b"zstd", lambda data: zstandard.ZstdCompressor().compress(data)),
    "zstd stream": (b"zstd", zstd_stream),
    "several zstd frames": (b"zstd", lambda data: zstd_stream(data[:7]) + zstd_stream(data[7:])),
}


@pytest.mark.parametrize("row", PACKERS)
@pytest.mark.parametrize("size", [0, 1, 100, PIECE_BYTES, 3 * MIB])
def test_everything_comes_back(row: str, size: int) -> None:
    header, pack = PACKERS[row]
    for data in (random.Random(size).randbytes(size), b'{"a":"b"}' * (size // 9), bytes(size) if size < MIB else b""):
        assert unpacked(header, pack(data), len(data)) == data


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=400), st.lists(st.integers(0, 600), max_size=8))
def test_any_cutting_says_the_same(row: str, data: bytes, cuts: list[int]) -> None:
    header, pack = PACKERS[row]
    packed = pack(data)
    decoder = Decoder(header)
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    out = b"".join(piece for a, b in itertools.pairwise(places) for piece in decoder.pieces(packed[a:b]))
    assert out == data and decoder.complete


@pytest.mark.parametrize("row", PACKERS)
def test_what_is_flushed_is_there_at_once(row: str) -> None:
    header, _ = PACKERS[row]
    if header == b"zstd":
        packer = zstandard.ZstdCompressor().compressobj()
        first = packer.compress(b"first") + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    else:
        bits = {"gzip": 31, "x-gzip": 31, "gzip and identity": 31, "deflate": 15, "raw deflate": -15}.get(row, 31)
        packed = zlib.compressobj(wbits=bits if header == b"deflate" else 31)
        first = packed.compress(b"first") + packed.flush(zlib.Z_SYNC_FLUSH)
    decoder = Decoder(header)
    assert b"".join(decoder.pieces(first)) == b"first" and not decoder.complete


@pytest.mark.parametrize("row", PACKERS)
def test_cut_and_broken_bodies_are_told(row: str) -> None:
    header, pack = PACKERS[row]
    packed = pack(b"some words that are packed, " * 20)
    packed = packed.rstrip(b"\0") if row == "padded gzip" else packed
    with pytest.raises(CodingError):
        unpacked(header, packed[: len(packed) - 3], MIB)
    with pytest.raises(CodingError):
        unpacked(header, b"\xff" + packed[1:], MIB)
    with pytest.raises(CodingError):
        unpacked(header, b'{"plain": true}', MIB)


@pytest.mark.parametrize("row", [row for row in PACKERS if "several" not in row and "padded" not in row])
def test_bombs_end_where_they_may_not_go_on(row: str) -> None:
    header, pack = PACKERS[row]
    bomb = pack(bytes(64 * MIB))
    assert len(bomb) < 100_000
    with pytest.raises(TooLargeError, match=str(MIB)):
        unpacked(header, bomb, MIB)
    decoder, came = Decoder(header), 0
    with pytest.raises(TooLargeError, match=f"{MOST_RATIO} times"):
        for piece in decoder.pieces(bomb):
            came += len(piece)
    assert came <= FREE_BYTES + MOST_RATIO * len(bomb)


def test_the_tightest_blocks_of_zstd_are_unpacked_a_few_at_a_time() -> None:
    """A frame of the format's own run-length blocks: 4 bytes say 128 KiB (RFC 8878, 3.1.1.2)."""
    block = (0 << 0 | 1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b"x"
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x68" + block * 10_000
    largest, total = 0, 0
    with pytest.raises(TooLargeError):
        for piece in Decoder(b"zstd").pieces(frame):
            largest, total = max(largest, len(piece)), total + len(piece)
    assert largest <= 64 * 128 * 1024 and total <= FREE_BYTES + MOST_RATIO * len(frame)


def test_a_window_is_not_larger_than_the_standard_allows() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(CodingError):
        unpacked(b"zstd", packer.compress(b"x") + packer.flush(), MIB)


def test_members_have_a_bound() -> None:
    with pytest.raises(TooLargeError):
        unpacked(b"gzip", gzip.compress(b"") * (MOST_MEMBERS + 1), MIB)


@pytest.mark.parametrize(
    "header", [b"br", b"gzip, gzip", b"gzip,deflate", b"compress", b"aws-chunked", b"\xff", b"gzip;q=1"]
)
def test_other_codings_are_unknown(header: bytes) -> None:
    assert not is_plain(header)
    with pytest.raises(UnknownCodingError):
        Decoder(header)


@pytest.mark.parametrize("header", [b"", b"identity", b" Identity , identity", b","])
def test_no_coding_is_none(header: bytes) -> None:
    assert is_plain(header)


@given(st.sampled_from([b"gzip", b"deflate", b"zstd"]), st.binary(max_size=300))
def test_no_body_is_too_strange(header: bytes, data: bytes) -> None:
    for body in (data, b"\x1f\x8b\x08\x00" + data, b"\x28\xb5\x2f\xfd" + data, b"\x78\x9c" + data):
        try:
            assert len(unpacked(header, body, MIB)) <= MIB
        except CodingError:
            pass
