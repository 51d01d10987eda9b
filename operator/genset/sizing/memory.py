"""Memory of a llama-server is what its weights, caches and buffers take, on the CPU's side and on each GPU.

Weights and caches are exact; buffers and what the programs themselves need are estimates (`compute`, and the constants
below), so a plan adds a margin. Which layer stands where follows llama.cpp's -ngl and -ncmoe (src/llama-model.cpp).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from genset.sizing import compute, kv_cache
from genset.sizing.kv_cache import ModelUse
from genset.sizing.model import Layer, ModelFacts

MIB, GIB = 2**20, 2**30
PROGRAM = 24 * MIB  # llama-server and its libraries, measured with build 11669
TOKEN_BYTES = 256  # of the vocabulary's tables, for each token
DEVICE_PROGRAM = 512 * MIB  # CUDA's context and its kernels on each GPU; ROCm's and Level Zero's are alike
DEVICE_MARGIN = 512 * MIB  # that stays free on each GPU, for what the driver fragments
HOST_OF_DEVICE = 512 * MIB  # pinned buffers of a process that drives GPUs
ENCODE_BUFFER = 512 * MIB  # while a picture becomes tokens
HEADROOM = 1.1  # over what is reckoned, for what no formula knows
DRAFTING_BUFFERS = (
    3  # of a batch: the second context that layers ahead have, and what both keep of a batch (build 11669)
)
CHECKPOINT_SPACING = 8192  # tokens; llama-server's --checkpoint-min-step
MOST_CHECKPOINTS = 32  # of a slot; --ctx-checkpoints


@dataclass(frozen=True)
class Placement:
    """Where a model stands. `gpus` 0: on CPU cores alone. `gpu_layers`: llama-server's -ngl, None for all layers;
    `cpu_experts`: of so many first layers the experts stay on the CPU (-ncmoe)."""

    gpus: int = 0
    gpu_layers: int | None = None
    cpu_experts: int = 0


@dataclass(frozen=True)
class Share:
    """What one side needs, in bytes."""

    weights: int = 0
    cache: int = 0
    compute: int = 0
    projector: int = 0
    adapters: int = 0
    prompts: int = 0  # finished prompts and checkpoints, kept to be continued
    program: int = 0

    @property
    def total(self) -> int:
        """Returns the sum."""
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True)
class Memory:
    """What a replica needs: on the host, and on the fullest of its GPUs (nothing without GPUs)."""

    host: Share
    device: Share
    cache: kv_cache.CacheSize


def need(
    model: ModelFacts, use: ModelUse, place: Placement, *, prompts: int = 0, projector: int = 0, adapters: int = 0
) -> Memory:
    """Returns the memory of one llama-server.

    `prompts` is --cache-ram in bytes, `projector` and `adapters` are the sizes of their files, which are loaded whole.
    """
    ahead = (model.ahead or ()) if use.drafts else ()
    model = replace(model, layers=(*model.layers, *ahead))  # last, so that they are the first that go to a GPU
    buffers = DRAFTING_BUFFERS if ahead else 1
    cache = kv_cache.size(model.layers, use)
    kept = prompts + (checkpoints(model, use) if prompts else 0)
    program = PROGRAM + TOKEN_BYTES * model.edges.vocabulary
    if not place.gpus:
        buffer = compute.buffer(model, use, outputs=use.slots) * buffers
        picture = projector + ENCODE_BUFFER if projector else 0
        return Memory(Share(model.weights, cache.total, buffer, picture, adapters, kept, program), Share(), cache)
    near, far = _split(model, place)
    moved_experts = sum(layer.experts for layer in near[: max(0, place.cpu_experts - len(far))])
    on_device = sum(layer.weights + layer.experts for layer in near) + model.edges.output - moved_experts
    if near:
        on_device += model.edges.other + (0 if model.edges.output else model.edges.input)  # tied: the table twice
    device_cache = kv_cache.size(near, use).total
    buffer = compute.buffer(model, use, outputs=use.ubatch) * buffers  # older builds ask for every row
    device = Share(
        weights=-(-on_device // place.gpus),
        cache=-(-device_cache // place.gpus),
        compute=buffer,
        projector=projector + ENCODE_BUFFER if projector else 0,
        adapters=-(-adapters // place.gpus),
        program=DEVICE_PROGRAM + DEVICE_MARGIN,
    )
    host = Share(
        weights=model.edges.input + sum(layer.weights + layer.experts for layer in far) + moved_experts,
        cache=kv_cache.size(far, use).total,
        compute=buffer if far or moved_experts else 64 * MIB,
        prompts=kept,
        program=program + HOST_OF_DEVICE,
    )
    return Memory(host, device, cache)


def quantity_text(size: float) -> str:
    """Writes bytes as a quantity, rounded up: to 256 MiB below 8 GiB, else to whole GiB."""
    if size >= 8 * GIB:
        return f"{-(-int(size) // GIB)}Gi"
    return f"{-(-int(size) // (256 * MIB)) * 256}Mi"


def checkpoints(model: ModelFacts, use: ModelUse) -> int:
    """Returns what checkpoints take on the host: copies of windows and states, which cannot be rolled back otherwise."""
    slot = kv_cache.size(model.layers, ModelUse(use.tokens, 1, use.key_type, use.value_type))
    count = min(MOST_CHECKPOINTS, -(-use.tokens // CHECKPOINT_SPACING))
    return (slot.windowed + slot.state) * count * use.slots


def _split(model: ModelFacts, place: Placement) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Returns the layers on GPUs and those on the CPU: the last ones go to the GPU, and the output counts as one."""
    count = len(model.layers)
    wanted = count + 1 if place.gpu_layers is None else place.gpu_layers
    first = max(0, count + 1 - wanted)
    return model.layers[first:], model.layers[:first]
