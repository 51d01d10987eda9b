"""Unpacks compressed bodies of requests within a bound that follows from what was sent, or refuses them."""

from __future__ import annotations

from typing import Final

from genset.router.errors import ErrorAnswer, error
from genset.router.http.codings import ACCEPTED, CodingError, TooLargeError, UnknownCodingError, unpacked
from genset.router.http.holder import Holder
from genset.router.http.refusals import TOO_MUCH_SENT
from genset.router.http.request import Request
from genset.router.http.scarce import make_room
from genset.router.shared import Shared

FREE_BYTES: Final = 256 * 1024  # that any request may unpack to
MOST_RATIO: Final = 50  # beyond these, of unpacked to received; prompts are packed 3 to 30 times


def unpack(shared: Shared, client: Holder, request: Request) -> ErrorAnswer | None:
    """Puts the plain body in place of the compressed one of a client's request in work; or says why that cannot be."""
    coded = len(request.body)
    problem = plain_body(request, shared.configured.most_body_bytes)
    more = len(request.body) - coded
    request.held += more
    shared.budget.take(request.payer, more)
    make_room(shared, request.payer, client)
    if problem is None and shared.budget.is_over(request.payer):
        problem = TOO_MUCH_SENT
    return problem


def plain_body(request: Request, limit: int) -> ErrorAnswer | None:
    """Unpacks the body of a request in its place, to no more than `limit` bytes; or says why that cannot be."""
    most = FREE_BYTES + MOST_RATIO * len(request.body)
    try:
        request.body = unpacked(request.coding, request.body, min(most, limit))
    except UnknownCodingError as unknown:
        told = f"the request body is {unknown}; there are {ACCEPTED.decode()}, one at a time"
        return error("caller_unsupported_encoding", told)
    except TooLargeError:
        told = f"exceeds {limit} bytes (limits.maxBody)"
        if most < limit:
            told = f"unpacks to more than {MOST_RATIO} times its size and {FREE_BYTES >> 10} KiB; send it plain"
        return error("caller_body_too_large", f"the request body {told}")
    except CodingError as problem:
        return error("caller_bad_request", f"the request has a body {problem}")
    return None
