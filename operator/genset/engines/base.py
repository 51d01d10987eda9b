"""What every engine answers: how it is started, how one knows that it is well, how it goes away.

Two protocols, because not every engine is ours to run: `Engine` is what a server that merely exists can be asked
(does it complete?), `ManagedEngine` adds what its pods need. Both speak in plain values, so that the layers above
turn them into Kubernetes objects without knowing the engine, and adding an engine is one file and one registry line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from genset.api.modeldeployment import EngineName, ModelDeployment

Object = dict[str, Any]  # a Kubernetes object or a part of one: dicts live only at this boundary

ENDPOINT_REMOVAL_SECONDS = 5  # a leaving pod stays up this long, so that routers and kube-proxy stop choosing it
STOP_SECONDS = 15  # between the end of draining and SIGKILL: the server closes, the kubelet notices
COMPLETION_TIMEOUT_SECONDS = 60.0  # one short answer, also on a busy CPU


@dataclass(frozen=True)
class Probes:
    """The three probes of a container, as Kubernetes writes them."""

    startup: Object
    readiness: Object
    liveness: Object


@dataclass(frozen=True)
class Drain:
    """How a replica leaves. `pre_stop` is a lifecycle handler or None; `grace_seconds` covers it and the stop."""

    pre_stop: Object | None
    grace_seconds: int


@dataclass(frozen=True)
class DeniedArgument:
    """An extra argument that is refused, and why."""

    argument: str
    why: str


@dataclass(frozen=True)
class CompletionRequest:
    """A small real request that proves the whole engine: POST `url` with the JSON `body`."""

    url: str
    body: bytes
    timeout_seconds: float = COMPLETION_TIMEOUT_SECONDS


@runtime_checkable
class Engine(Protocol):
    """What any model server can be asked, whoever runs it."""

    name: EngineName
    continuation: str  # rule of genset.router.continuation by which it writes on another's partial answer

    def base_url(self, resource: ModelDeployment) -> str:
        """Base URL of its OpenAI API, up to and with /v1, as pods of the cluster reach it."""
        ...

    def health_path(self, resource: ModelDeployment) -> str:
        """Path on its host that answers 200 when it can serve."""
        ...

    def completion(self, resource: ModelDeployment) -> CompletionRequest:
        """The request that proves that it serves its model."""
        ...

    def completion_failure(self, status: int, body: bytes) -> str | None:
        """What is wrong with the answer to `completion`, in words for a condition; None: it is a real answer."""
        ...


@runtime_checkable
class ManagedEngine(Engine, Protocol):
    """An engine whose pods genset makes."""

    port: int

    def image(self, resource: ModelDeployment, images: Mapping[str, str]) -> str:
        """Image of the server; `images` is the operator's setting by vendor (cpu, nvidia, amd, intel)."""
        ...

    def args(self, resource: ModelDeployment, model_path: str) -> list[str]:
        """Arguments of the container, the user's extra ones last."""
        ...

    def env(self, resource: ModelDeployment) -> list[Object]:
        """Environment of the container."""
        ...

    def probes(self, resource: ModelDeployment) -> Probes: ...

    def drain(self, resource: ModelDeployment) -> Drain: ...

    def denied_arguments(self, resource: ModelDeployment) -> list[DeniedArgument]:
        """Extra arguments that are refused."""
        ...


def chat_request(base_url: str, model: str) -> CompletionRequest:
    """One token of chat: the cheapest request that runs tokeniser, template, prompt and generation."""
    return CompletionRequest(
        f"{base_url}/chat/completions",
        json_body(
            model=model,
            messages=[{"role": "user", "content": "ping"}],
            max_tokens=1,
            temperature=0,
            stream=False,
        ),
    )


def json_body(**fields: object) -> bytes:
    """Compact JSON, keys in the order given."""
    return json.dumps(fields, separators=(",", ":")).encode()


def answer_failure(status: int, body: bytes) -> str | None:
    """Why an OpenAI API's answer is no real answer; None if it is. Reads chat, completions, embeddings and rerank."""
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


def _clip(body: bytes, limit: int = 200) -> str:
    text = " ".join(body[: limit * 4].decode("utf-8", "replace").split())
    return (text[: limit - 1] + "…" if len(text) > limit else text) or "empty body"
