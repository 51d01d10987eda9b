"""A companion fits its model, or not, by the headers of both: a projector by the width of what it makes, an adapter by tensors.

The rules are those by which llama-server refuses to start (llama.cpp tools/mtmd/mtmd.cpp and clip.cpp, clip_n_mmproj_embd;
src/llama-adapter.cpp, llama_adapter_lora_init_impl). Only what is certain is told: a projector of an unknown kind fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from genset.sizing.gguf import GgufHeader

#: Tensors of which one dimension is the width of what a projector makes, by its kind: (name, dimension).
_WIDTH: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(
        ("mlp", "phi4", "pixtral", "lightonocr", "dots_ocr", "lfm2", "kimivl", "kimik25", "paddleocr", "yasa2"),
        ("mm.2.weight", 1),
    ),
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "youtuvl"), ("mm.2.bias", 0)),
    **dict.fromkeys(("gemma3", "gemma3nv"), ("mm.input_projection.weight", 0)),
    "gemma4v": ("mm.input_projection.weight", 1),
    **dict.fromkeys(("idefics3", "llama4", "deepseekocr"), ("mm.model.fc.weight", 1)),
    **dict.fromkeys(("internvl", "nemotron_v2_vl"), ("mm.model.mlp.3.weight", 1)),
    **dict.fromkeys(("glm4v", "cogvlm"), ("mm.down.weight", 1)),
    "resampler": ("resampler.proj.weight", 0),
    "ldp": ("mm.model.mb_block.1.block.2.1.bias", 0),
    "ldpv2": ("mm.model.peg.0.bias", 0),
    **dict.fromkeys(("ultravox", "voxtral", "musicflamingo", "qwen3a"), ("mm.a.mlp.2.weight", 1)),
    "meralion": ("mm.a.mlp.3.weight", 1),
    "qwen2a": ("mm.a.fc.weight", 1),
}
_NAMED = ("clip.vision.projector_type", "clip.projector_type", "clip.audio.projector_type")
_USUAL = "mlp"  # of files that were made before projectors had kinds
_BOTH = "qwen2.5o"  # its pictures come in as Qwen2.5-VL's
_A, _B, _IGNORED = ".lora_a", ".lora_b", "_norm.weight"
_FLIPPED = "token_embd.weight"  # the factors of its adapters stand the other way round
_SHOWN = 64  # characters of a name from a file

Shape = tuple[int, ...]


def projector_width(projector: GgufHeader) -> int:
    """Returns the width of what a projector makes of a picture, read with `tensors=True`; 0 if it is not known."""
    kind = next((str(projector.metadata[key]) for key in _NAMED if key in projector.metadata), _USUAL)
    found = _WIDTH.get("qwen2.5vl_merger" if kind == _BOTH else kind)
    shape = _shapes([projector]).get(found[0], ()) if found is not None else ()
    return shape[found[1]] if found is not None and found[1] < len(shape) else 0


def projector_problem(width: int, projector: GgufHeader) -> str:
    """Says why a model whose hidden state has some width does not take what a projector makes; empty if it does.

    `width`: 0 if it is not known.
    """
    made = projector_width(projector)
    if not width or not made or made == width:
        return ""
    return (
        f"the projector makes vectors of {made}, and the model takes {width}: name the projector (mmproj) that belongs to this "
        "model"
    )


def adapter_problem(architecture: str, adapter: GgufHeader, model: Sequence[GgufHeader] = ()) -> str:
    """Says why an adapter is for another model; empty if nothing is known against it. `model`: its headers with their tensors,
    all of them; without them only the architectures are compared."""
    if adapter.architecture and architecture and adapter.architecture != architecture:
        return (
            f"it was made for architecture {_shown(adapter.architecture)}, and the model is {_shown(architecture)}: name an "
            "adapter of this model"
        )
    kind = str(adapter.metadata.get("adapter.type", "lora"))
    if kind != "lora":
        return f"it is of type {_shown(kind)}, and only lora can be loaded: convert one with llama.cpp's convert_lora_to_gguf.py"
    return _tensor_problem(_shapes(model), _shapes([adapter])) if model else ""


def _tensor_problem(model: Mapping[str, Shape], adapter: Mapping[str, Shape]) -> str:
    for name in adapter:
        base = name.removesuffix(_A).removesuffix(_B)
        if base == name and not name.endswith(_IGNORED):
            return f"its tensor {_shown(name)} is no factor of an adapter: convert it anew with convert_lora_to_gguf.py"
        if base == name:
            continue
        a, b, wanted = adapter.get(f"{base}{_A}", ()), adapter.get(f"{base}{_B}", ()), model.get(base)
        if not a or not b:
            return f"one of the two factors of {_shown(base)} is missing: convert it anew with convert_lora_to_gguf.py"
        if wanted is None:
            return f"it changes {_shown(base)}, which the model does not have: name an adapter of this model"
        if (told := _shape_problem(base, wanted, a, b)) is not None:
            return told
    return ""


def _shape_problem(name: str, wanted: Shape, a: Shape, b: Shape) -> str | None:
    if name.endswith(_FLIPPED):
        fits = (_at(b, 1), _at(a, 1)) == (_at(wanted, 0), _at(wanted, 1))
    else:
        fits = (_at(a, 0), _at(b, 1)) == (_at(wanted, 0), _at(wanted, 1))
        if fits and _at(a, 1) != _at(b, 0):
            return f"the factors of {_shown(name)} do not fit each other: convert it anew with convert_lora_to_gguf.py"
    if fits:
        return None
    shape = " x ".join(str(one) for one in wanted)
    return f"its factors of {_shown(name)} do not make the model's {shape}: name an adapter of this model"


def _shapes(headers: Iterable[GgufHeader]) -> dict[str, Shape]:
    return {tensor.name: tensor.shape for header in headers for tensor in header.tensors}


def _at(shape: Shape, dimension: int) -> int:
    """Returns a dimension as ggml has it, which fills four up with ones."""
    return shape[dimension] if dimension < len(shape) else 1


def _shown(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:_SHOWN])
