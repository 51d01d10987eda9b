"""Both engines and a router between them, started once; killed and restarted by the scenarios."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e.said import saying
from e2e.vllm.engines import llama_server, vllm
from e2e.vllm.pair import LLAMA, VLLM, Pair, resources
from e2e.vllm.router import RouterProcess
from testbed.cluster.processes import Daemons


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Pair]:
    say = saying(request)
    folder = tmp_path_factory.mktemp("pair")
    daemons = Daemons(folder)
    engines = {LLAMA: llama_server(daemons), VLLM: vllm(daemons)}
    try:
        began = time.monotonic()
        for engine in engines.values():
            engine.begin()
        for name, engine in engines.items():
            engine.wait()
            say(f"{name} answers after {time.monotonic() - began:.0f} s")
        router = RouterProcess(daemons, folder, resources({name: engine.base_url for name, engine in engines.items()}))
        router.start()
        yield Pair(engines[LLAMA], engines[VLLM], router)
    finally:
        for engine in engines.values():
            engine.kill()
        daemons.stop_all()
