"""LiteLLM's proxy: the Python gateway with the most providers, set as its page on production says.

https://docs.litellm.ai/docs/proxy/prod: one worker per core, LITELLM_MODE=PRODUCTION, errors only in its log; without the
parts that need a database or Redis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.interpreter import found_version, interpreter
from bench.peers import UPSTREAM_MODEL, Place


class LiteLlm:
    """`litellm --config … --num_workers 1`. `models`: names that clients ask for -> LiteLLM's names of them, by provider."""

    def __init__(
        self, models: Mapping[str, str] = MappingProxyType({UPSTREAM_MODEL: f"openai/{UPSTREAM_MODEL}"})
    ) -> None:
        self._models = models

    name = "litellm"
    about = (
        "--num_workers 1, one openai/ model, LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, no key, no database, no Redis"
    )

    def install(self) -> None:
        interpreter().program(self.name, ["litellm"], Path("/"), [])

    def version(self) -> str:
        return found_version("litellm", self.name, ["litellm"])

    def command(self, place: Place) -> list[str]:
        def base_of(model: str) -> str:  # Anthropic's is given without a version
            return place.upstream_url if model.startswith("anthropic/") else f"{place.upstream_url}/v1"

        models = [
            {"model_name": name, "litellm_params": {"model": model, "api_base": base_of(model), "api_key": "none"}}
            for name, model in self._models.items()
        ]
        config = {
            "model_list": models,
            "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True, "num_retries": 0},
        }
        file = place.folder / "litellm.yaml"  # JSON is YAML
        file.write_text(json.dumps(config))
        python = interpreter()
        # The script `litellm` holds the path of the folder in which pip made it, which is not where it ends up.
        start = "from litellm import run_server; run_server()"
        options = ["--config", f"{python.place(place.folder)}/litellm.yaml", "--num_workers", "1"]
        options += ["--host", "127.0.0.1", "--port", str(place.port)]
        return python.program(self.name, ["litellm"], place.folder, ["-c", start, *options])

    def environment(self) -> Mapping[str, str]:
        own = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return {**interpreter().environment(), **own, "HOME": "/tmp"}

    def headers(self, place: Place) -> Mapping[str, str]:
        return {}
