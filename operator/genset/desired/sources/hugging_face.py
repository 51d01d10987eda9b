"""Source `huggingFace` has the puller ask the hub, or a mirror, for the files of one model."""

from __future__ import annotations

from genset.api.sources.base import ONE_MODEL
from genset.api.sources.hugging_face import HuggingFaceSource
from genset.contracts.puller import Role
from genset.contracts.sources import PUBLIC_HUB, HuggingFace
from genset.desired.context import Settings
from genset.desired.sources.base import ONE_PROJECTOR, Download, Place, SourceKind, globs, secrets


def download(hub: HuggingFaceSource, settings: Settings, place: Place) -> Download:
    """Asks the operator's mirror if the resource names none."""
    endpoint = hub.endpoint or settings.hugging_face_endpoint
    file = ONE_PROJECTOR if place.role is Role.PROJECTOR and hub.file == ONE_MODEL else hub.file
    return Download(
        HuggingFace(hub.repo, hub.revision, file, endpoint, globs(hub.include), globs(hub.exclude)),
        endpoint or PUBLIC_HUB,
        secrets(token_file=hub.token_secret_ref, ca_file=hub.ca_secret_ref),
    )


KIND = SourceKind(HuggingFaceSource, download)
