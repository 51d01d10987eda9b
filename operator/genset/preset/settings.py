"""The settings of the preset are one file that the chart writes of its values and of its catalogue."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from genset.api.base import ApiModel, Quantity, SecretKeyRef
from genset.api.cloud import ProviderName

#: Name of the ModelDeployment and of the RoutePolicy that the preset makes; the admission policy lets no other one be made.
NAME = "continuity"


class Standby(StrEnum):
    """Whether the model waits awake or at rest."""

    WARM = "Warm"
    COLD = "Cold"


class CatalogueMemory(ApiModel):
    """What a model takes: of a node without accelerator, and with one that holds all of it."""

    cores: Quantity = Field(description="Memory of the pod on cores alone.")
    host: Quantity = Field(description="Memory of the pod beside an accelerator.")
    accelerator: Quantity = Field(description="Memory of the one accelerator that holds the model.")


class CatalogueContext(ApiModel):
    """The context that the memory was reckoned for."""

    tokens: int = Field(ge=1024, le=1_048_576)
    parallel: int = Field(ge=1, le=64)


class CatalogueEntry(ApiModel):
    """An entry is one model of the catalogue, with what it takes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=52)
    parameters: str = Field(max_length=64)
    licence: str = Field(max_length=64, description="In SPDX's way, as `allowedLicences` names it.")
    quality: str = Field(max_length=256)
    source: dict[str, Any] = Field(description="spec.source of the ModelDeployment.")
    download: Quantity | None = Field(default=None, description="Size of its volume; none if it is read where it lies.")
    context: CatalogueContext
    memory: CatalogueMemory
    read_per_token: Quantity = Field(description="Bytes of weights that each token reads, which decides its speed.")


class PresetCloud(ApiModel):
    """The cloud that answers as long as it is there."""

    provider: ProviderName
    model: str = Field(min_length=1, max_length=256)
    base_url: str | None = Field(default=None, alias="baseURL")
    credentials_secret_ref: SecretKeyRef | None = None
    ca_secret_ref: SecretKeyRef | None = None


class Preset(ApiModel):
    """The preset is what the administrator wants made."""

    namespace: str = Field(min_length=1, max_length=63)
    standby: Standby = Field(strict=False)
    idle_seconds: int = Field(ge=5, le=604_800)
    share: int = Field(
        ge=1, le=100, description="Percent of a node's free cores and memory that the model may ask for."
    )
    accelerators: bool = Field(description="Whether it may take one that no pod has asked for.")
    cloud: PresetCloud
    catalogue: list[CatalogueEntry] = Field(min_length=1, max_length=64, description="The best first.")


def read(path: Path, namespace: str) -> Preset:
    """Returns the settings in a file, for a namespace. Raises ValueError that says what is wrong with them."""
    try:
        return Preset.model_validate({**(yaml.safe_load(path.read_text()) or {}), "namespace": namespace})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"the chart's continuity values: {where}: {first['msg']}") from error
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"the chart's continuity values cannot be read: {error}") from error
