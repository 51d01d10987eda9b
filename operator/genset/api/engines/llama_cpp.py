"""The settings of llama.cpp are those of llama-server with one model a pod."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.base import Quantity, rules
from genset.api.bounds import at_least
from genset.api.engines.base import ManagedEngineSettings, WeightsForm

CACHE_RAM_LEAST = "1Mi"  # llama-server counts in MiB


@rules(at_least("llamaCpp.cacheRAM", CACHE_RAM_LEAST, gibi_below=64, or_none=True))
class LlamaCpp(ManagedEngineSettings):
    """Settings that only llama.cpp knows."""

    engine: ClassVar[str] = "llama.cpp"
    weights: ClassVar[WeightsForm] = WeightsForm.GGUF
    takes_projector: ClassVar[bool] = True
    takes_adapters: ClassVar[bool] = True

    cache_ram: Quantity = Field(
        default="0",
        alias="cacheRAM",
        description="Host memory for finished prompts (--cache-ram), rounded up to MiB. It counts against "
        "resources.memory; the engine's own default of 8 GiB would get pods killed.",
    )
    extra_args: list[str] = Field(
        default_factory=list,
        max_length=64,
        description="More arguments for llama-server, appended last: flags that are known to do no harm, each value an item of "
        "its own. Refused: those that genset sets, that let a request run code, reach hosts or read files, and all others.",
    )
