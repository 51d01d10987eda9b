"""Source `oci` is an artifact or an image in a registry."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field

from genset.addresses import URL, is_url
from genset.api.base import CelRule, SecretKeyRef, rules
from genset.api.sources.base import DownloadBlock

_MOUNTED = "(has(self.mount) && self.mount == 'ImageVolume')"  # items of lists have no defaults
_PINNED = r"^[^/]+/.*(:[A-Za-z0-9_][-A-Za-z0-9_.]*|@sha256:[0-9a-f]{64})$"  # behind the host, which may have a port


@rules(
    CelRule(
        f"('https://' + self.reference.split('/')[0]).matches(r'{URL}')",
        "oci.reference must begin with its registry: write REGISTRY/REPOSITORY:TAG, e.g. registry.corp:5000/models/qwen3:q4",
        lambda source: is_url(f"https://{source.reference.partition('/')[0]}"),
    ),
    CelRule(
        f"self.reference.matches(r'{_PINNED}')",
        "oci.reference needs a tag or a digest: write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST",
        lambda source: re.search(_PINNED, source.reference) is not None,
    ),
    CelRule(
        f"!{_MOUNTED} || (!has(self.caSecretRef) && !(has(self.plainHTTP) && self.plainHTTP))",
        "oci.mount ImageVolume is pulled by the node, which knows no oci.caSecretRef and no oci.plainHTTP: configure its "
        "container runtime, or use mount Pull",
        lambda source: source.mount != "ImageVolume" or (source.ca_secret_ref is None and not source.plain_http),
    ),
    CelRule(
        f"!{_MOUNTED} || !has(self.path) || !self.path.matches('[*?\\\\[]')",
        "oci.path must be the file itself with mount ImageVolume, and no glob: nothing is there to look at before the pod is",
        lambda source: source.mount != "ImageVolume" or not re.search(r"[*?\[]", source.path or ""),
    ),
)
class OciSource(DownloadBlock):
    """A model in a registry: a ModelPack or another artifact (ORAS, KitOps), or an image that holds files."""

    downloads_if: ClassVar[str] = "!has(S.mount) || S.mount == 'Pull'"
    folders: ClassVar[bool] = True

    reference: str = Field(
        pattern=r"^[^\s/@,]+/[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?(@sha256:[0-9a-f]{64})?$",
        max_length=512,
        examples=["registry.corp/models/qwen3-8b:q4"],
        description="Registry, repository and tag or digest. A digest makes every replica and every restart load the same bytes.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        pattern=r"^[^/\x00-\x20\x7f,][^\x00-\x1f\x7f,]*$",
        max_length=256,
        examples=["*Q4_K_M*.gguf"],
        description="What of it: for an engine that reads a GGUF file a glob that must match one model (default: the one that "
        "is there), for one that reads a folder the folder (default: everything).",
    )
    mount: Literal["Pull", "ImageVolume"] = Field(
        default="Pull",
        description="Pull: the puller fetches and unpacks it, artifacts and images alike. ImageVolume: the node mounts the "
        "image read-only, which needs Kubernetes 1.35 (or the feature gate) and an image: an artifact would be mounted empty.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Key of a Secret that holds a Docker configuration, e.g. .dockerconfigjson. With ImageVolume "
        "the node gets it.",
    )
    plain_http: bool = Field(
        default=False,
        alias="plainHTTP",
        description="Ask the registry without TLS, where everybody on the way can read and change what is asked; what is "
        "pulled is still held against its digests. Credentials need allowPlainHTTP, too.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the registry, if a private CA does."
    )

    @property
    def downloaded(self) -> bool:
        return self.mount == "Pull"
