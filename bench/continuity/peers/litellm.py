"""LiteLLM's proxy, with the values that its page on reliability shows for failover.

https://docs.litellm.ai/docs/proxy/reliability: `fallbacks` from one model group to another, num_retries 3, request_timeout 10,
allowed_fails 3, cooldown_time 30. Keys and addresses stand in the model list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bench.continuity.faults import Side, base_url
from bench.continuity.peers import Cell, Spot
from bench.interpreter import interpreter
from bench.peers.litellm_proxy import LiteLlm


class LiteLlmFailover:
    """`litellm --config …` with two model groups for each cell: the first falls back to the second."""

    name = "litellm"
    about = (
        "fallbacks, num_retries 3, request_timeout 10, allowed_fails 3, cooldown_time 30, as its page on reliability shows; "
        "it cannot be told to give a first token less time than the whole of an answer, nor to look at an answer's end"
    )
    lasts = True

    def __init__(self) -> None:
        self._plain = LiteLlm()

    def install(self) -> None:
        self._plain.install()

    def version(self) -> str:
        return self._plain.version()

    def command(self, spot: Spot) -> list[str]:
        (spot.folder / "ca.pem").write_text(spot.ca_pem)
        (spot.folder / "litellm.yaml").write_text(json.dumps(config(spot)))  # JSON is YAML
        python = interpreter()
        start = "from litellm import run_server; run_server()"
        options = ["--config", f"{python.place(spot.folder)}/litellm.yaml", "--num_workers", "1"]
        options += ["--host", "127.0.0.1", "--port", str(spot.port)]
        return python.program("litellm", ["litellm"], spot.folder, ["-c", start, *options])

    def environment(self, spot: Spot) -> Mapping[str, str]:
        return {**self._plain.environment(), "SSL_CERT_FILE": f"{interpreter().place(spot.folder)}/ca.pem"}

    def path(self, cell: Cell) -> str:
        return "/v1/chat/completions"


def config(spot: Spot) -> dict[str, object]:
    """Returns the proxy's configuration."""

    def group(name: str, cell: Cell, side: Side) -> dict[str, object]:
        params = {"model": f"openai/{cell.name}", "api_base": base_url(side, cell.fault), "api_key": f"key-{cell.name}"}
        return {"model_name": name, "litellm_params": params}

    models = [group(cell.name, cell, cell.first) for cell in spot.cells]
    models += [group(f"{cell.name}-second", cell, cell.first.other) for cell in spot.cells]
    settings = {
        "num_retries": 3,
        "request_timeout": 10,
        "fallbacks": [{cell.name: [f"{cell.name}-second"]} for cell in spot.cells],
        "allowed_fails": 3,
        "json_logs": True,
    }
    return {"model_list": models, "litellm_settings": settings, "router_settings": {"cooldown_time": 30}}
