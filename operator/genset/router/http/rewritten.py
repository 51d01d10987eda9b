"""Puts another body in place of a request's own, and counts what the router holds for it."""

from __future__ import annotations

from genset.router.http.request import Request
from genset.router.shared import Shared


def rewrite(shared: Shared, request: Request, body: bytes) -> None:
    """Puts the body that the backends get in place of the one in which the client's API says the same."""
    more = len(body) - len(request.body)
    request.body = body
    request.held += more
    shared.budget.take(request.payer, more)
