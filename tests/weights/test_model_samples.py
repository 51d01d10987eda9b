"""Samples of model families are planned as they stand: each fits the node that it names, with the memory that it asks for.

What the hub would send are headers with the families' real dimensions (tests/support/sizing); no weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import parse_quantity
from genset.cli import main
from genset.sizing.quantisation import estimated_bytes
from tests.support.sizing import families, family_files
from tests.support.weights.fakes import serving
from tests.support.weights.family_hub import FamilyHub, HubFile

FOLDER = Path(__file__).parents[2] / "manifests" / "samples" / "models"
NODES = FOLDER / "nodes" / "nodes.yaml"
GB = 10**9


@dataclass(frozen=True)
class Family:
    """A family by its configuration, and what its files have: a mixture of a GGUF file, or the bytes of a folder."""

    config: Mapping[str, Any]
    mixture: str = "Q4_K_M"
    folder_bytes: int = 0
    projector_bytes: int = 0


FAMILIES = {
    "phi-3-mini": Family(families.PHI3_MINI_4K),
    "phi-4": Family(families.PHI4),
    "phi-4-mini": Family(families.PHI4_MINI),
    "phi-4-reasoning": Family(families.PHI4_REASONING),
    "gemma-2-9b": Family(families.GEMMA2_9B),
    "gemma-3-1b": Family(families.GEMMA3_1B),
    "gemma-3-12b": Family(families.GEMMA3_12B, projector_bytes=854 * 10**6),
    "gemma-3-27b": Family(families.GEMMA3_27B, projector_bytes=858 * 10**6),
    "llama-3.1-8b": Family(families.LLAMA31_8B, folder_bytes=16_060_522_496),
    "llama-4-scout": Family(families.LLAMA4_SCOUT, folder_bytes=113 * GB),
    "qwen3.5-9b": Family(families.QWEN35_9B, folder_bytes=19 * GB),
    "qwen3.5-35b-a3b": Family(families.QWEN35_35B, projector_bytes=900 * 10**6),
    "qwen3.5-397b-a17b": Family(families.QWEN35_397B, folder_bytes=estimated_bytes(403 * GB, "FP8")),
    "mistral-small-3.2": Family(families.MISTRAL_SMALL, projector_bytes=878 * 10**6),
    "gpt-oss-20b": Family(families.GPT_OSS_20B, "MXFP4"),
    "gpt-oss-120b": Family(families.GPT_OSS_120B, folder_bytes=65_200_000_000),
    "gpt-oss-120b-cores": Family(families.GPT_OSS_120B, "MXFP4"),
    "deepseek-r1": Family(families.DEEPSEEK_V3, folder_bytes=688 * GB),
    "deepseek-v4-flash": Family(families.DEEPSEEK_V4_FLASH, folder_bytes=160 * GB),
    "glm-5.2": Family(families.GLM52, folder_bytes=estimated_bytes(753 * GB, "FP8")),
    "kimi-k2": Family(families.KIMI_K2, "UD_Q2_K_XL"),
}


def documents(name: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()) if item]


def hub_files(name: str, folder: Path) -> dict[str, HubFile]:
    """Returns what the sample's repository would have."""
    family, (document,) = FAMILIES[name], documents(name)
    source = document["spec"]["source"]["huggingFace"]
    if family.folder_bytes:
        config = HubFile(json.dumps(family.config).encode())
        return {"config.json": config, "model-00001-of-00001.safetensors": HubFile(b"", family.folder_bytes)}
    path = folder / "header.gguf"
    size = family_files.write(path, family.config, family.mixture)
    first = source["file"].replace("*", "model")
    found = {first: HubFile(path.read_bytes(), size)}
    if parts := re.search(r"-00001-of-(\d{5})\.gguf$", first):
        for number in range(2, int(parts[1]) + 1):
            shard = folder / "shard.gguf"
            family_files.write_empty_shard(shard)
            found[first.replace("-00001-of-", f"-{number:05d}-of-")] = HubFile(shard.read_bytes())
    if family.projector_bytes:
        found["mmproj-F16.gguf"] = HubFile(b"GGUF", family.projector_bytes)
    return found


def test_each_sample_is_planned_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_fits_its_node_as_it_stands(name: str, tmp_path: Path) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    (document,) = documents(name)
    resource = ModelDeployment.model_validate(document)
    stated = re.search(r"^# Node: (\S+)$", text, re.MULTILINE)
    assert stated and re.search(r"^# Licence: \S", text, re.MULTILINE)
    repo = document["spec"]["source"]["huggingFace"]["repo"]
    with serving(FamilyHub(repo, hub_files(name, tmp_path))) as hub:
        arguments = ["plan", "-f", str(FOLDER / f"{name}.yaml"), "--nodes", str(NODES), "--endpoint", hub.url]
        table = CliRunner().invoke(main, arguments, env={"NO_PROXY": "127.0.0.1"})
        result = CliRunner().invoke(main, [*arguments, "-o", "json"], env={"NO_PROXY": "127.0.0.1"})
    assert result.exit_code == 0, table.output
    (plan,) = json.loads(result.stdout)
    fit = next(one for one in plan["nodes"] if one["node"] == stated[1])
    accelerator = resource.spec.resources.accelerator
    assert fit["fits"], table.output
    assert fit["gpus"] == (accelerator.count if accelerator else 0)
    given = parse_quantity(resource.spec.resources.memory)
    assert fit["hostBytes"] <= given, f"it asks for {given} bytes of memory\n{table.output}"
    if accelerator is None:
        assert fit["hostBytes"] * 1.6 >= given, f"it asks for far more than {fit['hostBytes']} bytes\n{table.output}"
    assert resource.spec.cache is not None and resource.spec.cache.size is not None
    assert parse_quantity(resource.spec.cache.size) > plan["model"]["fileBytes"]
    assert plan["model"]["context"] >= resource.spec.context.tokens
    assert fit["tokensPerSecond"] != "<1", table.output
