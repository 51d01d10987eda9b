"""Where weights come from, and the volume that keeps them: the part of a ModelDeployment that its puller knows, too."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genset.addresses import HOST_AND_PORT, URL, URL_REMEDY, is_url
from genset.api.base import ApiModel, Name, Quantity, Rule, SecretKeyRef, rules
from genset.api.quantity import parse_quantity


@rules(
    Rule(
        f"!has(self.endpoint) || self.endpoint.matches(r'{URL}')",
        f"huggingFace.endpoint names no server: {URL_REMEDY}",
        lambda source: source.endpoint is None or is_url(source.endpoint),
    )
)
class HuggingFaceSource(ApiModel):
    """Files of a repository on the Hugging Face hub, or on a mirror that speaks its API."""

    repo: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$",
        examples=["Qwen/Qwen3-8B-GGUF"],
        max_length=200,
        description="Repository as owner/name.",
    )
    revision: str = Field(
        default="main",
        min_length=1,
        max_length=200,
        description="Branch, tag or commit. A commit makes every replica and every restart load the same bytes.",
    )
    file: str = Field(
        default="*.gguf",
        min_length=1,
        max_length=256,
        description="Glob over the repository's files. It must match one model. For a split model name the first "
        "shard with the number of shards, e.g. *Q8_0-00001-of-00003.gguf; the others follow.",
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Access token for gated or private repositories. Only the puller sees it."
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/@]+(/\S*)?$",
        examples=["https://hub.corp"],
        max_length=512,
        description="Base URL of a mirror, for sites without internet. Default: the operator's setting, else the "
        "public hub.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the mirror, where a private CA does."
    )


@rules(
    Rule(
        f"self.url.matches(r'{URL}')",
        f"http.url names no server: write https://HOST:PORT/FILE, where {HOST_AND_PORT}",
        lambda source: is_url(source.url),
    )
)
class HttpSource(ApiModel):
    """One file from a web server, e.g. a local mirror or an artifact store."""

    url: str = Field(
        pattern=r"^https?://[^\s@]+$",
        max_length=2048,
        examples=["https://mirror.corp/model.gguf"],
        description="URL of the file.",
    )
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        examples=["0123456789abcdef" * 4],
        description="SHA-256 of the file, in lower-case hexadecimal. A file that differs is never served.",
    )
    headers_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Key of a Secret whose value holds request headers, one `Name: value` per line, for servers that "
        "ask for credentials.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the server, where a private CA does."
    )


class PvcSource(ApiModel):
    """A file that someone else put on a PersistentVolumeClaim in the same namespace. It is mounted read-only."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim.")
    path: str = Field(
        pattern=r"^[^/\s][^\n]*$",
        max_length=1024,
        examples=["models/model.gguf"],
        description="Path of the file inside the volume, without leading /.",
    )


class HostPathSource(ApiModel):
    """A file that lies on each node. Needs the operator's opt-in, because it reads the node's disk."""

    path: str = Field(
        pattern=r"^/[^\n]*[^/\n]$",
        max_length=1024,
        examples=["/srv/models/model.gguf"],
        description="Absolute path of the file on the node.",
    )


_SOURCES = ("hugging_face", "http", "pvc", "host_path")


@rules(
    Rule(
        "(has(self.huggingFace) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.pvc) ? 1 : 0) + "
        "(has(self.hostPath) ? 1 : 0) == 1",
        "source needs exactly one of huggingFace, http, pvc, hostPath",
        lambda source: sum(getattr(source, name) is not None for name in _SOURCES) == 1,
    )
)
class Source(ApiModel):
    """Where the weights come from: exactly one kind."""

    hugging_face: HuggingFaceSource | None = Field(default=None, description="Hugging Face hub or mirror.")
    http: HttpSource | None = Field(default=None, description="One file by URL and checksum.")
    pvc: PvcSource | None = Field(default=None, description="A file on an existing PersistentVolumeClaim.")
    host_path: HostPathSource | None = Field(
        default=None,
        description="A file on the node. Refused unless the operator runs with allowHostPath.",
    )


@rules(
    Rule(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && "
        "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName) && "
        "self.accessMode == oldSelf.accessMode",
        "cache.storageClassName and cache.accessMode cannot change once set: a volume keeps them for life; make a new "
        "ModelDeployment, or remove cache first and add it again",
    ),
    Rule(
        "quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
        "cache.size cannot shrink: volumes only grow; remove cache first and add it again",
    ),
    Rule(
        "quantity(string(self.size)).isGreaterThan(quantity('0'))",
        "cache.size must be above zero",
        lambda cache: parse_quantity(cache.size) > 0,
    ),
)
class Cache(ApiModel):
    """A PersistentVolumeClaim for downloaded weights. Without it each pod downloads into its own scratch space."""

    size: Quantity = Field(description="Size of the volume, e.g. 20Gi. Leave room for the file and its download.")
    storage_class_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Storage class. Default: the cluster's."
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = Field(
        default="ReadWriteOnce", description="ReadWriteMany lets replicas on several nodes share one download."
    )
