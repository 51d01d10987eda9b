"""Headers that pass through the router: a client's on their way to backends, and what backends call a request."""

from __future__ import annotations

from typing import Final

#: What providers call the request, best known first.
REQUEST_ID_HEADERS: Final = (
    b"x-request-id", b"request-id", b"apim-request-id", b"x-ms-request-id", b"x-amzn-requestid", b"x-generation-id",
    b"cf-ray",
)  # fmt: skip

#: Client headers that go upstream, by the name under which a policy lets them go to a cloud. All others stay here: they
#: speak to the router, or of the caller, and none may choose the account that a request is booked on.
REQUEST_HEADERS: Final = {
    "Trace": (b"traceparent", b"tracestate"),
    "Idempotency": (b"idempotency-key",),
    "Attribution": (b"http-referer", b"x-title"),
}

#: What goes to servers of the house, and may be asked for on the way to any other.
HOUSE_REQUEST_HEADERS: Final = (*REQUEST_HEADERS["Trace"], *REQUEST_HEADERS["Idempotency"])
