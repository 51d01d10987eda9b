"""A fit says whether a model runs on a node, how it stands there, and, if it does not, what would.

llama.cpp is tried from the fastest to the slowest: all on as few GPUs as will do, then with experts on the CPU, then with
some layers there, then on cores alone. vLLM needs all on GPUs of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from genset.sizing import memory, mismatch, speed, vllm
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import GIB, Memory, Placement
from genset.sizing.model import ModelFacts
from genset.sizing.nodes import Accelerators, Node
from genset.sizing.quantisation import FILE_BITS, LADDER, REPOSITORY_LADDER, smaller

LEAST_TOKENS = 1024
TOKENS_STEP = 1024
MOST_GPUS = 16  # of one replica
GPU_SHARE = 4  # at least a quarter of the layers on GPUs, or the cores do it alone


@dataclass(frozen=True)
class Ask:
    """What is asked of a model: its use, the way of its engine, and what stands beside it. Bytes."""

    use: ModelUse
    pooled: bool = False  # an engine that serves whole repositories from a pool of GPU memory
    prompts: int = 0
    projector: int = 0
    adapters: int = 0
    on_cpu: bool | None = None  # True: cores alone; False: accelerators; None: what fits
    place: Placement | None = None  # that a resource states; None: the best that there is
    vendor: str = ""  # of the accelerators that a resource asks for; "": any
    resource: str = ""  # by which extended resource; "": not said, or by a claim
    tensor: int = 0  # GPUs over which vLLM splits each layer; 0: all of a replica's


@dataclass(frozen=True)
class Fit:
    """How a model stands on a node. Bytes; `device` of each accelerator. Without `place` it does not fit."""

    node: Node
    place: Placement | None
    accelerators: Accelerators | None
    host: int
    device: int
    short: int = 0  # bytes
    where: str = ""  # where they are missing
    band: str = ""  # tokens per second of one answer
    most_tokens: int = 0  # of one request, with as many requests at once
    at_once: float = 0.0  # vLLM: requests of full length
    remedies: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Says whether it runs there."""
        return self.place is not None


@dataclass(frozen=True)
class _Try:
    """One way to stand on a node, and whether that works."""

    place: Placement
    accelerators: Accelerators | None
    host: int
    device: int
    host_short: int
    device_short: int
    at_once: float = 0.0

    @property
    def works(self) -> bool:
        return self.host_short <= 0 and self.device_short <= 0

    @property
    def short(self) -> int:
        return max(self.host_short, self.device_short, 0)


def fit(model: ModelFacts, node: Node, ask: Ask) -> Fit:
    """Returns how a model stands on a node."""
    tries = list(_tries(model, node, ask))
    best = next((one for one in tries if one.works), None)
    if best is None:
        return _missing(model, node, ask, tries)
    return Fit(
        node,
        best.place,
        best.accelerators,
        best.host,
        best.device,
        band=_band(model, node, best),
        most_tokens=_most_tokens(model, node, ask, best),
        at_once=best.at_once,
    )


def _missing(model: ModelFacts, node: Node, ask: Ask, tries: list[_Try]) -> Fit:
    if not tries:
        return Fit(node, None, None, 0, 0, where="it has no such accelerator whose memory is known")
    nearest = min(tries, key=lambda one: one.short)
    where = "memory" if nearest.host_short >= nearest.device_short else "accelerator memory"
    return Fit(
        node, None, nearest.accelerators, nearest.host, nearest.device, nearest.short, where,
        remedies=tuple(remedies(model, node, ask)),
    )  # fmt: skip


def _tries(model: ModelFacts, node: Node, ask: Ask) -> Iterator[_Try]:
    usable = [one for one in node.accelerators if one.memory and _will_do(one, ask)]
    if ask.pooled:
        for accelerators in usable:
            yield from _vllm_tries(model, node, ask, accelerators)
        return
    if ask.on_cpu is not True:
        for accelerators in usable:
            if ask.place is not None:
                yield _llama(model, node, ask, accelerators, _within(ask.place, model))
            else:
                yield from _device_tries(model, node, ask, accelerators)
    if ask.on_cpu is not False:
        yield _llama(model, node, ask, None, Placement())


def _will_do(found: Accelerators, ask: Ask) -> bool:
    """Says whether a node's accelerators are those that a resource asks for, and as many."""
    same = ask.vendor in ("", found.vendor) and (not ask.resource or found.resource in ("", ask.resource))
    return same and found.count >= max(1, _stated_gpus(ask))


def _stated_gpus(ask: Ask) -> int:
    return ask.place.gpus if ask.place is not None else 0


def _within(place: Placement, model: ModelFacts) -> Placement:
    """Returns a stated place in the model's own numbers: "all experts" is as many as it has layers."""
    return replace(place, cpu_experts=min(place.cpu_experts, len(model.layers)))


def _device_tries(model: ModelFacts, node: Node, ask: Ask, accelerators: Accelerators) -> Iterator[_Try]:
    most = min(accelerators.count, MOST_GPUS)
    for gpus in range(1, most + 1):
        yield _llama(model, node, ask, accelerators, Placement(gpus))
    layers = len(model.layers)
    if model.experts.count:
        yield from _first_that_works(
            lambda number: _llama(model, node, ask, accelerators, Placement(most, cpu_experts=number)),
            range(1, layers + 1),
        )
    down = range(layers, layers // GPU_SHARE, -1)
    yield from _first_that_works(
        lambda number: _llama(model, node, ask, accelerators, Placement(most, gpu_layers=number)), down
    )


def _first_that_works(attempt: Callable[[int], _Try], numbers: range) -> Iterator[_Try]:
    """Yields the first number's attempt that works, by halving: from some number on all do, or none."""
    low, high = 0, len(numbers) - 1
    found: _Try | None = None
    while low <= high:
        middle = (low + high) // 2
        tried = attempt(numbers[middle])
        if tried.device_short <= 0:
            found, high = tried, middle - 1
        else:
            low = middle + 1
    if found is not None:
        yield found


def _llama(model: ModelFacts, node: Node, ask: Ask, accelerators: Accelerators | None, place: Placement) -> _Try:
    needed: Memory = memory.need(
        model, ask.use, place, prompts=ask.prompts, projector=ask.projector, adapters=ask.adapters
    )
    host, device = needed.host.total, needed.device.total
    room = accelerators.memory if accelerators else 0
    return _Try(place, accelerators, host, device, host - node.memory, device - room)


def _vllm_tries(model: ModelFacts, node: Node, ask: Ask, accelerators: Accelerators) -> Iterator[_Try]:
    host, stated = vllm.host_bytes(model), _stated_gpus(ask)
    for gpus in (stated,) if stated else range(1, min(accelerators.count, MOST_GPUS) + 1):
        if mismatch.tensor_problem(model, ask.tensor or gpus):
            continue
        pool = vllm.pool(model, ask.use.tokens, gpus, accelerators.memory, eight_bits=ask.use.eight_bits)
        needed = accelerators.memory + max(0, pool.request - pool.cache)
        yield _Try(
            Placement(gpus), accelerators, host, min(needed, accelerators.memory) if pool.requests >= 1 else needed,
            host - node.memory, pool.request - pool.cache, pool.requests,
        )  # fmt: skip


def _band(model: ModelFacts, node: Node, tried: _Try) -> str:
    """Returns the band of tokens per second of one answer."""
    host_rate = speed.host_bandwidth(int(node.cpu))
    read = model.read_per_token
    if tried.accelerators is None:
        return speed.band(speed.tokens_per_second(0, 1, read, host_rate))
    on_cpu = _read_on_cpu(model, tried.place)
    rate = speed.device_bandwidth(tried.accelerators.vendor, tried.accelerators.product)
    split = tried.place.gpus if model.layers and tried.at_once else 1  # tensor parallel reads at once, layers in turn
    return speed.band(speed.tokens_per_second((read - on_cpu) // split, rate, on_cpu, host_rate))


def _read_on_cpu(model: ModelFacts, place: Placement) -> int:
    layers = len(model.layers)
    first = max(0, layers + 1 - place.gpu_layers) if place.gpu_layers is not None else 0
    share = model.experts.used / model.experts.count if model.experts.count else 1.0
    far = sum(layer.weights + int(layer.experts * share) for layer in model.layers[:first])
    return far + sum(int(layer.experts * share) for layer in model.layers[first : max(first, place.cpu_experts)])


def _most_tokens(model: ModelFacts, node: Node, ask: Ask, best: _Try) -> int:
    """Returns the longest request that fits in the same place, in steps of 1,024 tokens, up to the model's own bound."""
    bound = max(ask.use.tokens, model.context or ask.use.tokens)
    low, high = ask.use.tokens // TOKENS_STEP, bound // TOKENS_STEP

    def works(steps: int) -> bool:
        longer = replace(ask, use=replace(ask.use, tokens=steps * TOKENS_STEP))
        if ask.pooled and best.accelerators:
            pool = vllm.pool(
                model, longer.use.tokens, best.place.gpus, best.accelerators.memory, eight_bits=longer.use.eight_bits
            )
            return pool.requests >= 1
        return _llama(model, node, longer, best.accelerators, best.place).works

    while low < high:
        middle = (low + high + 1) // 2
        if works(middle):
            low = middle
        else:
            high = middle - 1
    return max(ask.use.tokens, low * TOKENS_STEP)


def remedies(model: ModelFacts, node: Node, ask: Ask) -> Iterator[str]:
    """Yields what would make a model fit a node, each alone: less context, fewer at once, a smaller cache or file."""

    def works(changed: ModelFacts, use: ModelUse) -> bool:
        return any(one.works for one in _tries(changed, node, replace(ask, use=use)))

    tokens = ask.use.tokens // 2
    while tokens >= LEAST_TOKENS and not works(model, replace(ask.use, tokens=tokens)):
        tokens //= 2
    if tokens >= LEAST_TOKENS:
        yield f"context.tokens {tokens // 256 * 256}"
    if not ask.pooled:
        slots = next((n for n in range(ask.use.slots - 1, 0, -1) if works(model, replace(ask.use, slots=n))), 0)
        if slots:
            yield f"context.parallel {slots}"
        if ask.use.key_type == "f16" and works(model, replace(ask.use, key_type="q8_0", value_type="q8_0")):
            yield "a cache of 8 bits"
    for name in smaller(model.quantisation, model.bits, REPOSITORY_LADDER if ask.pooled else LADDER):
        if works(requantised(model, name), ask.use):
            yield f"{name} (about {requantised(model, name).weights / GIB:.1f} GiB)"
            break


def requantised(model: ModelFacts, quantisation: str) -> ModelFacts:
    """Returns the model as it would be with another quantisation, by bits per weight."""
    have = model.bits or FILE_BITS.get(model.quantisation, 16)
    share = FILE_BITS[quantisation] / have
    edges = model.edges
    layers, ahead = (
        tuple(replace(one, weights=int(one.weights * share), experts=int(one.experts * share)) for one in every)
        for every in (model.layers, model.ahead or ())
    )
    return replace(
        model,
        quantisation=quantisation,
        file_bytes=int(model.file_bytes * share),
        layers=layers,
        ahead=ahead if model.ahead is not None else None,
        edges=replace(
            edges, input=int(edges.input * share), output=int(edges.output * share), other=int(edges.other * share)
        ),
    )
