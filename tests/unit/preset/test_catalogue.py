"""The catalogue's numbers are those of sizing, for files with the families' real dimensions; its clouds are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from genset.api.quantity import whole
from genset.preset.settings import CatalogueEntry, read
from genset.pricing.packaged import packaged_price
from genset.router.providers import PROVIDERS
from genset.sizing import memory
from genset.sizing.gguf import read_header
from genset.sizing.gguf_model import from_headers
from genset.sizing.kv_cache import ModelUse
from genset.sizing.memory import GIB, Placement
from tests.support.preset import catalogue, settings
from tests.support.sizing import families, family_files

FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "gpt-oss-120b": (families.GPT_OSS_120B, "MXFP4"),
    "qwen3.5-35b-a3b": (families.QWEN35_35B, "Q4_K_M"),
    "gpt-oss-20b": (families.GPT_OSS_20B, "MXFP4"),
    "phi-4-mini": (families.PHI4_MINI, "Q4_K_M"),
    "qwen2.5-1.5b": (families.QWEN25_1B, "Q4_K_M"),
}
PAGE = Path(__file__).parents[3] / "docs" / "standby.md"
ENTRIES = [CatalogueEntry.model_validate(one) for one in catalogue()["models"]]


def test_every_model_is_reckoned_here() -> None:
    assert [entry.name for entry in ENTRIES] == list(FAMILIES)


def near(told: str, needed: float) -> bool:
    """Says whether a number of the catalogue is enough, and not far more than that."""
    return needed <= whole(told) <= needed * 1.08 + GIB / 2


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_its_numbers_are_those_of_sizing(entry: CatalogueEntry, tmp_path: Path) -> None:
    config, mixture = FAMILIES[entry.name]
    size = family_files.write(tmp_path / "header.gguf", config, mixture)
    with (tmp_path / "header.gguf").open("rb") as stream:
        model = from_headers([read_header(stream, tensors=True)], size)
    use = ModelUse(entry.context.tokens, entry.context.parallel)
    cores, device = memory.need(model, use, Placement()), memory.need(model, use, Placement(1))
    assert near(str(entry.memory.cores), cores.host.total * memory.HEADROOM)
    assert near(str(entry.memory.host), device.host.total * memory.HEADROOM)
    assert near(str(entry.memory.accelerator), device.device.total)
    assert whole(str(entry.read_per_token)) == pytest.approx(model.read_per_token, rel=0.06)
    assert size < whole(str(entry.download)) < size * 1.3 + GIB
    assert entry.licence == model.licence
    assert model.context >= entry.context.tokens


def test_the_better_come_first_and_none_is_gated() -> None:
    sizes = [whole(str(entry.memory.cores)) for entry in ENTRIES]
    assert sizes == sorted(sizes, reverse=True)
    assert {entry.licence for entry in ENTRIES} <= {"apache-2.0", "mit"}


@pytest.mark.parametrize("name", catalogue()["clouds"])
def test_a_cloud_is_a_provider_whose_model_has_a_price(name: str) -> None:
    cloud = catalogue()["clouds"][name]
    assert urlsplit(PROVIDERS[name].base_url or "").hostname == cloud["host"]
    assert packaged_price(name, cloud["model"]) is not None


def test_the_page_has_the_catalogue_s_numbers() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ")
    ]
    shown = {row[0]: row[1:] for row in rows if len(row) == 7 and row[0] != "model"}

    def cells(entry: CatalogueEntry) -> list[str]:
        sizes = (entry.memory.cores, entry.memory.accelerator, entry.download)
        told = (f"{whole(str(size)) / GIB:g} gib" for size in sizes)
        return [entry.parameters.lower(), entry.licence, *told, entry.quality.lower()]

    lower = {name: [cell.lower() for cell in row] for name, row in shown.items()}
    assert lower == {entry.name: cells(entry) for entry in ENTRIES}


BROKEN = {
    "no catalogue": ({"catalogue": []}, "catalogue"),
    "a word too many": ({"shares": 1}, "shares"),
    "a number that is none": ({"share": "half"}, "share"),
    "an entry without its memory": ({"catalogue": [{"name": "a"}]}, "catalogue.0.parameters"),
}


@pytest.mark.parametrize(("changed", "where"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_file_is_told(changed: dict[str, Any], where: str, tmp_path: Path) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(yaml.safe_dump(settings(**changed)))
    with pytest.raises(ValueError, match=rf"continuity values: {where}"):
        read(file, "models")
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "none", "models")
