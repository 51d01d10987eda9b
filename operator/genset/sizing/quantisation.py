"""Quantisation tells how many bytes a tensor takes, by its type, and what a whole file is called by.

Block sizes are those of ggml (ggml-common.h; gguf-py constants.py); names of files are those of `llama_ftype`
(include/llama.h). Whole files hold a mixture of types, so their bits per weight are measured ones: of Llama 3.1 8B, from
llama.cpp's tools/quantize/README.md. They are only for guesses before a file is chosen; a header says it exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class TensorType:
    """A tensor type packs `block` elements into `size` bytes."""

    name: str
    block: int
    size: int

    def bytes(self, elements: int) -> int:
        """Returns what so many elements take; a block that is begun counts whole."""
        return -(-elements // self.block) * self.size

    @property
    def bits(self) -> float:
        """Returns the bits per element."""
        return self.size * 8 / self.block


def _types(*rows: tuple[int, str, int, int]) -> Mapping[int, TensorType]:
    return {number: TensorType(name, block, size) for number, name, block, size in rows}


#: ggml's types by number.
TYPES = _types(
    (0, "F32", 1, 4), (1, "F16", 1, 2), (2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24), (8, "Q8_0", 32, 34), (9, "Q8_1", 32, 36), (10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176), (14, "Q6_K", 256, 210), (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (18, "IQ3_XXS", 256, 98), (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18), (21, "IQ3_S", 256, 110), (22, "IQ2_S", 256, 82), (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1), (25, "I16", 1, 2), (26, "I32", 1, 4), (27, "I64", 1, 8), (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56), (30, "BF16", 1, 2), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17), (40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18), (42, "Q2_0", 64, 18),
)  # fmt: skip
BY_NAME: Mapping[str, TensorType] = {kind.name: kind for kind in TYPES.values()}

#: What llama-server's --cache-type-k and --cache-type-v take.
CACHE_TYPES: Mapping[str, TensorType] = {
    name.lower(): BY_NAME[name] for name in ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
}

_FILES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip

#: Bits per weight of a whole file, best first. Types of 16 bits and more are exact.
FILE_BITS: Mapping[str, float] = {
    "F32": 32, "BF16": 16, "F16": 16, "Q8_0": 8.5, "Q6_K": 6.56, "Q5_K_M": 5.70, "Q5_K_S": 5.57, "Q5_1": 6.0,
    "Q5_0": 5.5, "Q4_K_M": 4.89, "Q4_1": 5.0, "IQ4_NL": 4.68, "Q4_K_S": 4.67, "Q4_0": 4.6, "IQ4_XS": 4.46,
    "FP8": 8.0, "AWQ": 4.6, "GPTQ": 4.6,
    "NVFP4": 4.6, "MXFP4": 4.4, "Q3_K_L": 4.30, "Q3_K_M": 4.00, "IQ3_M": 3.76, "IQ3_S": 3.66, "Q3_K_S": 3.64,
    "IQ3_XS": 3.50, "IQ3_XXS": 3.25, "Q2_K": 3.16, "Q2_K_S": 2.97, "IQ2_M": 2.93, "IQ2_S": 2.74, "IQ2_XS": 2.59,
    "IQ2_XXS": 2.38, "TQ2_0": 2.3, "IQ1_M": 2.15, "IQ1_S": 2.00, "TQ1_0": 1.9, "Q1_0": 1.3,
}  # fmt: skip
#: What one would load instead to save memory, from the most to the least faithful.
REPOSITORY_LADDER = ("FP8", "AWQ")  # of engines that serve whole repositories
LADDER = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_XXS")

_IN_A_NAME = re.compile(
    r"(?:^|[-_.])(" + "|".join(sorted((name.replace("_", "[_-]") for name in FILE_BITS), key=len, reverse=True)) + r")"
    r"(?=$|[-_.])",
    re.IGNORECASE,
)


def file_type(number: int) -> str:
    """Returns the name of `general.file_type`, e.g. "Q4_K_M"; empty if it is unknown. 1024 and more: it was guessed."""
    return _FILES.get(number % 1024, "") if number >= 0 else ""


def in_file_name(name: str) -> str:
    """Returns the quantisation that a file's name tells, e.g. "Q4_K_M" of `phi-4-Q4_K_M.gguf`; empty if none."""
    found = _IN_A_NAME.findall(name.removesuffix(".gguf"))
    return found[-1].upper().replace("-", "_") if found else ""


def estimated_bytes(parameters: int, quantisation: str) -> int:
    """Returns what so many parameters take as a whole file, within some 5 %; mixtures of one's own deviate."""
    return int(Fraction(FILE_BITS[quantisation]).limit_denominator(10_000) * parameters / 8)


def smaller(quantisation: str, bits: float = 0.0, ladder: tuple[str, ...] = LADDER) -> tuple[str, ...]:
    """Returns the rungs of a ladder below a quantisation, or below so many `bits` per weight if it has no name."""
    have = FILE_BITS.get(quantisation, bits)
    return tuple(name for name in ladder if FILE_BITS[name] < have - 0.05)
