"""Memory of vLLM is one pool on each GPU: a share of it all, less weights and what a batch needs, is cache.

vLLM takes `gpu_memory_utilization` of the whole GPU, whatever the model needs; what is left for the cache decides how
many requests of full length run at once. Blocks have 16 tokens. A layer with a window keeps the window and the batch in work for
each request, and one block more (vllm/v1/kv_cache_interface.py, SlidingWindowSpec): a prompt frees what is behind it in steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from genset.sizing.model import ModelFacts
from genset.sizing.quantisation import CACHE_TYPES

GIB = 2**30
UTILISATION = 0.92
BLOCK = 16  # tokens
CONTEXT = 0.6 * GIB  # CUDA, NCCL and captured graphs on each GPU
BATCH_TOKENS = 8192  # that are worked on at once; max_num_batched_tokens
HOST_LEAST = 16 * GIB
CPU_PROGRAM = 2 * GIB  # without GPUs: interpreter and libraries


@dataclass(frozen=True)
class CachePool:
    """A pool of cache on each GPU: its bytes, and how many requests of full length it holds at once."""

    weights: int
    batch: int
    cache: int  # bytes left for the cache; below 0 the weights do not fit
    request: int  # bytes of cache that one request of full length needs on each GPU
    utilisation: float = UTILISATION

    @property
    def requests(self) -> float:
        """Returns how many requests of full length fit at once."""
        return max(0, self.cache) / self.request if self.request else 0.0


def pool(
    model: ModelFacts,
    tokens: int,
    gpus: int,
    device_memory: int,
    *,
    utilisation: float = UTILISATION,
    eight_bits: bool = False,
) -> CachePool:
    """Returns the pool of one replica on so many GPUs side by side (tensor parallelism)."""
    weights = -(-model.weights // gpus)
    batch = batch_bytes(model, tokens, gpus)
    cache = int(device_memory * utilisation) - weights - batch
    return CachePool(weights, batch, cache, request_bytes(model, tokens, gpus, eight_bits=eight_bits), utilisation)


def batch_bytes(model: ModelFacts, tokens: int, gpus: int) -> int:
    """Returns what each GPU needs beside weights and cache: the widest results of a batch, and the program."""
    widest = max((layer.queries + 2 * layer.key for layer in model.layers), default=0)
    wide = max(widest, 2 * model.edges.feed_forward) + 2 * model.edges.width
    return int(wide * min(BATCH_TOKENS, max(tokens, 2048)) * 2 / gpus + CONTEXT)


def request_bytes(model: ModelFacts, tokens: int, gpus: int = 1, *, eight_bits: bool = False) -> int:
    """Returns the cache of one request on each GPU; fewer key-value heads than GPUs are kept several times."""
    size = 1 if eight_bits else CACHE_TYPES["f16"].size
    total = 0
    for layer in model.layers:
        blocks = -(-tokens // BLOCK)
        if layer.window:
            blocks = -(-min(tokens, layer.window - 1 + BATCH_TOKENS) // BLOCK) + 1
        latent = layer.key and not layer.value
        heads = layer.key // layer.key_head if layer.key_head else 1
        parts = 1 if latent else max(1, min(gpus, heads))
        side = sum(one.key * -(-tokens // one.ratio) for one in layer.side) * size
        total += (layer.key + layer.value) * size * blocks * BLOCK // parts + side + layer.state * 4 // gpus
    return total


def host_bytes(model: ModelFacts) -> int:
    """Returns the memory that a pod needs beside the GPUs: the program, and weights on their way."""
    return max(HOST_LEAST, int(model.weights * 0.1) + 8 * GIB)
