"""Fixtures of the weights puller's tests: fake servers, a fast retry, a way to run a fetch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from genset.contracts.puller import FetchSpec
from genset.weights.fetch import Fetched, fetch
from genset.weights.progress import ProgressLog
from genset.weights.retry import Retry
from tests.support.disk import small_file_system
from tests.support.weights.fakes import FakeHub, FakeOrigin, serving
from tests.support.weights.running import FAST, Run


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxy settings are not part of a test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def origin() -> Iterator[FakeOrigin]:
    with serving(FakeOrigin()) as server:
        yield server


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub()) as server:
        yield server


@pytest.fixture
def progress() -> ProgressLog:
    return ProgressLog(time.monotonic)


@pytest.fixture
def run(progress: ProgressLog) -> Run:
    def fetch_now(spec: FetchSpec, retry: Retry = FAST) -> Fetched:
        return fetch(spec, progress, retry=retry)

    return fetch_now


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk") as place:
        yield place
