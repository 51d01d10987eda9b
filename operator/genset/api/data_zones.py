"""The field `dataZones` is the same wherever it stands: zones in which requests may be answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genset.data_zones import MOST_ZONES, ZONE, ZONE_CHARACTERS

DataZone = Annotated[str, Field(pattern=ZONE, min_length=1, max_length=ZONE_CHARACTERS, examples=["house"])]
DataZones = Annotated[
    list[DataZone] | None,
    Field(min_length=1, max_length=MOST_ZONES, json_schema_extra={"x-kubernetes-list-type": "set"}),
]
