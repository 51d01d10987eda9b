"""vllm-router: the router in Rust of the vLLM project, from its wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.install import distribution_version, python_environment
from bench.peers import Place


class VllmRouter:
    """`vllm-router --worker-urls …`, which is the module vllm_router.launch_router, as its documentation starts it."""

    name = "vllm-router"
    about = "one worker, its own defaults (cache-aware policy, a log line per request)"
    more: tuple[str, ...] = ()

    def _python(self) -> Path:
        return python_environment("vllm-router", ["vllm-router"])

    def install(self) -> None:
        self._python()

    def version(self) -> str:
        return distribution_version(self._python(), "vllm-router")

    def command(self, place: Place) -> list[str]:
        address = ["--host", "127.0.0.1", "--port", str(place.port), "--worker-urls", place.upstream_url]
        metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.spare_port)]
        return [str(self._python()), "-m", "vllm_router.launch_router", *address, *metrics, *self.more]

    def environment(self) -> Mapping[str, str]:
        return {}

    def headers(self, place: Place) -> Mapping[str, str]:
        return {}


class VllmRouterLean(VllmRouter):
    """The same with everything off that a single worker does not need."""

    name = "vllm-router-lean"
    about = "one worker, round robin, warnings only in its log"
    more = ("--policy", "round_robin", "--log-level", "warning")
