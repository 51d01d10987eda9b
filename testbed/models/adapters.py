"""LoRA adapters on the counting model show by the text which of them answered: `from-500` begins at 0500 and counts on.

Rank one, on gate, up and down of the one layer: gate and up fire if the current token is a byte or a special one, as before
an answer, and down then adds a large multiple of the direction of the word before the first. Words that follow are not changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

from testbed.cluster.store import build_once, digest
from testbed.models import counting
from testbed.models.counting import FEED_FORWARD, FIRST_WORD

PEFT_RANK = 8  # the least that vLLM takes; rows beyond the first are zero
_PROJECTIONS = ("gate", "up", "down")


def parts(
    start: int, rank: int = 1, count: int = counting.DEFAULT_WORDS
) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the two factors of each projection: (rank x inputs, outputs x rank)."""
    if not 1 <= start < count:
        raise ValueError(f"an answer of a model with {count} words begins at 1 to {count - 1}, not {start}")
    width = counting.embedding_width(FIRST_WORD + count)
    fires, first = np.zeros((rank, width), np.float32), np.zeros((FEED_FORWARD, rank), np.float32)
    pick, push = np.zeros((rank, FEED_FORWARD), np.float32), np.zeros((width, rank), np.float32)
    fires[0, :FIRST_WORD] = first[0, 0] = pick[0, 0] = push[FIRST_WORD + start - 1, 0] = 1.0
    return {"gate": (fires, first), "up": (fires, first), "down": (pick, push)}


def write_gguf(path: Path, start: int) -> None:
    """Writes the adapter as llama.cpp reads it."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    writer.add_name(name(start))
    for projection, (a, b) in parts(start).items():
        writer.add_tensor(f"blk.0.ffn_{projection}.weight.lora_a", a)
        writer.add_tensor(f"blk.0.ffn_{projection}.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_peft(folder: Path, start: int, rank: int = PEFT_RANK) -> None:
    """Writes the adapter into an existing folder, as PEFT does and vLLM reads it."""
    tensors = {}
    for projection, (a, b) in parts(start, rank).items():
        prefix = f"base_model.model.model.layers.0.mlp.{projection}_proj"
        tensors[f"{prefix}.lora_A.weight"] = np.ascontiguousarray(a)
        tensors[f"{prefix}.lora_B.weight"] = np.ascontiguousarray(b)
    weights = folder / "adapter_model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes for its own user alone
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": counting.NAME,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": [f"{projection}_proj" for projection in _PROJECTIONS],
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1))


def name(start: int) -> str:
    return f"from-{start}"


def cached_gguf(start: int) -> Path:
    """Returns the adapter's file in the user's cache, written on first use."""
    folder = build_once(
        "models", f"{name(start)}-gguf", _key(), lambda draft: write_gguf(draft / f"{name(start)}.gguf", start)
    )
    return folder / f"{name(start)}.gguf"


def cached_peft(start: int) -> Path:
    """Returns the adapter's folder in the user's cache, written on first use."""
    return build_once("models", f"{name(start)}-peft", _key(), lambda draft: write_peft(draft, start))


def _key() -> str:
    return digest({"source": Path(__file__).read_bytes(), "weights": Path(counting.__file__).read_bytes()})
