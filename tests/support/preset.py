"""The preset as the chart's defaults make it, with the chart's own catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from genset.preset.settings import Preset

CATALOGUE = Path(__file__).parents[2] / "charts" / "genset" / "files" / "catalogue.yaml"
CLOUD = {"provider": "openai", "model": "gpt-5-mini", "credentialsSecretRef": {"name": "openai", "key": "apiKey"}}


def catalogue() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CATALOGUE.read_text())
    return found


def settings(**changed: Any) -> dict[str, Any]:
    """Makes what the chart writes into the preset's file."""
    base = {"standby": "Warm", "idleSeconds": 900, "share": 50, "accelerators": True, "cloud": CLOUD}
    return {**base, "catalogue": catalogue()["models"], **changed}


def preset(namespace: str = "models", **changed: Any) -> Preset:
    return Preset.model_validate({**settings(**changed), "namespace": namespace})
