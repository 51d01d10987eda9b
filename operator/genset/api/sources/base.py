"""The blocks of all sources share whether they are downloaded, and which Secrets they name."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.api.base import ApiModel, SecretKeyRef, secret_refs


class SourceBlock(ApiModel):
    """A block is one source of a ModelDeployment's `spec.source`."""

    downloaded: ClassVar[bool]  # the puller fetches it; if not, it is read where it lies

    def secret_refs(self) -> list[tuple[str, SecretKeyRef]]:
        """Returns (field, reference) of every Secret that the block names."""
        return secret_refs(self)


class DownloadBlock(SourceBlock):
    """This is a block of a source that the puller downloads from, over HTTP."""

    downloaded: ClassVar[bool] = True

    allow_plain_http: bool = Field(
        default=False,
        alias="allowPlainHTTP",
        description="Send credentials to a server with http://, where everybody on the way can read them.",
    )
