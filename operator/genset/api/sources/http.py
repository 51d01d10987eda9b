"""Source `http` is one file by URL and checksum."""

from __future__ import annotations

from pydantic import Field

from genset.addresses import HOST_AND_PORT, URL, is_url
from genset.api.base import CelRule, SecretKeyRef, rules
from genset.api.sources.base import DownloadBlock


@rules(
    CelRule(
        f"self.url.matches(r'{URL}')",
        f"http.url names no server: write https://HOST:PORT/FILE, where {HOST_AND_PORT}",
        lambda source: is_url(source.url),
    )
)
class HttpSource(DownloadBlock):
    """One file from a web server, e.g. a local mirror or an artifact store."""

    url: str = Field(
        pattern=r"^https?://[^\x00-\x20\x7f@#]+$",
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
        default=None, description="Certificates (PEM) that sign the server, if a private CA does."
    )
