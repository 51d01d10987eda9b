"""The engine llama.cpp is llama-server, one model a pod, on CPU cores or GPUs.

Decides its command line. Every flag below was tried against build 11669 (Debian's llama.cpp-tools); names and
behaviour are from llama.cpp's tools/server/README.md and common/arg.cpp. What shapes the choices:

- threads default to the *node's* cores, which a cgroup limit then throttles: they follow the CPU limit instead;
- an explicit `-np` gives each slot `-c / -np` tokens, so the context is multiplied;
- `--fit` would quietly shrink what was asked for: off;
- `--cache-ram` defaults to 8 GiB of host memory, which gets pods killed: always given;
- there is no drain on SIGTERM: the preStop hook waits until no request runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from genset import names
from genset.api.engines.base import Task
from genset.api.engines.llama_cpp import LlamaCpp
from genset.api.fault import FieldFault
from genset.api.modeldeployment import DEFAULT_MEMORY, ModelDeployment
from genset.api.quantity import parse_quantity, whole
from genset.engines import llama_cpp_arguments
from genset.engines.base import Capability, ManagedEngine, ModelPaths, Object
from genset.engines.llama_server import QUEUE_ALLOWANCE, SPARE_HTTP_THREADS, WORK, drain_script

MIB = 2**20

_GPU_LAYER_FLAGS = frozenset({"-ngl", "--gpu-layers", "--n-gpu-layers"})  # a model larger than its GPU needs its own
_EMBEDDING_FLAGS = frozenset({"--embedding", "--embeddings"})
_RERANK_FLAGS = frozenset({"--rerank", "--reranking"})
_BATCH_FLAGS = frozenset({"-b", "--batch-size", "-ub", "--ubatch-size"})
_NO_POOLING = "Pooling type 'none'"  # b11669, to a request for vectors; one for a chat then ends the server
#: Builds up to this one, of 2 June 2026, know no --cors-origins, which came in July (ggml-org/llama.cpp#25655): their servers
#: would end at once with "invalid argument".
_TOO_OLD = 9468
_BUILD = re.compile(r"[:-]b(\d{4,5})(?:@|\Z)")  # in the tag of an image
_TASK_FLAGS = {Task.CHAT: (), Task.EMBEDDINGS: ("--embedding",), Task.RERANK: ("--rerank",)}


class LlamaCppEngine(ManagedEngine[LlamaCpp]):
    """This engine is llama-server with a local GGUF file."""

    settings = LlamaCpp
    # tools/server/server-common.cpp. A bare last message of role assistant would do, but a server started with
    # --no-prefill-assistant starts over without a word (seen with b11669); older builds ignore the switch.
    continuation = "ContinueFinalMessage"
    adapter_list = "Paths"
    images: Mapping[str, str] = {
        # Tags: llama.cpp docs/docker.md.
        "cpu": "ghcr.io/ggml-org/llama.cpp:server-b10488",
        "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda-b10488",
        "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm-b10488",
        "intel": "ghcr.io/ggml-org/llama.cpp:server-intel-b10488",
    }

    work = WORK

    def health_path(self, resource: ModelDeployment) -> str:
        return "/health"  # 503 while loading, 200 when ready; it answers from HTTP threads, apart from the model's

    def capabilities(self, resource: ModelDeployment) -> frozenset[Capability]:
        """Returns what its task is, or what the server is restricted to by extra arguments."""
        flags = _extra_flags(self.own(resource))
        if flags & _RERANK_FLAGS:
            return frozenset({Capability.RERANK})
        return frozenset({Capability.EMBEDDINGS}) if flags & _EMBEDDING_FLAGS else super().capabilities(resource)

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        spec, own = resource.spec, self.own(resource)
        parallel = spec.context.parallel
        threads = str(max(1, whole(spec.resources.cpu)))
        return [
            "-m", model_path,
            "-a", resource.served_model,
            "--host", f"$({names.LISTEN_VARIABLE})",
            "--port", str(names.ENGINE_PORT),
            "-c", str(spec.context.tokens * parallel),
            "-np", str(parallel),
            *_gpu_layers(resource, own),
            "--fit", "off",
            "-t", threads,
            "-tb", threads,
            "--threads-http", str(parallel + QUEUE_ALLOWANCE + SPARE_HTTP_THREADS),
            "--cache-ram", str(-(-whole(own.cache_ram) // MIB)),
            "--metrics",
            "--offline",
            "--no-ui",
            "--no-slots",
            "--cors-origins", "localhost",  # the default reflects any origin
            *_task(resource, own),
            *own.extra_args,
        ]  # fmt: skip

    def completion_failure(self, status: int, body: bytes) -> str | None:
        """Says what helps, too, if the model's file does not say how a text's tokens become one vector."""
        told = super().completion_failure(status, body)
        if told is not None and _NO_POOLING in told:
            return f"{told}; say how in {self.field('pooling')}: mean, cls or last"
        return told

    def companion_args(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        """Loads adapters with a scale of zero each, which is what a request that names none gets: by themselves, and with
        --lora-init-without-apply (seen with b11669), all of them act at once."""
        projector = ["--mmproj", paths.projector] if paths.projector else []
        scaled = ",".join(f"{path}:0.0" for path in paths.adapters.values())
        return [*projector, *(["--lora-scaled", scaled] if scaled else [])]

    def wait_until_idle(self, seconds: int) -> Object:
        return {"exec": {"command": ["bash", "-c", drain_script(names.ENGINE_PORT, seconds)]}}

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        yield from super().problems(resource, images)
        yield from self._too_old(resource, images)
        own, field = self.own(resource), self.field("extraArgs")
        for argument, why in llama_cpp_arguments.faults(own.extra_args):
            yield FieldFault(field, f"{field}: {argument} is refused: {why}")
        if resource.spec.task is not Task.CHAT:
            for argument in own.extra_args:
                if llama_cpp_arguments.flag(argument) in _EMBEDDING_FLAGS | _RERANK_FLAGS:
                    yield FieldFault(field, f"{field}: {argument} is refused: spec.task says it; remove it")
        if resource.spec.adapters and resource.spec.task is Task.CHAT and self.only_task(resource) is not None:
            yield FieldFault(
                field,
                f"{field} restrict the server to {self.only_task(resource)}, which it answers by the model alone, without "
                "spec.adapters: remove one of them",
            )
        memory, field = resource.spec.resources.memory or DEFAULT_MEMORY, self.field("cacheRAM")
        if parse_quantity(own.cache_ram) >= parse_quantity(memory):
            yield FieldFault(
                field,
                f"{field} ({own.cache_ram}) counts against spec.resources.memory ({memory}) and would fill it: lower "
                "it, or give more memory",
            )

    def _too_old(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        """Yields that an image is known, by its tag, to lack an argument that every server is started with."""
        image, field = self.image(resource, images), self.field("image")
        if (build := _BUILD.search(image)) is not None and int(build[1]) <= _TOO_OLD:
            yield FieldFault(
                field,
                f"{field}: {image} is build {build[1]} of llama.cpp, which knows no --cors-origins and would end at once: name a "
                f"later one, e.g. {self.images[resource.spec.resources.vendor]}",
            )


def _extra_flags(own: LlamaCpp) -> set[str]:
    return {llama_cpp_arguments.flag(argument) for argument in own.extra_args}


def _task(resource: ModelDeployment, own: LlamaCpp) -> list[str]:
    """Restricts the server to its task. A text that is to become a vector goes through the model as a whole: the
    physical batch has to hold it, or the request is refused (b11669: "input is too large to process")."""
    flags = list(_TASK_FLAGS[resource.spec.task])
    if flags and not _extra_flags(own) & _BATCH_FLAGS:
        flags += ["-b", str(resource.spec.context.tokens), "-ub", str(resource.spec.context.tokens)]
    return [*flags, "--pooling", own.pooling] if own.pooling is not None else flags


def _gpu_layers(resource: ModelDeployment, own: LlamaCpp) -> list[str]:
    """Puts all layers on GPUs, said explicitly.

    On CPU nodes it says nothing: a build without GPUs would warn of the flag.
    """
    said = _extra_flags(own) & _GPU_LAYER_FLAGS
    return ["-ngl", "all"] if resource.spec.resources.accelerator and not said else []
