"""What the header of a GGUF file makes a model: as others have measured it, and never less than it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from genset.sizing import gguf_model, kv_cache
from genset.sizing.gguf import read_header
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import ModelFacts
from tests.support.sizing.generated import Generated, Shape, base


def read(model: Generated, folder: Path) -> ModelFacts:
    with model.write(folder).open("rb") as stream:
        return gguf_model.from_headers([read_header(stream, tensors=True)])


@pytest.mark.parametrize(
    ("tokens", "gigabytes"), [(4096, 0.40), (8192, 0.48), (32_768, 0.99), (131_072, 3.00)]
)  # fmt: skip
@pytest.mark.parametrize("listed", [True, False])
def test_the_cache_of_gemma_4_is_what_others_found(tokens: int, gigabytes: float, listed: bool, tmp_path: Path) -> None:
    """26B A4B (ollama/ollama#16958): most layers have a window, the others have fewer heads that are twice as wide."""
    windows = [(layer + 1) % 6 != 0 for layer in range(30)]
    model = base(
        "gemma4", Shape(layers=30, width=2816, heads=16, head=512, context=262_144), attention__sliding_window=1024,
        attention__sliding_window_pattern=windows if listed else 6, attention__shared_kv_layers=0,
        attention__key_length_swa=256, attention__value_length_swa=256,
        attention__head_count_kv=[8 if window else 2 for window in windows],
    )  # fmt: skip
    size = kv_cache.size(read(model, tmp_path).layers, ModelUse(tokens, 1))
    assert size.total / 10**9 == pytest.approx(gigabytes, abs=0.005)


def test_an_architecture_that_nobody_knows_has_its_states_beside_caches(tmp_path: Path) -> None:
    """A file that speaks of states has them in some layers, and nobody here knows in which."""
    shape = Shape(layers=4)
    plain = read(base("qwen9", shape), tmp_path)
    hybrid = read(base("qwen9", shape, ssm__conv_kernel=4, ssm__inner_size=512, ssm__state_size=64), tmp_path)
    known = read(base("llama", shape), tmp_path)
    use = ModelUse(2048, 2)
    assert kv_cache.size(plain.layers, use) == kv_cache.size(known.layers, use)
    size = kv_cache.size(hybrid.layers, use)
    assert (size.full, size.state) == (kv_cache.size(known.layers, use).full, 4 * (3 * 512 + 64 * 512) * 4 * 2)
    assert "is not known here" in hybrid.notes[0] and not known.notes
