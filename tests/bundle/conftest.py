"""A site, and registries to take it from and to bring it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundle import Site, made_site
from tests.support.disk import small_file_system
from tests.support.weights.fakes import FakeHub, FakeOrigin, serving
from tests.support.weights.stores import RealRegistry, real_registry


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own proxies and logins are not part of a test."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("source")) as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    """The registry of the site, which has nothing yet."""
    with real_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, source: RealRegistry) -> Iterator[Site]:
    with serving(FakeOrigin()) as origin, serving(FakeHub()) as hub:
        yield made_site(tmp_path, source, origin, hub)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk", "66m") as place:
        yield place
