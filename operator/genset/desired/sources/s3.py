"""Source `s3` has the puller fetch objects of a bucket."""

from __future__ import annotations

from genset.api.sources.base import ONE_MODEL
from genset.api.sources.s3 import S3Source
from genset.contracts.puller import Role
from genset.contracts.sources import S3
from genset.desired.context import Settings
from genset.desired.sources.base import ONE_PROJECTOR, Download, Place, SourceKind, globs, secrets


def download(store: S3Source, _: Settings, place: Place) -> Download:
    """Asks the store that the resource names, or the public one of its scheme."""
    file = ONE_PROJECTOR if place.role is Role.PROJECTOR and store.file == ONE_MODEL else store.file
    endpoint = (store.endpoint or "").rstrip("/")
    return Download(
        S3(store.uri, store.region, file, endpoint, globs(store.include), globs(store.exclude), store.sha256 or ""),
        endpoint or _public(store),
        secrets(credentials_file=store.credentials_secret_ref, ca_file=store.ca_secret_ref),
    )


def _public(store: S3Source) -> str:
    """Returns the base URL of the public store; az:// always names an endpoint."""
    return (
        "https://storage.googleapis.com" if store.uri.startswith("gs:") else f"https://s3.{store.region}.amazonaws.com"
    )


KIND = SourceKind(S3Source, download)
