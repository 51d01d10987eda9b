"""The settings of Ollama are those of one server that holds one model."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from genset.api.base import CelRule, Quantity, rules
from genset.api.bounds import at_least
from genset.api.engines.base import ManagedEngineSettings, Task, WeightsForm

#: What Ollama takes for a model's name: [[HOST/]NAMESPACE/]MODEL[:TAG] (ollama/ollama, types/model/name.go).
NAME = r"^([A-Za-z0-9_][A-Za-z0-9_-]{0,79}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,79}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,79})?$"
#: Tags by which it tells its makers' cloud from the house (internal/modelref).
SOURCE_TAG = r"(?i):(local|cloud|[^:/]*-cloud)$"
#: Parameters that a Modelfile may set, beside those that genset sets (ollama/ollama, api/types.go, Options and Runner).
PARAMETERS = (
    "frequency_penalty", "min_p", "num_batch", "num_gpu", "num_keep", "num_predict", "presence_penalty", "repeat_last_n",
    "repeat_penalty", "seed", "temperature", "top_k", "top_p", "typical_p",
)  # fmt: skip

Parameter = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$", max_length=26, examples=["0.7"])]


#: Fields of a source that may name a shard of a split model.
_NAMING = (
    ("hugging_face", "file"), ("s3", "uri"), ("s3", "file"), ("oci", "path"), ("pvc", "path"), ("host_path", "path"),
)  # fmt: skip
_SHARD = r"-of-[0-9]{5}\.gguf$"


def _split(spec: Any) -> bool:
    blocks = [(getattr(spec.source, name), field) for name, field in _NAMING] if spec.source is not None else []
    return any(re.search(_SHARD, getattr(block, field) or "") for block, field in blocks if block is not None)


_SPLIT = " || ".join(
    f"(has(self.source.{to_camel(name)}) && has(self.source.{to_camel(name)}.{field}) && "
    f"self.source.{to_camel(name)}.{field}.matches(r'{_SHARD}'))"
    for name, field in _NAMING
)


@rules(
    at_least("ollama.cacheRAM", "1Mi", gibi_below=64, or_none=True),
    CelRule(
        "self.kvCacheType == 'f16' || !has(self.flashAttention) || self.flashAttention",
        "ollama.kvCacheType other than f16 needs flash attention: remove flashAttention, or set it to true",
        lambda own: own.kv_cache_type == "f16" or own.flash_attention is not False,
    ),
    CelRule(
        f"!has(self.parameters) || self.parameters.all(k, k in {list(PARAMETERS)})",
        "ollama.parameters: num_ctx follows from context.tokens and num_thread from resources.cpu; of the others there are "
        f"{', '.join(PARAMETERS)}",
        lambda own: all(name in PARAMETERS for name in own.parameters),
    ),
)
class Ollama(ManagedEngineSettings):
    """Settings that only Ollama knows."""

    engine: ClassVar[str] = "ollama"
    weights: ClassVar[WeightsForm] = WeightsForm.GGUF
    tasks: ClassVar[tuple[Task, ...]] = (Task.CHAT, Task.EMBEDDINGS)
    spec_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            f"self.engine != 'ollama' || !has(self.model) || self.model.matches(r'{NAME}')",
            "model is no name that Ollama takes: write NAME, NAME:TAG or OWNER/NAME:TAG, without dots in OWNER",
            lambda spec: spec.engine != "ollama" or spec.model is None or re.match(NAME, spec.model) is not None,
        ),
        CelRule(
            f"self.engine != 'ollama' || !has(self.model) || !self.model.matches(r'{SOURCE_TAG}')",
            "engine ollama takes the tags local, cloud and those that end in -cloud for the place of a model: choose another "
            "tag for model",
            lambda spec: spec.engine != "ollama" or spec.model is None or re.search(SOURCE_TAG, spec.model) is None,
        ),
        CelRule(
            f"self.engine != 'ollama' || !has(self.source) || !({_SPLIT})",
            "engine ollama takes a model in one file: join the parts with llama-gguf-split --merge, or use engine llama.cpp",
            lambda spec: spec.engine != "ollama" or not _split(spec),
        ),
    )

    cache_ram: Quantity = Field(
        default="0",
        alias="cacheRAM",
        description="Host memory for finished prompts, rounded up to MiB. It counts against resources.memory; the server's own "
        "default of 8 GiB would get pods killed.",
    )
    kv_cache_type: Literal["f16", "q8_0", "q4_0"] = Field(
        default="f16",
        description="Type of numbers of the context (OLLAMA_KV_CACHE_TYPE). q8_0 takes half of the memory, q4_0 a quarter.",
    )
    flash_attention: bool | None = Field(
        default=None,
        description="Flash attention (OLLAMA_FLASH_ATTENTION). Default: as the server decides for the model.",
    )
    max_queue: int = Field(
        default=512,
        ge=1,
        le=4096,
        description="Requests that wait in the server; more are answered 503 (OLLAMA_MAX_QUEUE), and routers ask elsewhere.",
    )
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        max_length=16,
        examples=[{"temperature": "0.7"}],
        description=f"Defaults of the model for requests that do not say otherwise: {', '.join(PARAMETERS)}.",
    )
