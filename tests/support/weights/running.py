"""This module asks for a model as the puller does, and looks at what has come of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genset.contracts.puller import FetchSpec
from genset.contracts.sources import Http, HuggingFace
from genset.weights.fetch import Fetched
from genset.weights.retry import Retry
from tests.support.weights.fakes import FakeHub, FakeOrigin, sha256

FAST = Retry(patience=2.0, first=0.01, longest=0.05)
Run = Callable[..., Fetched]


def web_spec(origin: FakeOrigin, path: str, data: bytes, into: Path, **options: object) -> FetchSpec:
    return FetchSpec(Http(origin.url + path, sha256(data)), into=str(into), **options)  # type: ignore[arg-type]


def hub_spec(hub: FakeHub, into: Path, *, revision: str = "main", file: str = "*.gguf", **options: object) -> FetchSpec:
    return FetchSpec(HuggingFace(hub.repo, revision, file, hub.url), into=str(into), **options)  # type: ignore[arg-type]


def model_bytes(spec: FetchSpec) -> bytes:
    return Path(spec.model_path).read_bytes()


def servable(into: Path) -> list[str]:
    """Lists files that an engine could open: everything named .gguf."""
    return sorted(str(path.relative_to(into)) for path in into.rglob("*.gguf"))
