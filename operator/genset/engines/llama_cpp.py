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

from collections.abc import Iterator, Mapping

from genset import names
from genset.api.engines.llama_cpp import LlamaCpp
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import parse_quantity, whole
from genset.engines import llama_cpp_arguments
from genset.engines.base import (
    ENDPOINT_REMOVAL_SECONDS,
    Capability,
    EngineProblem,
    ManagedEngine,
    ModelPaths,
    Object,
    WorkMetrics,
)

MIB = 2**20
QUEUE_ALLOWANCE = 64  # connections beyond the slots that may wait without keeping /health from a thread
SPARE_HTTP_THREADS = 16  # probes, metrics, the operator

_GPU_LAYER_FLAGS = frozenset({"-ngl", "--gpu-layers", "--n-gpu-layers"})  # a model larger than its GPU needs its own
_EMBEDDING_FLAGS = frozenset({"--embedding", "--embeddings"})
_RERANK_FLAGS = frozenset({"--rerank", "--reranking"})


class LlamaCppEngine(ManagedEngine[LlamaCpp]):
    """This engine is llama-server with a local GGUF file."""

    settings = LlamaCpp
    # tools/server/server-common.cpp. A bare last message of role assistant would do, but a server started with
    # --no-prefill-assistant starts over without a word (seen with b11669); older builds ignore the switch.
    continuation = "ContinueFinalMessage"
    images: Mapping[str, str] = {
        # Tags: llama.cpp docs/docker.md.
        "cpu": "ghcr.io/ggml-org/llama.cpp:server-b10488",
        "nvidia": "ghcr.io/ggml-org/llama.cpp:server-cuda-b10488",
        "amd": "ghcr.io/ggml-org/llama.cpp:server-rocm-b10488",
        "intel": "ghcr.io/ggml-org/llama.cpp:server-intel-b10488",
    }

    work = WorkMetrics(  # tools/server/server-task.cpp
        "/metrics",
        running=("llamacpp:requests_processing", "llamacpp:requests_deferred"),
        done=("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:n_decode_total"),
    )

    def health_path(self, resource: ModelDeployment) -> str:
        return "/health"  # 503 while loading, 200 when ready; it answers from HTTP threads, apart from the model's

    def capabilities(self, resource: ModelDeployment) -> frozenset[Capability]:
        """Returns chat, or what the server is restricted to by extra arguments."""
        flags = _extra_flags(self.own(resource))
        if flags & _RERANK_FLAGS:
            return frozenset({Capability.RERANK})
        return frozenset({Capability.EMBEDDINGS if flags & _EMBEDDING_FLAGS else Capability.CHAT})

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        spec, own = resource.spec, self.own(resource)
        parallel = spec.context.parallel
        threads = str(max(1, whole(spec.resources.cpu)))
        return [
            "-m", model_path,
            "-a", resource.served_model,
            "--host", "0.0.0.0",
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
            *own.extra_args,
        ]  # fmt: skip

    def companion_args(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        projector = ["--mmproj", paths.projector] if paths.projector else []
        adapters = [item for path in paths.adapters.values() for item in ("--lora", path)]
        return [*projector, *adapters, *(["--lora-init-without-apply"] if adapters else [])]

    def wait_until_idle(self, seconds: int) -> Object:
        return {"exec": {"command": ["bash", "-c", drain_script(names.ENGINE_PORT, seconds)]}}

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[EngineProblem]:
        yield from super().problems(resource, images)
        own, field = self.own(resource), self.field("extraArgs")
        for argument, why in llama_cpp_arguments.faults(own.extra_args):
            yield EngineProblem(field, f"{field}: {argument} is refused: {why}")
        memory, field = resource.spec.resources.memory, self.field("cacheRAM")
        if parse_quantity(own.cache_ram) >= parse_quantity(memory):
            yield EngineProblem(
                field,
                f"{field} ({own.cache_ram}) counts against spec.resources.memory ({memory}) and would fill it: lower "
                "it, or give more memory",
            )


def _extra_flags(own: LlamaCpp) -> set[str]:
    return {llama_cpp_arguments.flag(argument) for argument in own.extra_args}


def _gpu_layers(resource: ModelDeployment, own: LlamaCpp) -> list[str]:
    """Puts all layers on GPUs, said explicitly.

    On CPU nodes it says nothing: a build without GPUs would warn of the flag.
    """
    said = _extra_flags(own) & _GPU_LAYER_FLAGS
    return ["-ngl", "all"] if resource.spec.resources.accelerator and not said else []


def drain_script(port: int, seconds: int) -> str:
    """Returns Bash that waits until llama-server is idle, at most `seconds` after the pod has left its Services.

    Bash's own /dev/tcp, because images of llama-server need not hold curl (Debian's does not; both it and
    llama.cpp's have bash). Idle: /metrics shows neither running nor waiting requests. A server that is gone or still
    loading has nothing to wait for. /metrics waits for the current batch, so silence means busy.
    """
    return f"""\
busy() {{
  exec 3<>/dev/tcp/127.0.0.1/{port} || return 1
  printf 'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3
  IFS= read -r -t 10 line <&3 || return 0
  [[ $line == *' 200 '* ]] || return 1
  while IFS= read -r -t 10 line <&3; do
    [[ $line =~ ^llamacpp:requests_(processing|deferred)\\ +[1-9] ]] && return 0
  done
  return 1
}} 2>/dev/null
sleep {ENDPOINT_REMOVAL_SECONDS}
end=$((SECONDS + {seconds}))
while ((SECONDS < end)) && busy; do sleep 1; done
"""
