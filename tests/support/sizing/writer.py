"""This writer makes GGUF files whose weights are all zero and take no space on the disk.

The header is whole, with a byte vocabulary, so that a real llama-server loads the file, allocates what it would for the
model and answers; the data is a hole in a sparse file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf

from testbed.models.counting import BOS, BYTES, CHAT_TEMPLATE, EOS, SPECIALS, byte_tokens

TYPES = {
    gguf.GGMLQuantizationType.F32: 4,
    gguf.GGMLQuantizationType.F16: 2,
}
Shapes = Mapping[str, Sequence[int]]  # as ggml writes them: the fastest dimension first


def write(path: Path, architecture: str, metadata: Mapping[str, Any], tensors: Shapes, vocabulary: int = 512) -> Path:
    """Writes a model. Matrices are F16, vectors F32; keys without a known first word get the architecture's name."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for key, value in metadata.items():
        _add(writer, key if key.startswith(("general.", "tokenizer.")) else f"{architecture}.{key}", value)
    _add_tokenizer(writer, vocabulary)
    size = 0
    for name, shape in tensors.items():
        kind = gguf.GGMLQuantizationType.F32 if _is_vector(name, shape) else gguf.GGMLQuantizationType.F16
        length = TYPES[kind]
        for dimension in shape:
            length *= dimension
        # gguf takes NumPy's order: the slowest dimension first.
        writer.add_tensor_info(name, tuple(reversed(shape)), _dtype(kind), length)
        size += writer.ggml_pad(length, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(writer.ggml_pad(header, writer.data_alignment) + size)
    return path


def _is_vector(name: str, shape: Sequence[int]) -> bool:
    in_full = (
        ".bias",
        "ssm_conv1d.weight",
        "ssm_a",
        "ssm_d",
        "ssm_norm.weight",
        "shortconv.conv.weight",
        "ffn_gate_inp.weight",
    )
    return len(shape) == 1 or name.endswith(in_full)


def _dtype(kind: gguf.GGMLQuantizationType) -> Any:
    import numpy

    return numpy.dtype(numpy.float32 if kind == gguf.GGMLQuantizationType.F32 else numpy.float16)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    normal, control, unused = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNUSED
    rest = vocabulary - BYTES - len(SPECIALS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*byte_tokens(), *SPECIALS, *(f"<unused{number}>" for number in range(rest))])
    writer.add_token_types([normal] * BYTES + [control] * len(SPECIALS) + [unused] * rest)
    writer.add_token_merges(["Ġ t"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
