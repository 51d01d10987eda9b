"""What is reckoned is what a real llama-server allocates, for a generated model of each kind of attention."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genset.sizing import compute, gguf_model, kv_cache, memory, mismatch
from genset.sizing.gguf import read_header
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import Placement
from genset.sizing.mismatch import Serving
from genset.sizing.model import ModelFacts
from genset.sizing.quantisation import CACHE_TYPES
from tests.support.sizing import kinds, states
from tests.support.sizing.generated import Generated, Shape
from tests.support.sizing.server import Options, is_there, running, shown

pytestmark = pytest.mark.skipif(not is_there(), reason="the image with llama-server is not built: make images")

KINDS: dict[str, Callable[[], Generated]] = {
    "every head its own keys": kinds.multi_head,
    "heads in groups": kinds.grouped,
    "Phi-3, whose window llama.cpp ignores": kinds.phi3,
    "Gemma 2, windows one by one": kinds.gemma2,
    "Gemma 3, five windows to one": kinds.gemma3,
    "Gemma 4, windows by a list, wider heads, shared caches": kinds.gemma4,
    "gpt-oss, a mixture with short windows": kinds.gpt_oss,
    "DeepSeek, latent": kinds.deepseek2,
    "DeepSeek, an old file": lambda: kinds.deepseek2(latent=False),
    "DeepSeek, with a layer that predicts ahead": lambda: kinds.deepseek2(nextn=1),
    "Qwen3.5, a state in three of four layers": states.gated_delta,
    "Qwen3.5, a mixture": lambda: states.gated_delta("qwen35moe"),
    "Qwen3.5, with a layer that predicts ahead": lambda: states.gated_delta(nextn=1),
    "Qwen3-Next": lambda: states.gated_delta("qwen3next"),
    "Llama 4, chunks": kinds.llama4,
    "GLM-5, latent with indexers": kinds.indexed,
    "GLM-5, with fewer indexers than layers": lambda: kinds.indexed([1, 1, 0, 0, 1]),
    "DeepSeek V4, compressed": kinds.deepseek4,
    "Command R7B, three windows to one": kinds.cohere2,
    "OLMo 2, three windows to one": kinds.olmo2,
    "Mamba 2, nothing but states": states.mamba2,
    "LFM2, short convolutions": states.lfm2,
}
#: Whose compute buffer follows from graphs of their own.
ROUGH = {"deepseek4", "glm-dsa", "mamba2", "lfm2"}
OPTIONS = {
    "one slot": Options(2048, 1),
    "three slots, a context that needs padding": Options(5000, 3),
    "unified": Options(1000, 4, ("--kv-unified",), {"unified": True}),
    "full windows": Options(4096, 2, ("--swa-full",), {"full_windows": True}),
    "eight bits": Options(
        3000, 2, ("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"), {"key_type": "q8_0", "value_type": "q8_0"}
    ),
    "a small batch": Options(4096, 1, ("-ub", "128"), {"ubatch": 128}),
}


def read(path: Path) -> ModelFacts:
    with path.open("rb") as stream:
        return gguf_model.from_headers([read_header(stream, tensors=True)], path.stat().st_size)


@pytest.mark.parametrize("kind", KINDS)
def test_caches_are_right_to_the_byte_and_buffers_nearly(kind: str, tmp_path: Path) -> None:
    path = KINDS[kind]().write(tmp_path)
    model = read(path)
    for name, options in OPTIONS.items():
        use = ModelUse(options.tokens, options.slots, **options.use)  # type: ignore[arg-type]
        size = kv_cache.size(model.layers, use)
        with running(path, tmp_path, options.arguments) as server:
            _same(server.buffers("KV"), [size.full, size.windowed, *sides(model, use)], f"{kind}, {name}")
            _same(server.buffers("(?:RS|state)"), [size.state], f"{kind}, {name}")
            buffer = float(server.buffers("compute")[-1]) * memory.MIB
            reckoned = compute.buffer(model, use, outputs=use.slots)
            low, high = (0.5, 1.2) if model.architecture in ROUGH else (0.9, 1.1)
            assert buffer * low <= reckoned <= buffer * high, f"{kind}, {name}: {reckoned} of {buffer}"


def sides(model: ModelFacts, use: ModelUse) -> list[int]:
    return [kv_cache.side_of_layer(layer, use) for layer in model.layers]


def _same(logged: list[str], reckoned: list[int], where: str) -> None:
    """Sums are compared, as the server logs one buffer for each kind of cache, rounded to a hundredth of a MiB."""
    total = sum(float(size) for size in logged)
    assert abs(total - sum(reckoned) / memory.MIB) <= 0.0051 * max(1, len(logged)), f"{where}: {logged}, {reckoned}"


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        (kinds.bert, ("--embedding",)),
        (lambda: kinds.bert(Shape(layers=2, width=512, heads=8, kv_heads=8, feed_forward=3072)), ("--embedding",)),
        (lambda: kinds.bert(Shape(layers=2, width=1024, heads=16, kv_heads=16, feed_forward=4096)), ("--embedding",)),
        (kinds.plain, ("--embedding", "--pooling", "mean")),
        (kinds.gemma3, ("--embedding", "--pooling", "last")),
        (kinds.plain, ("--rerank",)),
    ],
)
def test_a_text_that_goes_through_as_a_whole_takes_its_room(
    kind: Callable[[], Generated], flags: tuple[str, ...], tmp_path: Path
) -> None:
    """Servers of vectors have batches as long as the context: for long texts that is most of what they need."""
    path = kind().write(tmp_path)
    model = read(path)
    for tokens, slots in ((512, 1), (2048, 1), (4096, 2), (8192, 1)):
        batches = ("-b", str(tokens), "-ub", str(tokens))
        options = Options(tokens, slots, (*flags, *batches), {"ubatch": tokens})
        use = ModelUse(tokens, slots, ubatch=tokens)
        with running(path, tmp_path, options.arguments) as server:
            buffer = float(server.buffers("compute")[-1]) * memory.MIB
        reckoned = compute.buffer(model, use, outputs=slots)
        assert buffer * 0.9 <= reckoned <= buffer * 1.1, f"{tokens} tokens: {reckoned} of {buffer}"


@pytest.mark.parametrize(
    ("extra", "changed"),
    [
        ((), {"drafts": 3}),
        (("--spec-draft-n-max", "7"), {"drafts": 7}),
        (("-ctkd", "q8_0", "-ctvd", "q8_0"), {"drafts": 3, "draft_key_type": "q8_0", "draft_value_type": "q8_0"}),
        (("-ctk", "q8_0", "-ctv", "q8_0"), {"drafts": 3, "key_type": "q8_0", "value_type": "q8_0"}),
    ],
)
def test_layers_that_predict_ahead_take_memory_once_they_are_used(
    extra: tuple[str, ...], changed: dict[str, Any], tmp_path: Path
) -> None:
    """Others forget it, llama.cpp's own --fit among them (ggml-org/llama.cpp#23472, ikawrakow/ik_llama.cpp#1768)."""
    path = states.gated_delta(nextn=1).write(tmp_path)
    model, use = read(path), ModelUse(4096, 2, **changed)
    arguments = [*Options(4096, 2).arguments, "--spec-type", "draft-mtp", "-fa", "on", *extra]
    needed = memory.need(model, use, Placement())
    with running(path, tmp_path, arguments) as server:
        _same([*server.buffers("KV"), *server.buffers("(?:RS|state)")], [needed.cache.total], str(extra))
        weights = sum(map(float, re.findall(r"model buffer size = +([\d.]+) MiB", server.log)))
    assert weights * memory.MIB == pytest.approx(needed.host.weights, rel=0.06)
    assert needed.host.total > memory.need(model, ModelUse(4096, 2), Placement()).host.total + 16 * memory.MIB


def test_a_model_without_such_layers_is_refused_by_both(tmp_path: Path) -> None:
    path = kinds.gemma3().write(tmp_path)
    (told,) = mismatch.problems(read(path), Serving(ModelUse(2048, 1, drafts=3)))
    assert "no layers that predict ahead" in told
    with (
        pytest.raises(AssertionError, match="model doesn't contain MTP layers"),
        running(path, tmp_path, [*Options(2048, 1).arguments, "--spec-type", "draft-mtp"]),
    ):
        pass


@pytest.mark.parametrize("key_type", sorted(set(CACHE_TYPES) - {"bf16"}))
def test_each_type_of_cache_has_its_size(key_type: str, tmp_path: Path) -> None:
    path = kinds.gemma3().write(tmp_path)
    use = ModelUse(4096, 2, key_type=key_type)
    size = kv_cache.size(read(path).layers, use)
    with running(path, tmp_path, [*Options(4096, 2).arguments, "-ctk", key_type]) as server:
        assert server.buffers("KV") == shown(size.full, size.windowed)


@pytest.mark.parametrize(
    ("generated", "options"),
    [
        (kinds.multi_head, Options(8192, 2)),
        (lambda: kinds.plain(Shape(width=512, feed_forward=1024, vocabulary=128_000)), Options(16_384, 1)),
        (lambda: kinds.plain(Shape(width=1024, heads=16, kv_heads=4, feed_forward=4096)), Options(4096, 4)),
        (kinds.gemma3, Options(32_768, 4)),
    ],
)
def test_the_whole_is_what_the_process_holds(
    generated: Callable[[], Generated], options: Options, tmp_path: Path
) -> None:
    path = generated().write(tmp_path)
    use = ModelUse(options.tokens, options.slots)
    needed = memory.need(read(path), use, Placement()).host.total
    with running(path, tmp_path, options.arguments) as server:
        server.prompt(2000)  # touches the buffers that a full batch needs
        resident = server.resident
    assert resident * 0.9 <= needed <= resident * 1.1, f"reckoned {needed / 2**20:.0f} of {resident / 2**20:.0f} MiB"


def test_a_latent_cache_of_two_types_is_refused_by_both(tmp_path: Path) -> None:
    path = kinds.deepseek2().write(tmp_path)
    use = ModelUse(2048, 1, key_type="q8_0", value_type="q4_0")
    assert "both the same" in kv_cache.problem(read(path), use)
    with (
        pytest.raises(AssertionError, match="does not support different K"),
        running(path, tmp_path, ["-c", "2048", "-np", "1", "-ctk", "q8_0", "-ctv", "q4_0", "-fa", "on"]),
    ):
        pass
