"""Source `huggingFace` has the puller ask the hub, or a mirror, for the files of one model."""

from __future__ import annotations

from genset.api.sources.hugging_face import HuggingFaceSource
from genset.contracts.sources import PUBLIC_HUB, HuggingFace
from genset.desired.context import Settings
from genset.desired.sources.base import Download, SourceKind, secrets


def download(hub: HuggingFaceSource, settings: Settings) -> Download:
    """Asks the operator's mirror if the resource names none."""
    endpoint = hub.endpoint or settings.hugging_face_endpoint
    return Download(
        HuggingFace(hub.repo, hub.revision, hub.file, endpoint),
        endpoint or PUBLIC_HUB,
        secrets(token_file=hub.token_secret_ref, ca_file=hub.ca_secret_ref),
    )


KIND = SourceKind(HuggingFaceSource, download)
