"""What a model has beside its own weights: LoRA adapters, and a projector for pictures. Each is a source of its own."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules
from genset.api.cache import Cache
from genset.api.sources import Source

MOST_ADAPTERS = 64  # of one model
PROJECTOR = "projector"  # name of the one projector among the parts of a model


@rules(
    CelRule(
        "!(self.name in ['model', 'projector'])",
        "adapters: model and projector are names of other parts of the weights: give the adapter another one",
        lambda adapter: adapter.name not in ("model", PROJECTOR),
    )
)
class Adapter(ApiModel):
    """A LoRA adapter is served beside its model, under a name of its own."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$",
        min_length=1,
        max_length=63,
        examples=["invoices"],
        description="Name by which clients ask for it, as for a model.",
    )
    source: Source = Field(
        description="Where it comes from, in the form that the engine reads: a GGUF file, or a folder as PEFT writes it."
    )


class Part(NamedTuple):
    """A part is one source of a ModelDeployment: its model, its projector or one of its adapters.

    `field` is the path of the source in the resource. `name` is "" for the model.
    """

    field: str
    name: str
    source: Source

    @property
    def is_projector(self) -> bool:
        return self.field == "spec.projector"

    @property
    def is_adapter(self) -> bool:
        return self.field.startswith("spec.adapters")


def joining(source: Source | None, cache: Cache | None, adapters: list[Adapter]) -> list[Adapter]:
    """Returns the adapters that a running server can be given, because its pods have them mounted whatever their list says.

    Those are downloads into a claim that several pods may mount, and folders on the claim that the model itself is on.
    """
    shared = cache is not None and cache.access_mode != "ReadWriteOncePod"
    claim = source.pvc.claim_name if source is not None and source.pvc is not None else None
    return [
        one
        for one in adapters
        if (one.source.block.downloaded and shared)
        or (one.source.pvc is not None and one.source.pvc.claim_name == claim)
    ]


def parts_of(source: Source | None, projector: Source | None, adapters: list[Adapter]) -> list[Part]:
    """Returns the parts in the order in which they are fetched: the model comes first."""
    found = [Part("spec.source", "", source)] if source is not None else []
    if projector is not None:
        found.append(Part("spec.projector", PROJECTOR, projector))
    return found + [Part(f"spec.adapters[{one.name}].source", one.name, one.source) for one in adapters]
