"""The contract of a bundle is its table of contents: one release of genset writes it, and a later one reads it at another site.

A bundle is an OCI image layout in one file (a tar). The table is the config of an artifact in it, whose digest stands for
every byte of the bundle. Fields are added and never change their meaning; a release refuses a `format` that it does not know.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

FORMAT: Final = 1
TABLE_TYPE: Final = "application/vnd.genset.bundle.config.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.genset.bundle.v1"
RESOURCES: Final = "resources.yaml"  # the resources as they were given, without Secrets
CRDS: Final = "crds.yaml"
BILL: Final = "bundle.cdx.json"
_DIGEST: Final = r"^sha256:[0-9a-f]{64}$"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Blob(_Told):
    """A blob is known by the digest of its bytes."""

    media_type: str
    digest: str = Field(pattern=_DIGEST)
    size: int = Field(ge=0)


class Artifact(_Told):
    """An artifact is an image, a chart or a model, under the name that it has at its registry."""

    name: str  # REGISTRY/REPOSITORY[:TAG][@DIGEST]
    root: Blob  # its manifest, or the index of its platforms


class Image(Artifact):
    """An image is what a pod runs. Its index may name platforms that are not in the bundle."""

    asked: str  # as pods name it


class BundledModel(Artifact):
    """A model is one part of a ModelDeployment's weights."""

    namespace: str
    deployment: str
    field: str  # path of the source in the resource
    origin: str  # where it came from, for people
    path: str = ""  # what of it: see source.oci.path
    in_place: bool = False  # it is in a registry anyway, and keeps its name there


class Contents(_Told):
    """The table of contents says what is in a bundle, who made it, and when."""

    format: int = FORMAT
    created: str  # RFC 3339
    genset: str  # version of the genset that made it
    platforms: tuple[str, ...]
    images: tuple[Image, ...] = ()
    models: tuple[BundledModel, ...] = ()
    chart: Artifact | None = None
    #: Of the chart's image and engines: ENGINE/VENDOR -> image as pods name it; "" is genset's own.
    roles: dict[str, str] = Field(default_factory=dict)

    def written(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Returns everything that has a name at a registry."""
        return (*self.images, *self.models, *((self.chart,) if self.chart else ()))
