"""Some headers pass through the router: a client's on their way up, a backend's request id on its way down."""

from __future__ import annotations

from typing import Final

#: Headers in which providers send their own id of a request, best known first.
REQUEST_ID_HEADERS: Final = (
    b"x-request-id", b"request-id", b"apim-request-id", b"x-ms-request-id", b"x-amzn-requestid", b"x-generation-id",
    b"cf-ray",
)  # fmt: skip

#: Client headers that go upstream, by the name under which a policy allows them for a cloud. All others stop here: they
#: are meant for the router or tell of the caller, and none may choose the account that a request is billed to.
REQUEST_HEADERS: Final = {
    "Trace": (b"traceparent", b"tracestate"),
    "Idempotency": (b"idempotency-key",),
    "Attribution": (b"http-referer", b"x-title"),
}

#: Headers that servers of the house always get; for others a policy has to allow them.
HOUSE_REQUEST_HEADERS: Final = (*REQUEST_HEADERS["Trace"], *REQUEST_HEADERS["Idempotency"])
