"""The engine llamafile is one program for every system, which serves a GGUF file as llama-server does.

Decides its command line, from the documentation of 0.9.3 and of the later rebuild: the program itself could be had nowhere
that this was written, and nothing here has been tried with it. What shapes the choices:

- no kernel needs to know its kind of file: sh starts it;
- it opens a terminal and a browser unless told to be a server;
- 0.9 has the flags of an old llama.cpp, and nothing is known to tell whether it works: it leaves after the whole time that
  running answers get;
- its sandbox, in which the model reaches no network and no file, stays on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genset import names
from genset.api.engines.base import Task
from genset.api.engines.llamafile import Llamafile
from genset.api.fault import FieldFault
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import whole
from genset.engines.arguments import Arguments, allowed
from genset.engines.base import ENDPOINT_REMOVAL_SECONDS, Drain, ManagedEngine, ModelPaths, Object
from genset.engines.llama_server import QUEUE_ALLOWANCE, SPARE_HTTP_THREADS, WORK, drain_script, flag_of

_ARGUMENTS = Arguments(
    server="llamafile",
    spelt=flag_of,
    denied={
        "it takes the sandbox away": ("--unsecure", "--pledge"),
        "weights come from spec.source": ("-m", "--model", "-mu", "--model-url", "-hf", "--hf-repo", "--lora", "--mmproj"),
        "genset sets it from the resource's own fields": (
            "--server", "--nobrowser", "-a", "--alias", "--host", "--port", "-c", "--ctx-size", "-np", "--parallel", "-t",
            "--threads", "-tb", "--threads-batch", "--threads-http", "--gpu", "--embedding", "--embeddings", "--metrics",
            "-cram", "--cache-ram", "--chat", "--cli",
        ),
        "it serves or writes files of the pod": ("--path", "--slot-save-path", "--log-file", "--media-path"),
        "routers and probes talk plain HTTP to the engine's own paths": ("--api-key", "--api-key-file", "--url-prefix"),
        "it compiles code in the pod": ("--recompile", "--tinyblas", "--nocompile"),
    },
    allowed=allowed(
        "-b --batch-size -ub --ubatch-size -fa --flash-attn -ctk --cache-type-k -ctv --cache-type-v -ngl --gpu-layers "
        "--n-gpu-layers -sm --split-mode -ts --tensor-split -mg --main-gpu --mlock --no-mmap --load-mode --numa --no-warmup",
        "--temp --top-k --top-p --min-p -s --seed --repeat-penalty --repeat-last-n -n --n-predict",
        "--rope-scaling --rope-freq-base --rope-freq-scale --chat-template --jinja --log-disable -v --verbose",
    ),
)  # fmt: skip
_GPU_LAYERS = frozenset({"-ngl", "--gpu-layers", "--n-gpu-layers"})
_REBUILT = "0.10"


class LlamafileEngine(ManagedEngine[Llamafile]):
    """This engine is llamafile's server with a GGUF file beside it."""

    settings = Llamafile
    continuation = "Anchor"  # 0.9 begins a new answer behind a last message of role assistant
    images: Mapping[str, str] = {}
    work = WORK
    refused_variables = ("TMPDIR",)  # whatever lies there under the right name is run

    def health_path(self, resource: ModelDeployment) -> str:
        return "/health"  # as llama-server: 503 while it loads

    def command(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        return ["sh", self.own(resource).program]

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        spec, own = resource.spec, self.own(resource)
        parallel, threads = spec.context.parallel, str(max(1, whole(spec.resources.cpu)))
        rebuilt = [
            "-tb", threads,
            "--threads-http", str(parallel + QUEUE_ALLOWANCE + SPARE_HTTP_THREADS),
            "--cache-ram", "0",
            "--metrics",
        ]  # fmt: skip
        return [
            "--server",
            *(rebuilt if own.release == _REBUILT else ["--nobrowser"]),
            "-m", model_path,
            "-a", resource.served_model,
            "--host", f"$({names.LISTEN_VARIABLE})",
            "--port", str(names.ENGINE_PORT),
            "-c", str(spec.context.tokens * parallel),
            "-np", str(parallel),
            "-t", threads,
            *_devices(resource, own),
            *(["--embedding"] if spec.task is Task.EMBEDDINGS else []),
            *own.extra_args,
        ]  # fmt: skip

    def env(self, resource: ModelDeployment) -> list[Object]:
        return [
            *super().env(resource),
            {"name": "TMPDIR", "value": "/tmp"},
        ]  # it unpacks parts of itself, and runs them

    def drain(self, resource: ModelDeployment) -> Drain:
        usual = super().drain(resource)
        if self.own(resource).release == _REBUILT:
            return usual
        seconds = ENDPOINT_REMOVAL_SECONDS + resource.spec.rollout.drain_seconds
        return Drain({"sleep": {"seconds": seconds}}, usual.grace_seconds)

    def wait_until_idle(self, seconds: int) -> Object:
        return {"exec": {"command": ["bash", "-c", drain_script(names.ENGINE_PORT, seconds)]}}

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        yield from super().problems(resource, images)
        yield from _ARGUMENTS.problems(self.field("extraArgs"), self.own(resource).extra_args)


def _devices(resource: ModelDeployment, own: Llamafile) -> list[str]:
    """Names the kind of GPU, and puts all layers on it unless the user says how many."""
    if resource.spec.resources.accelerator is None:
        return ["--gpu", "disable"]
    said = {flag_of(argument) for argument in own.extra_args} & _GPU_LAYERS
    return ["--gpu", resource.spec.resources.vendor, *([] if said else ["-ngl", "9999"])]
