"""The settings of vLLM are those of one server with one model a pod."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from genset.api.base import CelRule, Quantity, rules
from genset.api.bounds import MEMORY_LEAST, at_least
from genset.api.engines.base import TASK_CEL, ManagedEngineSettings, Task, WeightsForm

SHARED_MEMORY_LEAST = "160Mi"  # one process of vLLM 0.32 refuses to start with less ("Insufficient space in /dev/shm")
Parser = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


def _is_gguf(spec: Any) -> bool:
    """Returns whether the source is a file of GGUF by its path."""
    if spec.source is None:
        return False
    blocks = (spec.source.pvc, spec.source.host_path, spec.source.oci)
    return any(block is not None and (block.path or "").lower().endswith(".gguf") for block in blocks)


_FILES = " || ".join(
    f"(has(self.source.{block}) && has(self.source.{block}.path) && self.source.{block}.path.lowerAscii().endsWith('.gguf'))"
    for block in ("pvc", "hostPath", "oci")
)
_CHAT_ONLY = ("toolCallParser", "reasoningParser", "chatTemplate")


@rules(
    at_least("vllm.sharedMemory", SHARED_MEMORY_LEAST, gibi_below=64),
    at_least("vllm.kvCacheMemory", MEMORY_LEAST, gibi_below=64, optional=True),
    CelRule(
        "!has(self.gpuMemoryPercent) || !has(self.kvCacheMemory)",
        "vllm.gpuMemoryPercent and vllm.kvCacheMemory exclude each other: give the memory of the context one way",
        lambda own: own.gpu_memory_percent is None or own.kv_cache_memory is None,
    ),
    CelRule(
        "!has(self.chatTemplate) || !self.chatTemplate.contains('..')",
        "vllm.chatTemplate must not contain '..': name the file directly",
        lambda own: own.chat_template is None or ".." not in own.chat_template,
    ),
)
class Vllm(ManagedEngineSettings):
    """Settings that only vLLM knows."""

    engine: ClassVar[str] = "vllm"
    weights: ClassVar[WeightsForm] = WeightsForm.FOLDER
    takes_adapters: ClassVar[bool] = True
    parallel: ClassVar[bool] = True
    sleeps: ClassVar[bool] = True
    spec_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            f"self.engine != 'vllm' || !has(self.source) || !({_FILES})",
            "engine vllm reads a repository's folder with config.json and safetensors, and no GGUF: name the folder, or use "
            "engine llama.cpp",
            lambda spec: spec.engine != "vllm" or not _is_gguf(spec),
        ),
        CelRule(
            "!has(self.vllm) || !has(self.vllm.gpuMemoryPercent) || (has(self.resources) && has(self.resources.accelerator))",
            "vllm.gpuMemoryPercent is a share of a GPU's memory: without resources.accelerator give vllm.kvCacheMemory",
            lambda spec: (
                spec.vllm is None or spec.vllm.gpu_memory_percent is None or spec.resources.accelerator is not None
            ),
        ),
        CelRule(
            "self.engine != 'vllm' || !has(self.resources) || !has(self.resources.accelerator) || "
            "!has(self.resources.accelerator.resource) || self.resources.accelerator.resource != 'nvidia.com/gpu.shared' || "
            "(has(self.vllm) && (has(self.vllm.gpuMemoryPercent) || has(self.vllm.kvCacheMemory)))",
            "engine vllm takes most of a GPU's memory: for a time slice (nvidia.com/gpu.shared) give its share in "
            "vllm.gpuMemoryPercent, or the memory of contexts in vllm.kvCacheMemory",
            lambda spec: (
                spec.engine != "vllm"
                or spec.resources.accelerator is None
                or spec.resources.accelerator.resource != "nvidia.com/gpu.shared"
                or (spec.vllm is not None and (spec.vllm.gpu_memory_percent or spec.vllm.kv_cache_memory) is not None)
            ),
        ),
        CelRule(
            f"!has(self.vllm) || {TASK_CEL} == 'Chat' || !({' || '.join(f'has(self.vllm.{name})' for name in _CHAT_ONLY)})",
            f"vllm.{', vllm.'.join(_CHAT_ONLY[:-1])} and vllm.{_CHAT_ONLY[-1]} are for task Chat: remove them, or change task",
            lambda spec: (
                spec.vllm is None
                or spec.task is Task.CHAT
                or not (spec.vllm.tool_call_parser or spec.vllm.reasoning_parser or spec.vllm.chat_template)
            ),
        ),
    )

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Type of numbers (--dtype). auto: as the model's files say."
    )
    gpu_memory_percent: int | None = Field(
        default=None,
        ge=1,
        le=99,
        description="Share of each GPU's whole memory that the server takes, whatever it needs (--gpu-memory-utilization). "
        "Default: 92. Two servers never share a GPU with it.",
    )
    kv_cache_memory: Quantity | None = Field(
        default=None,
        description="Memory for the context of all requests in work (--kv-cache-memory-bytes), of each GPU. Default: what "
        "gpuMemoryPercent leaves; without a GPU a quarter of resources.memory.",
    )
    shared_memory: Quantity = Field(
        default="2Gi",
        description="Most that its processes may keep in /dev/shm. What they use counts against resources.memory.",
    )
    adapters_at_once: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Adapters that requests in work may use at the same time (--max-loras). Each takes memory of the GPU.",
    )
    adapter_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = Field(
        default=16, description="Greatest rank that an adapter may have (--max-lora-rank)."
    )
    tool_call_parser: Parser | None = Field(
        default=None,
        examples=["hermes"],
        description="How calls of tools are read from the model's text (--tool-call-parser); switches tools on. Without it "
        "requests with tools are answered by text.",
    )
    reasoning_parser: Parser | None = Field(
        default=None,
        examples=["qwen3"],
        description="How thoughts are told from the answer (--reasoning-parser).",
    )
    chat_template: str | None = Field(
        default=None,
        pattern=r"^/[A-Za-z0-9._/-]+\.jinja$",
        max_length=256,
        examples=["/vllm-workspace/examples/tool_chat_template_phi4_mini.jinja"],
        description="Template of the image instead of the model's own (--chat-template).",
    )
    extra_args: list[str] = Field(
        default_factory=list,
        max_length=64,
        description="More arguments for vllm serve, appended last: those that are known to do no harm. Refused: those that "
        "genset sets, and those that run code, read files or open further ports.",
    )
