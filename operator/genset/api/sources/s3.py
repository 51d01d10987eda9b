"""Source `s3` is an object store: a bucket of S3 or of what speaks its API, of Google Cloud Storage, or of Azure."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field

from genset.addresses import URL, URL_REMEDY, is_url
from genset.api.base import CelRule, SecretKeyRef, rules
from genset.api.sources.base import EXCLUDE, FILE, INCLUDE, ONE_MODEL, DownloadBlock, Glob

_SHARD = "-[0-9]{5}-of-[0-9]{5}[.]gguf$"


@rules(
    CelRule(
        f"!has(self.endpoint) || self.endpoint.matches(r'{URL}')",
        f"s3.endpoint names no server: {URL_REMEDY}",
        lambda source: source.endpoint is None or is_url(source.endpoint),
    ),
    CelRule(
        "!self.uri.startsWith('az://') || has(self.endpoint)",
        "s3.uri with az:// needs s3.endpoint, which names the account: https://ACCOUNT.blob.core.windows.net",
        lambda source: not source.uri.startswith("az://") or source.endpoint is not None,
    ),
    CelRule(
        f"!has(self.sha256) || (self.uri.endsWith('.gguf') && !self.uri.matches('{_SHARD}'))",
        "s3.sha256 is of a model in one file: write s3.uri up to its name, which ends in .gguf, or remove s3.sha256",
        lambda source: (
            source.sha256 is None or (source.uri.endswith(".gguf") and re.search(_SHARD, source.uri) is None)
        ),
    ),
)
class S3Source(DownloadBlock):
    """Objects of a bucket, e.g. of AWS S3, MinIO, Ceph or versitygw; of Google Cloud Storage or Azure by their own schemes."""

    folders: ClassVar[bool] = True

    uri: str = Field(
        pattern=r"^(s3|gs|az)://[A-Za-z0-9][-A-Za-z0-9._]*(/[^\x00-\x20\x7f?#,]*)?$",
        max_length=1024,
        examples=["s3://models/qwen3-8b/qwen3-8b-q4_k_m.gguf", "s3://models/qwen3-8b/"],
        description="Bucket and key: one object, whose name ends in .gguf, or a prefix with the files of a model. gs:// is "
        "Google Cloud Storage; az:// is a container of the Azure account that endpoint names.",
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@?#]+/?$",
        max_length=512,
        examples=["https://minio.corp:9000"],
        description="Base URL of the store. Default: the public one of AWS in the region, or of Google.",
    )
    region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9][-a-z0-9]*$",
        max_length=64,
        examples=["eu-central-1"],
        description="Region that requests are signed for. Stores of one's own take any, most of them.",
    )
    file: Glob = Field(default=ONE_MODEL, description=f"Glob over the names behind a prefix. {FILE}")
    include: list[Glob] | None = Field(default=None, max_length=32, description=INCLUDE)
    exclude: list[Glob] | None = Field(default=None, max_length=32, description=EXCLUDE)
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        examples=["0123456789abcdef" * 4],
        description="SHA-256 of the one object, in lower-case hexadecimal. Without it the store's ETag and size are what is "
        "verified: the ETag is the MD5 of an object that was written in one piece without a key of KMS.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Key of a Secret whose value is a credentials file: lines aws_access_key_id = … and "
        "aws_secret_access_key = … as in ~/.aws/credentials (aws_session_token, too), a Google service account's JSON, or "
        "azure_storage_account_key = …. Without it the bucket is read as anybody may. Only the puller sees it.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the store, if a private CA does."
    )
