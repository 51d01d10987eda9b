"""The seeing model counts as the counting model does, and says a picture's colour: " 0500" is red, " 0600" green, " 0700" blue.

Its projector has the shape of Gemma 3's (SigLIP, llama.cpp tools/mtmd): one block of zeros, so that the mean colour of a patch
reaches the text model in three directions that no token has. There attention, which is uniform because its queries are zero,
carries them to the words before those.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import gguf
import numpy as np

from testbed.cluster.store import build_once, digest
from testbed.models import counting, lookup
from testbed.models.lookup import FIRST_WORD, HEAD_WIDTH, KV_HEADS

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SAID = {"red": " 0500", "green": " 0600", "blue": " 0700"}
_WORDS = (500, 600, 700)
_PUSH = 1000.0  # more than a token's own direction, also when a long prompt thins the picture out
_IMAGE, _PATCH, _HIDDEN, _FEED_FORWARD = 56, 14, 64, 64  # pixels, pixels, widths: one token for 4 x 4 patches


def write_model(path: Path) -> None:
    """Writes the text model."""
    width = lookup.embedding_width(FIRST_WORD + counting.DEFAULT_WORDS)
    values = np.zeros((KV_HEADS * HEAD_WIDTH, width), np.float32)
    out = np.zeros((width, width), np.float32)
    for channel, word in enumerate(_WORDS):
        values[channel, width - 3 + channel] = 1.0
        out[FIRST_WORD + word - 1, channel] = _PUSH
    counting.write(path, attention={"attn_v": values, "attn_output": out})


def write_projector(path: Path) -> None:
    """Writes the projector of its pictures."""
    width = lookup.embedding_width(FIRST_WORD + counting.DEFAULT_WORDS)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name("seeing")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "gemma3")
    for name, value in {
        "image_size": _IMAGE,
        "patch_size": _PATCH,
        "embedding_length": _HIDDEN,
        "feed_forward_length": _FEED_FORWARD,
        "projection_dim": width,
        "block_count": 1,
        "attention.head_count": 1,
    }.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])
    writer.add_bool("clip.use_gelu", True)
    for name, tensor in _tensors(width).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(width: int) -> dict[str, np.ndarray]:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    patches, projection = zeros(_HIDDEN, 3, _PATCH, _PATCH), zeros(_HIDDEN, width)
    for channel in range(3):
        patches[channel, channel] = 1.0 / _PATCH**2
        projection[channel, width - 3 + channel] = 1.0
    made = {
        "v.patch_embd.weight": patches,
        "v.patch_embd.bias": zeros(_HIDDEN),
        "v.position_embd.weight": zeros((_IMAGE // _PATCH) ** 2, _HIDDEN),
        "v.blk.0.ffn_up.weight": zeros(_FEED_FORWARD, _HIDDEN),
        "v.blk.0.ffn_up.bias": zeros(_FEED_FORWARD),
        "v.blk.0.ffn_down.weight": zeros(_HIDDEN, _FEED_FORWARD),
        "v.blk.0.ffn_down.bias": zeros(_HIDDEN),
        "mm.input_projection.weight": projection,
        "mm.soft_emb_norm.weight": np.ones(_HIDDEN, np.float32),
    }
    for name in ("v.blk.0.ln1", "v.blk.0.ln2", "v.post_ln"):
        made |= {f"{name}.weight": np.ones(_HIDDEN, np.float32), f"{name}.bias": zeros(_HIDDEN)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        made |= {f"v.blk.0.{name}.weight": zeros(_HIDDEN, _HIDDEN), f"v.blk.0.{name}.bias": zeros(_HIDDEN)}
    return made


def picture(colour: str, size: int = _IMAGE) -> bytes:
    """Returns a PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(COLOURS[colour]) * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def cached() -> tuple[Path, Path]:
    """Returns model and projector in the user's cache, written on first use."""

    def write(draft: Path) -> None:
        write_model(draft / "seeing.gguf")
        write_projector(draft / "mmproj.gguf")

    key = digest({"source": Path(__file__).read_bytes(), "weights": Path(lookup.__file__).read_bytes()})
    folder = build_once("models", "seeing", key, write)
    return folder / "seeing.gguf", folder / "mmproj.gguf"
