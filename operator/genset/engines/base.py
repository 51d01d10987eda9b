"""Every engine answers how it is started, how one knows that it is well, and how it goes away.

Two types, because not every engine is ours to run: `Engine` is what a server that merely exists can be asked (does it
complete?), `ManagedEngine` adds what its pods need. Both speak in plain values, so that the layers above turn them into
Kubernetes objects without knowing the engine. What most servers do alike stands here as a default; an engine's own file
holds what it does otherwise. Adding one: docs/adr/0010-engines.md.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from genset import names
from genset.api.adapters import joining
from genset.api.base import SecretKeyRef
from genset.api.engines import block_name
from genset.api.engines.base import EngineSettings, ManagedEngineSettings, Task
from genset.api.fault import FieldFault
from genset.api.modeldeployment import ModelDeployment

Object = dict[str, Any]  # a Kubernetes object or a part of one: dicts live only at this boundary

ENDPOINT_REMOVAL_SECONDS = 5  # a leaving pod stays up this long, so that routers and kube-proxy stop choosing it
STOP_SECONDS = 15  # between the end of draining and SIGKILL: the server closes, the kubelet notices
PACE_TOKENS = 8  # of the completion that proves that a server serves: enough to see how fast it writes
COMPLETION_TIMEOUT_SECONDS = 60.0  # one short answer, also on a busy CPU
SHOWN_CHARACTERS = 200  # of an answer, in the message of a condition
PROBE_PERIOD_SECONDS = 5
WAKING_PERIOD_SECONDS = 1  # of the startup probe if somebody may be waiting for the model to wake


#: Variables by which servers are told how long a start may take: nothing that one which serves would mind.
STARTUP_VARIABLES = frozenset({"VLLM_ENGINE_READY_TIMEOUT_S", "OLLAMA_LOAD_TIMEOUT"})


class Capability(StrEnum):
    """A capability is what a server can be asked for."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"


#: What a server that is started for a task can be asked for.
_OF_TASK = {
    Task.CHAT: Capability.CHAT,
    Task.EMBEDDINGS: Capability.EMBEDDINGS,
    Task.RERANK: Capability.RERANK,
}


@dataclass(frozen=True)
class RunAs:
    """The user and the group of an engine's pods."""

    user: int = names.RUN_AS_USER
    group: int = names.RUN_AS_USER


@dataclass(frozen=True)
class EmptyFolder:
    """An empty folder is a volume of the engine's container that ends with its pod.

    It is kept in memory, counts against the container's, and holds at most `memory`. What goes to disk goes to /tmp.
    """

    name: str
    path: str
    memory: str


@dataclass(frozen=True)
class Probes:
    """These are the three probes of a container, as Kubernetes writes them."""

    startup: Object
    readiness: Object
    liveness: Object


@dataclass(frozen=True)
class Drain:
    """A drain is how a replica leaves. `pre_stop` is a lifecycle handler; `grace_seconds` covers it and the stop."""

    pre_stop: Object
    grace_seconds: int


@dataclass(frozen=True)
class ModelPaths:
    """The paths are where an engine's container finds what it loads, in the form that its settings say: a GGUF file (of a
    split model its first shard) or a folder."""

    model: str
    projector: str = ""  # always a GGUF file; "": none
    adapters: Mapping[str, str] = field(default_factory=dict)  # by name, in the order of the resource


class SleepCalls(NamedTuple):
    """These are the paths by which a server is asked whether it sleeps, and told to sleep and to wake (POST)."""

    asleep: str
    sleep: str
    wake: str


class WorkMetrics(NamedTuple):
    """These are the metrics by which a server tells of its work: a path, gauges of what runs, counters of what was done."""

    path: str
    running: tuple[str, ...]
    done: tuple[str, ...]


@dataclass(frozen=True)
class ServerCredentials:
    """The credentials are what a server elsewhere asks for (`api_key`, a bearer token) and is known by (`ca`,
    certificates in PEM). `plain`: the key may go over plain HTTP."""

    api_key: SecretKeyRef | None = None
    ca: SecretKeyRef | None = None
    plain: bool = False


@dataclass(frozen=True)
class CompletionRequest:
    """This is a small real request that proves the whole engine: POST `url` with the JSON `body`."""

    url: str
    body: bytes
    timeout_seconds: float = COMPLETION_TIMEOUT_SECONDS


AnySettings = TypeVar("AnySettings", bound=EngineSettings)
OwnSettings = TypeVar("OwnSettings", bound=ManagedEngineSettings)


class Engine(ABC, Generic[AnySettings]):
    """An engine is any model server, whoever runs it, by what it can be asked."""

    settings: type[AnySettings]
    #: How its servers tell routers which of spec.adapters they have loaded (contracts.router_config); None: they take none.
    adapter_list: Literal["Models", "Paths"] | None = None
    continuation: str  # rule of genset.router.continuation by which it writes on another's partial answer

    @property
    def name(self) -> str:
        """Returns the value of spec.engine."""
        return self.settings.engine

    def own(self, resource: ModelDeployment) -> AnySettings:
        """Returns its settings in a resource; the defaults if there are none."""
        found = resource.spec.engine_settings
        return found if isinstance(found, self.settings) else self.settings()

    def field(self, name: str) -> str:
        """Returns one of its settings as messages and conditions name it, e.g. spec.llamaCpp.image."""
        return f"spec.{block_name(self.name)}.{name}"

    @abstractmethod
    def base_url(self, resource: ModelDeployment) -> str:
        """Returns the base URL of its OpenAI API, up to and with /v1, as pods of the cluster reach it."""

    @abstractmethod
    def health_path(self, resource: ModelDeployment) -> str:
        """Returns the path on its host that answers 200 when it can serve."""

    def capabilities(self, resource: ModelDeployment) -> frozenset[Capability]:
        """Returns what it serves of this resource."""
        return frozenset({_OF_TASK[resource.spec.task]})

    def only_task(self, resource: ModelDeployment) -> Literal["Embeddings", "Rerank"] | None:
        """Returns the one thing that its server can be asked for, if that is no chat: routers ask it for nothing else."""
        can = self.capabilities(resource)
        if Capability.CHAT in can:
            return None
        return "Rerank" if Capability.RERANK in can else "Embeddings"

    def completion(self, resource: ModelDeployment) -> CompletionRequest:
        """Returns the request that proves that it serves its model: one token of chat, if it can chat."""
        base, model, can = self.base_url(resource), resource.served_model, self.capabilities(resource)
        if Capability.CHAT in can:
            return chat_request(base, model)
        if Capability.RERANK in can:
            return CompletionRequest(f"{base}/rerank", json_body(model=model, query="ping", documents=["ping"]))
        return CompletionRequest(f"{base}/embeddings", json_body(model=model, input="ping"))

    def completion_failure(self, status: int, body: bytes) -> str | None:
        """Says what is wrong with the answer to `completion`, for a condition; None if it is a real answer."""
        return answer_failure(status, body)

    def completion_pace(self, body: bytes, seconds: float) -> float | None:
        """Returns the tokens a second of an answer to `completion`, which took so long; None if it tells too little."""
        return answer_pace(body, seconds)

    def credentials(self, resource: ModelDeployment) -> ServerCredentials:
        """Returns what its server asks for and is known by."""
        return ServerCredentials()

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        """Yields what it cannot take and no schema can tell; `images` as for `ManagedEngine.image`."""
        yield from ()


class ManagedEngine(Engine[OwnSettings]):
    """A managed engine is one whose pods genset makes.

    Its server listens on `names.ENGINE_PORT`, at the address in the variable `names.LISTEN_VARIABLE` of its container: `::`,
    which is every address of both families, unless the operator says otherwise.
    """

    scratch: str = "1Gi"  # most that it may write to /tmp
    images: Mapping[str, str]  # by vendor, if neither the resource nor the operator names one
    #: Adapters that its pods have mounted anyway are loaded and unloaded while it runs (weights.joined); else they make new pods.
    takes_joining: bool = False
    work: WorkMetrics | None = None  # a pod whose counters rest while nothing runs is idle; None: it cannot be told
    sleep: SleepCalls | None = None  # None: its server cannot free its accelerator and stay
    #: Variables that say what arguments or fields say, load code or open its API further, by how they begin. A podTemplate may
    #: not set them.
    refused_variables: tuple[str, ...] = ()

    def base_url(self, resource: ModelDeployment) -> str:
        return f"http://{resource.metadata.name}.{resource.metadata.namespace}.svc/v1"

    def image(self, resource: ModelDeployment, images: Mapping[str, str]) -> str:
        """Returns the image of the server; `images` is the operator's setting by vendor.

        "": there is none (see `problems`).
        """
        vendor = resource.spec.resources.vendor
        return self.own(resource).image or images.get(vendor) or self.images.get(vendor) or ""

    def command(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        """Returns what the container runs instead of its image's entrypoint; empty: the entrypoint."""
        return []

    @abstractmethod
    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        """Returns the arguments of the container, the user's extra ones last."""

    def memory_args(self, resource: ModelDeployment) -> list[str]:
        """Returns the arguments from which the memory of its server follows, in the words of llama-server, or of vLLM."""
        return self.args(resource, "")

    def companion_args(self, resource: ModelDeployment, paths: ModelPaths) -> list[str]:
        """Returns the arguments for projector and adapters, which come behind `args`; none if it takes neither."""
        return []

    def joining(self, resource: ModelDeployment) -> list[str]:
        """Returns the names of the adapters that join a running server: the pods do not change with their list."""
        spec = resource.spec
        return [one.name for one in joining(spec.source, spec.cache, spec.adapters)] if self.takes_joining else []

    def run_as(self, resource: ModelDeployment) -> RunAs:
        """Returns whom its pods run as, never root; most servers run as any user."""
        return RunAs()

    def empty_folders(self, resource: ModelDeployment) -> list[EmptyFolder]:
        """Returns folders that it wants to write to, beside /tmp."""
        return []

    def env(self, resource: ModelDeployment) -> list[Object]:
        """Returns the environment of the container."""
        env: list[Object] = [{"name": "HOME", "value": "/tmp"}]  # CUDA's and Mesa's caches want a writable home
        if resource.spec.resources.vendor != "nvidia":
            # Where nvidia is the default runtime, an image that says "all" would see every GPU of the node.
            env.append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"})
        return env

    def probes(self, resource: ModelDeployment) -> Probes:
        """Returns the probes of the container, by its health path."""
        get: Object = {"path": self.health_path(resource), "port": names.ENGINE_PORT_NAME}
        period = PROBE_PERIOD_SECONDS if resource.spec.autoscaling is None else WAKING_PERIOD_SECONDS
        startup_failures = -(-resource.spec.rollout.startup_seconds // period)
        return Probes(
            startup={
                "httpGet": get,
                "periodSeconds": period,
                "failureThreshold": startup_failures,
                "timeoutSeconds": 3,
            },
            readiness={
                "httpGet": get,
                "periodSeconds": PROBE_PERIOD_SECONDS,
                "failureThreshold": 2,
                "timeoutSeconds": 3,
            },
            liveness={"httpGet": get, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        )

    def drain(self, resource: ModelDeployment) -> Drain:
        """Returns how a replica leaves: out of the Services first, then its running answers, then the stop."""
        seconds = resource.spec.rollout.drain_seconds
        hook = self.wait_until_idle(seconds) if seconds else None  # 0: running answers may be cut
        pre_stop: Object = hook or {"sleep": {"seconds": ENDPOINT_REMOVAL_SECONDS}}
        return Drain(pre_stop, ENDPOINT_REMOVAL_SECONDS + seconds + STOP_SECONDS)

    def wait_until_idle(self, seconds: int) -> Object | None:
        """Returns the lifecycle handler that waits out the endpoint's removal and then, at most `seconds`, running
        answers.

        None: the server finishes them itself when it is told to stop.
        """
        return None

    def problems(self, resource: ModelDeployment, images: Mapping[str, str]) -> Iterator[FieldFault]:
        if not self.image(resource, images):
            field, vendor = self.field("image"), resource.spec.resources.vendor
            remedies = [f"name one in {field}", f"have the operator run with --engine-image {self.name}/{vendor}=IMAGE"]
            if self.images:
                remedies.append(f"use {' or '.join(self.images)}")
            told = f"{', '.join(remedies[:-1])}{',' if self.images else ''} or {remedies[-1]}"
            yield FieldFault(field, f"engine {self.name} has no image for {vendor}: {told}")


#: What the arguments of a leader say of its place in a group, and of the group's size.
LEADER_RANK = ("--node-rank", "0")


def worker_args(leader: list[str]) -> list[str]:
    """Returns the arguments of a worker, by those of its leader: another place in the group, and no API."""
    at = leader.index(LEADER_RANK[0])
    return [*leader[: at + 1], "$(LWS_WORKER_INDEX)", *leader[at + 2 :], "--headless"]


def answer_pace(body: bytes, seconds: float) -> float | None:
    """Returns the tokens a second of an answer: as llama-server has timed it (`timings`), or by its usage and the time it took,
    which holds the reading of the prompt, too."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    told = answer.get("timings") if isinstance(answer, dict) else None
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if isinstance(told, dict) and _number(told.get("predicted_n")) >= PACE_TOKENS / 2:
        return _number(told.get("predicted_per_second")) or None
    made = _number(usage.get("completion_tokens")) if isinstance(usage, dict) else 0.0
    return made / seconds if made >= PACE_TOKENS / 2 and seconds > 0 else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9 else 0.0


def chat_request(base_url: str, model: str) -> CompletionRequest:
    """Returns a request for a few tokens of chat, which run tokeniser, template, prompt and generation, and tell its pace."""
    return CompletionRequest(
        f"{base_url}/chat/completions",
        json_body(
            model=model,
            messages=[{"role": "user", "content": "ping"}],
            max_tokens=PACE_TOKENS,
            temperature=0,
            stream=False,
        ),
    )


def json_body(**fields: object) -> bytes:
    """Writes compact JSON, keys in the order given."""
    return json.dumps(fields, separators=(",", ":")).encode()


def answer_failure(status: int, body: bytes) -> str | None:
    """Says why an OpenAI API's answer is no real answer; None if it is.

    Reads chat, completions, embeddings and rerank.
    """
    parsed = _parsed(body)
    if status != 200:
        return f"the server answered {status}: {_error_text(parsed, body)}"
    if not isinstance(parsed, dict):
        return f"the server answered 200 without a JSON object: {_clip(body)}"
    if parsed.get("error"):
        return f"the server answered 200 with an error: {_error_text(parsed, body)}"
    if any(_non_empty_list(parsed.get(field)) for field in ("choices", "data", "results")):
        return None
    return f"the server answered 200 without choices: {_clip(body)}"


def _non_empty_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 0


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:  # includes UnicodeDecodeError
        return None


def _error_text(parsed: Any, body: bytes) -> str:
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return _clip(error["message"].encode())
    if isinstance(error, str):
        return _clip(error.encode())
    return _clip(body)


def _clip(body: bytes) -> str:
    text = " ".join(body[: SHOWN_CHARACTERS * 4].decode("utf-8", "replace").split())
    return (text[: SHOWN_CHARACTERS - 1] + "…" if len(text) > SHOWN_CHARACTERS else text) or "empty body"
