"""Source `huggingFace` is a repository on the Hugging Face hub or a mirror of it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from genset.addresses import URL, URL_REMEDY, is_url
from genset.api.base import CelRule, SecretKeyRef, rules
from genset.api.sources.base import EXCLUDE, FILE, INCLUDE, ONE_MODEL, DownloadBlock, Glob


@rules(
    CelRule(
        f"!has(self.endpoint) || self.endpoint.matches(r'{URL}')",
        f"huggingFace.endpoint names no server: {URL_REMEDY}",
        lambda source: source.endpoint is None or is_url(source.endpoint),
    ),
    CelRule(
        "!has(self.revision) || !self.revision.contains('..')",
        "huggingFace.revision must not contain '..': no branch, tag or commit does",
        lambda source: ".." not in source.revision,
    ),
)
class HuggingFaceSource(DownloadBlock):
    """Files of a repository on the Hugging Face hub, or on a mirror that speaks its API."""

    folders: ClassVar[bool] = True

    repo: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$",
        examples=["Qwen/Qwen3-8B-GGUF"],
        max_length=200,
        description="Repository as owner/name.",
    )
    revision: str = Field(
        default="main",
        pattern=r"^[0-9A-Za-z_][-0-9A-Za-z_.,/+@#=]*$",
        min_length=1,
        max_length=200,
        description="Branch, tag or commit. A commit makes every replica and every restart load the same bytes.",
    )
    file: Glob = Field(default=ONE_MODEL, description=f"Glob over the repository's files. {FILE}")
    include: list[Glob] | None = Field(default=None, max_length=32, description=INCLUDE)
    exclude: list[Glob] | None = Field(default=None, max_length=32, description=EXCLUDE)
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Access token for gated or private repositories. Only the puller sees it."
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\x00-\x20\x7f/@?#]+(/[^\x00-\x20\x7f@?#]*)?$",
        examples=["https://hub.corp"],
        max_length=512,
        description="Base URL of a mirror, for sites without internet. Default: the operator's setting, else the "
        "public hub.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the mirror, if a private CA does."
    )
