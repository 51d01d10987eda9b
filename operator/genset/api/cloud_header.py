"""Headers of a cloud go with each request to it: what a gateway wants to know, plain or from a Secret."""

from __future__ import annotations

from pydantic import Field

from genset.api.base import ApiModel, CelRule, SecretKeyRef, rules

MOST_HEADERS = 16

#: What the router writes itself, what frames a message, and what would speak for a client.
_OURS = (
    "accept", "accept-encoding", "anthropic-version", "connection", "content-encoding", "content-length", "content-type",
    "cookie", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "x-request-id",
)  # fmt: skip


@rules(
    CelRule(
        "has(self.value) != has(self.secretKeyRef)",
        "a header of a cloud needs exactly one of value, secretKeyRef",
        lambda header: (header.value is None) != (header.secret_key_ref is None),
    ),
    CelRule(
        f"!(self.name in {list(_OURS)!r} || self.name.startsWith('x-genset-'))",
        "cloud.headers may not hold a header that the router writes itself: take it out",
        lambda header: header.name not in _OURS and not header.name.startswith("x-genset-"),
    ),
)
class CloudHeader(ApiModel):
    """One header that a cloud's requests have."""

    name: str = Field(
        pattern=r"^[a-z0-9!#$%&'*+\-.^_`|~]+$",
        min_length=1,
        max_length=128,
        examples=["x-team"],
        description="Name, in small letters.",
    )
    value: str | None = Field(
        default=None,
        pattern=r"^[!-~]([ -~]*[!-~])?$",
        min_length=1,
        max_length=1024,
        examples=["gold"],
        description="Value that anybody who reads the policy may see.",
    )
    secret_key_ref: SecretKeyRef | None = Field(
        default=None, description="Key of a Secret with the value. Only the router sees it."
    )
