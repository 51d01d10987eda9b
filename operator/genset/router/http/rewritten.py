"""Puts another body in place of a request's own, and counts what the router holds for it."""

from __future__ import annotations

from genset.router.http.request import Request
from genset.router.shared import Shared


def rewrite(shared: Shared, request: Request, body: bytes, *, kept: bool = False) -> None:
    """Puts the body that the backends get in place of the one in which the client's API says the same.

    `kept`: somebody holds that one, too, for backends that speak the client's API.
    """
    more = len(body) - (0 if kept else len(request.body))
    request.body = body
    request.held += more
    shared.budget.take(request.payer, more)
