"""Hops end loops of sites that fail over to each other: a router refuses what has passed its own site before.

Each router adds its site to the header `x-genset-hops`. A site is all routers of one RoutePolicy: the operator derives
its id from the policy's uid, which no other cluster has; a router without an operator is a site of its own. Ids do not
tell whose they are, and go only to servers that may be routers (an external deployment, a cloud at a URL that is not its
provider's own), never to a provider's own servers. Pure, except for `new_site`.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import Final

from genset.router.errors import ErrorAnswer, error

HOPS_HEADER: Final = b"x-genset-hops"
MOST_SITES: Final = 4  # sites that a request may pass; the next one refuses it
MOST_BYTES: Final = 256  # longest header
_SITES: Final = re.compile(rb"[ \t]*[0-9A-Za-z_-]{1,32}[ \t]*(?:,[ \t]*[0-9A-Za-z_-]{1,32}[ \t]*)*")


def site_of(uid: str) -> str:
    """Returns the site id of all routers of the policy with this uid."""
    return sha256(f"genset site {uid}".encode()).hexdigest()[:12]


def new_site() -> bytes:
    """Returns an id for the site of a router that nobody has given one."""
    return secrets.token_hex(6).encode()


def header_for(given: bytes | None, own: bytes) -> bytes:
    """Returns the header line for a backend. `given` is the header of the request, which `refusal` has accepted."""
    if given is None:
        return b"x-genset-hops: %b\r\n" % own
    return b"x-genset-hops: %b,%b\r\n" % (b",".join(_sites(given)), own)


def refusal(given: bytes | None, own: bytes) -> ErrorAnswer | None:
    """Returns why this site does not serve a request with this header; None if it does."""
    if given is None:
        return None
    if len(given) > MOST_BYTES or _SITES.fullmatch(given) is None:
        return error("caller_bad_request", "the header x-genset-hops is malformed: only routers set it, remove it")
    sites = _sites(given)
    way = b" > ".join([*sites, own]).decode()
    if own in sites:
        return error("router_loop", f"the request has come back to a site that had passed it on; its way: {way}")
    if len(sites) >= MOST_SITES:
        return error(
            "router_loop", f"the request has passed {len(sites)} sites, and {MOST_SITES} are the most; its way: {way}"
        )
    return None


def _sites(given: bytes) -> list[bytes]:
    return [site.strip() for site in given.split(b",")]
