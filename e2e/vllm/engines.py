"""Two engines on the loopback with the same counting model: vLLM on CPU and llama-server. Killed whole, by SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from e2e.cloud import free_port
from e2e.vllm import install
from testbed.cluster.processes import Daemons
from testbed.cluster.steps import last_lines
from testbed.images import host_llama_server
from testbed.models import counting, counting_hf

ADDRESS = "127.0.0.1"
MODEL = "counting"  # the name that both know it by
CONTEXT_TOKENS = 2048
AT_ONCE = 32  # requests that an engine works on
VLLM_START_SECONDS = 240.0  # 35 s on two idle cores
LLAMA_START_SECONDS = 30.0


@dataclass
class EngineProcess:
    """One engine at a fixed port, in a session of its own."""

    daemons: Daemons
    name: str
    command: Sequence[str | Path]
    port: int
    patience: float  # seconds until it answers
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    def begin(self) -> None:
        """Starts it; `wait` says when it answers."""
        self.daemons.start(self.name, self.command, self.env)

    def wait(self) -> float:
        """Seconds until /health was 200."""
        began = time.monotonic()
        with httpx.Client(trust_env=False, timeout=2) as http:
            while time.monotonic() - began < self.patience:
                self.daemons.check(self.name)
                try:
                    if http.get(f"{self.base_url}/health").status_code == 200:
                        return time.monotonic() - began
                except httpx.HTTPError:
                    pass
                time.sleep(0.1)
        log = last_lines(self.daemons.log_file(self.name))
        raise RuntimeError(f"{self.name} did not answer at {self.base_url} within {self.patience:.0f} s:\n{log}")

    def kill(self) -> None:
        """SIGKILL to all its processes: vLLM's engine core is a child of its API server, and outlives it."""
        leader = self.daemons.pid(self.name)
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)  # daemons.start made it the leader of its own group
        self.daemons.stop(self.name)

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """It answers while the block lasts."""
        self.begin()
        try:
            self.wait()
            yield self
        finally:
            self.kill()

    def restart(self) -> float:
        """After `kill`: seconds until it answers again."""
        self.begin()
        return self.wait()

    def tell_to_end(self) -> None:
        """SIGTERM to its leader, as the kubelet sends it."""
        leader = self.daemons.pid(self.name)
        if leader is not None:
            os.kill(leader, signal.SIGTERM)


def llama_server(
    daemons: Daemons, *more: str | Path, scaled: Sequence[Path] = (), model: Path | None = None
) -> EngineProcess:
    """Makes a llama-server, with the counting model unless told otherwise. `scaled` are adapters, loaded as the engine does."""
    port = free_port(ADDRESS)
    if scaled:
        more = (*more, "--lora-scaled", ",".join(f"{path}:0.0" for path in scaled))
    command: list[str | Path] = [
        *host_llama_server(), "-m", model or counting.cached(), "--alias", MODEL, "--host", ADDRESS, "--port", str(port),
        "-c", str(CONTEXT_TOKENS * AT_ONCE), "-np", str(AT_ONCE), "-t", "1", "-tb", "1", "--fit", "off",
        "--cache-ram", "0", "--threads-http", "64", "--offline", *more,
    ]  # fmt: skip
    return EngineProcess(daemons, "llama-server", command, port, LLAMA_START_SECONDS)


def vllm(daemons: Daemons, *more: str, **variables: str) -> EngineProcess:
    port = free_port(ADDRESS)
    command: list[str | Path] = [
        install.interpreter(), "-m", "vllm.entrypoints.cli.main", "serve", counting_hf.cached(),
        "--served-model-name", MODEL, "--host", ADDRESS, "--port", str(port), "--dtype", "float32",
        "--enforce-eager", "--max-model-len", str(CONTEXT_TOKENS), "--max-num-seqs", str(AT_ONCE),
        "--disable-access-log-for-endpoints", "/health", *more,
    ]  # fmt: skip
    env = {
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": "",  # its own packages, not this checkout's
        **variables,
    }
    return EngineProcess(daemons, "vllm", command, port, VLLM_START_SECONDS, env)
