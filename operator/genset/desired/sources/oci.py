"""Source `oci` has the puller fetch from a registry, or the node mount an image."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from genset.api.sources.oci import OciSource
from genset.contracts.puller import Role
from genset.contracts.sources import Oci
from genset.desired.context import Settings
from genset.desired.sources.base import (
    ONE_PROJECTOR,
    Download,
    InPlace,
    Place,
    SourceKind,
    SourceProblem,
    climbs,
    secrets,
)


def wanted(source: OciSource, settings: Settings, place: Place) -> Download | InPlace:
    """Returns what the puller is asked for; for an image volume what the node mounts."""
    path = source.path or (ONE_PROJECTOR if place.role is Role.PROJECTOR else "")
    pulled = Oci(source.reference, path, "http" if source.plain_http else "")
    if source.mount == "ImageVolume":
        return _mounted(source, settings, place, pulled.server)
    return Download(
        pulled,
        pulled.server,
        secrets(credentials_file=source.credentials_secret_ref, ca_file=source.ca_secret_ref),
    )


def _mounted(source: OciSource, settings: Settings, place: Place, url: str) -> InPlace:
    image = {"reference": source.reference, "pullPolicy": settings.image_pull_policy}
    ref = source.credentials_secret_ref
    return InPlace(
        file=posixpath.normpath(posixpath.join(place.path, source.path or "")),
        identity=["oci", source.reference, source.path or ""],
        volumes=[{"name": place.volume, "image": image}],
        mounts=[{"name": place.volume, "mountPath": place.path, "readOnly": True}],
        image=source.reference,
        url=url,
        pull_secret=ref.name if ref is not None else "",
    )


def problems(source: OciSource, _: Settings, place: Place) -> Iterator[SourceProblem]:
    """Yields the problem of a path that climbs out of the artifact."""
    yield from climbs(source.path or "", f"{place.field}.oci.path")


KIND = SourceKind(OciSource, wanted, problems)
