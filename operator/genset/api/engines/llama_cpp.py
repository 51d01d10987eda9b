"""The settings of llama.cpp are those of llama-server with one model a pod."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genset.api.base import CelRule, Quantity, rules
from genset.api.bounds import at_least
from genset.api.engines.base import TASK_CEL, ManagedEngineSettings, Task, WeightsForm

CACHE_RAM_LEAST = "1Mi"  # llama-server counts in MiB


@rules(at_least("llamaCpp.cacheRAM", CACHE_RAM_LEAST, gibi_below=64, or_none=True))
class LlamaCpp(ManagedEngineSettings):
    """Settings that only llama.cpp knows."""

    engine: ClassVar[str] = "llama.cpp"
    weights: ClassVar[WeightsForm] = WeightsForm.GGUF
    takes_projector: ClassVar[bool] = True
    takes_adapters: ClassVar[bool] = True
    spec_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            f"!has(self.llamaCpp) || !has(self.llamaCpp.pooling) || {TASK_CEL} == 'Embeddings'",
            "llamaCpp.pooling says how vectors are made of texts: remove it, or set task to Embeddings",
            lambda spec: spec.llama_cpp is None or spec.llama_cpp.pooling is None or spec.task is Task.EMBEDDINGS,
        ),
        CelRule(
            f"self.engine != 'llama.cpp' || !has(self.adapters) || self.adapters.size() == 0 || {TASK_CEL} == 'Chat'",
            "adapters on engine llama.cpp are for task Chat: its server answers embeddings and rerank by the model alone; remove "
            "them, or use engine vllm",
            lambda spec: spec.engine != "llama.cpp" or not spec.adapters or spec.task is Task.CHAT,
        ),
    )

    cache_ram: Quantity = Field(
        default="0",
        alias="cacheRAM",
        description="Host memory for finished prompts (--cache-ram), rounded up to MiB. It counts against "
        "resources.memory; the engine's own default of 8 GiB would get pods killed.",
    )
    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None,
        description="How task Embeddings makes one vector of a text's tokens. Default: what the model's file says; many "
        "files of older models say nothing.",
    )
    extra_args: list[Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=32_768, examples=["--jinja"])]] = Field(
        default_factory=list,
        max_length=64,
        description="More arguments for llama-server, appended last: flags that are known to do no harm, each value an item of "
        "its own. Refused: those that genset sets, that let a request run code, reach hosts or read files, and all others.",
    )
