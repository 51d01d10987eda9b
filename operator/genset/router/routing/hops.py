"""Ends loops of sites that fail over to each other: each router adds its site to `x-genset-hops`, and refuses its own.

A site is all routers of one RoutePolicy: the operator derives its id from the policy's uid, which no other cluster has;
a router without an operator is a site of its own. Ids say nothing of whose they are, and go only to servers that may be
routers (an external deployment, an openAICompatible cloud), never to a provider by name. Pure but for `new_site`.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import Final

from genset.router.errors import ErrorAnswer, error

HOPS_HEADER: Final = b"x-genset-hops"
MOST_SITES: Final = 4  # that a request may pass; a fifth refuses it
MOST_BYTES: Final = 256  # of the header
_SITES: Final = re.compile(rb"[ \t]*[0-9A-Za-z_-]{1,32}[ \t]*(?:,[ \t]*[0-9A-Za-z_-]{1,32}[ \t]*)*")


def site_of(uid: str) -> str:
    """The site of all routers of the policy with this uid."""
    return sha256(f"genset site {uid}".encode()).hexdigest()[:12]


def new_site() -> bytes:
    """The site of a router that nobody has given one."""
    return secrets.token_hex(6).encode()


def header_for(given: bytes | None, own: bytes) -> bytes:
    """The header line that a backend gets. `given`: what the request came with, found good by `refusal`."""
    if given is None:
        return b"x-genset-hops: %b\r\n" % own
    return b"x-genset-hops: %b,%b\r\n" % (b",".join(_sites(given)), own)


def refusal(given: bytes | None, own: bytes) -> ErrorAnswer | None:
    """Why a request that came with this header is not served by this site; None if it is."""
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
