"""Projectors and adapters that belong to another model are told from headers, as a real llama-server refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from genset.sizing.companions import adapter_problem, projector_problem, projector_width
from genset.sizing.gguf import GgufHeader, GgufTensor, read_header
from testbed.models import adapters, seeing
from tests.support.sizing import kinds
from tests.support.sizing.generated import Shape
from tests.support.sizing.server import is_there, running

FIXED = {"ldp": "mm.model.mb_block.1.block.2.1.bias", "ldpv2": "mm.model.peg.0.bias"}
MODEL = {"blk.0.ffn_up.weight": (256, 384), "blk.0.ffn_down.weight": (384, 256), "token_embd.weight": (256, 512)}


def header(metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]) -> GgufHeader:
    listed = tuple(GgufTensor(name, shape, 0) for name, shape in tensors.items())
    return GgufHeader(3, len(listed), len(metadata), dict(metadata), tensors=listed)


def factors(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.lora_a": a, f"{name}.lora_b": b}


@pytest.mark.parametrize(
    ("kind", "tensors", "width"),
    [
        ("mlp", {"mm.0.weight": (1024, 4096), "mm.2.weight": (4096, 4096)}, 4096),  # LLaVA
        (None, {"mm.2.weight": (4096, 5120)}, 5120),  # a file from before there were kinds
        ("gemma3", {"mm.input_projection.weight": (5376, 1152)}, 5376),
        ("gemma4v", {"mm.input_projection.weight": (1152, 2816)}, 2816),
        ("qwen2.5vl_merger", {"mm.2.weight": (5120, 3584), "mm.2.bias": (3584,)}, 3584),
        ("qwen3vl_merger", {"mm.2.bias": (4096,), "v.deepstack.8.fc2.bias": (4096,)}, 4096),
        ("qwen2.5o", {"mm.2.bias": (3584,), "mm.a.fc.weight": (1280, 3584)}, 3584),
        ("pixtral", {"mm.1.weight": (1024, 5120), "mm.2.weight": (5120, 5120)}, 5120),
        ("llama4", {"mm.model.fc.weight": (4096, 5120)}, 5120),
        ("idefics3", {"mm.model.fc.weight": (12288, 576)}, 576),
        ("internvl", {"mm.model.mlp.3.weight": (4096, 896)}, 896),
        ("kimivl", {"mm.2.weight": (4608, 2048)}, 2048),
        ("glm4v", {"mm.down.weight": (13696, 4096)}, 4096),
        ("resampler", {"resampler.proj.weight": (3584, 3584)}, 3584),
        ("ultravox", {"mm.a.mlp.2.weight": (8192, 4096)}, 4096),
        ("ldp", {FIXED["ldp"]: (2048,)}, 2048),
        ("ldpv2", {FIXED["ldpv2"]: (2048,)}, 2048),
        ("of-next-year", {"mm.2.weight": (1, 7)}, 0),
        ("gemma3", {"mm.2.weight": (1, 7)}, 0),
        ("gemma3", {"mm.input_projection.weight": ()}, 0),
        ("qwen3a", {"mm.a.mlp.2.weight": (4,)}, 0),
    ],
)
def test_what_a_projector_makes(kind: str | None, tensors: dict[str, tuple[int, ...]], width: int) -> None:
    found = header({"clip.projector_type": kind} if kind is not None else {}, tensors)
    assert projector_width(found) == width
    assert projector_problem(width, found) == "" == projector_problem(0, found)
    if width:
        assert f"makes vectors of {width}, and the model takes {width + 64}" in projector_problem(width + 64, found)


def test_pictures_come_before_sound() -> None:
    kinds_of = {"clip.audio.projector_type": "gemma4a", "clip.vision.projector_type": "gemma4v"}
    assert projector_width(header(kinds_of, {"mm.input_projection.weight": (768, 1536)})) == 1536


@pytest.mark.parametrize(
    ("metadata", "tensors", "words"),
    [
        ({}, factors("blk.0.ffn_up.weight", (256, 16), (16, 384)), ""),
        ({}, factors("blk.0.ffn_down.weight", (384, 8), (8, 256)), ""),
        ({}, factors("token_embd.weight", (16, 512), (16, 256)), ""),  # its factors stand the other way round
        ({}, {**factors("blk.0.ffn_up.weight", (256, 16), (16, 384)), "blk.0.attn_norm.weight": (256,)}, ""),
        ({"general.architecture": "qwen2"}, {}, "made for architecture qwen2, and the model is llama"),
        ({"general.architecture": "\x1b[31m" + "x" * 900}, {}, f"architecture ?[31m{'x' * 59}, and"),
        ({"adapter.type": "dora"}, {}, "of type dora, and only lora"),
        ({}, factors("blk.7.ffn_up.weight", (256, 16), (16, 384)), "blk.7.ffn_up.weight, which the model does not have"),
        ({}, factors("blk.0.ffn_up.weight", (512, 16), (16, 384)), "do not make the model's 256 x 384"),
        ({}, factors("blk.0.ffn_up.weight", (256, 16), (8, 384)), "do not fit each other"),
        ({}, {"blk.0.ffn_up.weight.lora_a": (256, 16)}, "one of the two factors"),
        ({}, {"blk.0.ffn_up.weight": (256, 384)}, "is no factor of an adapter"),
        ({}, factors("blk.0.ffn_up.weight", (), ()), "one of the two factors"),
    ],
)  # fmt: skip
def test_adapters_of_other_models(metadata: dict[str, Any], tensors: dict[str, tuple[int, ...]], words: str) -> None:
    told = adapter_problem("llama", header({"general.architecture": "llama", **metadata}, tensors), [header({}, MODEL)])
    assert words in told and bool(told) == bool(words)


def test_tensors_of_a_split_model_are_looked_for_in_all_its_files() -> None:
    files = [header({}, {name: shape}) for name, shape in MODEL.items()]
    adapter = header({"general.architecture": "llama"}, factors("blk.0.ffn_down.weight", (384, 8), (8, 256)))
    assert adapter_problem("llama", adapter, files) == ""
    assert "does not have" in adapter_problem("llama", adapter, files[:1])


def of_norms_alone(path: Path) -> None:
    """Writes an adapter that llama-server loads, and that changes nothing."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(256, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.skipif(not is_there(), reason="the image with llama-server is not built: make images")
@pytest.mark.parametrize("base", ["seeing", "narrow", "gemma3"])
@pytest.mark.parametrize("companion", ["--mmproj", "--lora", "--lora of norms"])
def test_what_is_told_is_what_llama_server_does(tmp_path: Path, base: str, companion: str) -> None:
    if base == "seeing":
        model = tmp_path / "seeing.gguf"
        seeing.write_model(model)
    else:
        made = kinds.gemma3() if base == "gemma3" else kinds.plain(Shape(layers=1))
        model = made.write(tmp_path)
    file = tmp_path / "companion.gguf"
    if companion == "--mmproj":
        seeing.write_projector(file)
    elif companion == "--lora":
        adapters.write_gguf(file, 500)
    else:
        of_norms_alone(file)
    with model.open("rb") as one, file.open("rb") as two:
        facts, header = read_header(one, tensors=True), read_header(two, tensors=True)
    if companion == "--mmproj":
        told = projector_problem(int(facts.metadata[f"{facts.architecture}.embedding_length"]), header)
    else:
        told = adapter_problem(facts.architecture, header, [facts])
    try:
        with running(model, tmp_path, ["-c", "512", "-np", "1", companion.split()[0], str(file)]):
            served = True
    except AssertionError:
        served = False
    log = (tmp_path / "llama-server.log").read_text(errors="replace")
    assert served is (told == ""), f"told: {told or 'nothing'}\n{log[-1500:]}"
