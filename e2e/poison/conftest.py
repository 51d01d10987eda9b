"""A real llama-server on the loopback, for what a caller can make it say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.vllm.engines import EngineProcess, llama_server
from testbed.cluster.processes import Daemons


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with llama_server(Daemons(tmp_path_factory.mktemp("llama"))).running() as engine:
        yield engine
