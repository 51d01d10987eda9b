"""vllm-router: the router in Rust of the vLLM project, from its wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.install import distribution_version, python_environment
from bench.peers import Place


class VllmRouter:
    """`vllm-router --worker-urls …`, which is the module vllm_router.launch_router."""

    name = "vllm-router"
    about = "one worker, round robin, warnings only in its log"

    def _python(self) -> Path:
        return python_environment("vllm-router", ["vllm-router"])

    def install(self) -> None:
        self._python()

    def version(self) -> str:
        return distribution_version(self._python(), "vllm-router")

    def command(self, place: Place) -> list[str]:
        address = ["--host", "127.0.0.1", "--port", str(place.port), "--worker-urls", place.upstream_url]
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.spare_port)]
        quiet = ["--policy", "round_robin", "--log-level", "warning"]
        return [str(self._python()), "-m", "vllm_router.launch_router", *address, *metrics, *quiet]

    def environment(self) -> Mapping[str, str]:
        return {}
