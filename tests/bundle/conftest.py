"""A site, and registries to take it from and to bring it to."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
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


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Path]:
    """A containerd of its own, without Kubernetes: its socket."""
    if os.getuid() != 0 or not shutil.which("containerd"):
        pytest.skip("containerd needs root, and Debian's package")
    address = tmp_path / "c.sock"
    config = tmp_path / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{address}"\n[ttrpc]\naddress = "{tmp_path}/t.sock"\n'
    )
    with (tmp_path / "containerd.log").open("wb") as log:
        process = subprocess.Popen(["containerd", "--config", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(["ctr", "-a", str(address), "version"], capture_output=True).returncode:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "containerd.log").read_text()[
                -2000:
            ]
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
