"""A request of a client stands here once it has wholly arrived, and which of its headers may be there once only."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Final

from genset.router.access.consumer import Consumer
from genset.router.backends.lines import Rank
from genset.router.decimals import three_decimals

#: What objects take beside the bytes in them, measured: a request, a line of its head.
REQUEST_BYTES: Final = 640
LINE_BYTES: Final = 200


class Request:
    """A request is here as it arrived. Header names are lower case; the last of a repeated header counts.

    `path` is decoded, without the query. `held`: bytes that the router's budget counts for it, in `payer`'s share. `coding`:
    what the body is compressed with; it is unpacked when its turn has come. `consumer` is who asks; None if nobody asks that,
    or until it is known.
    """

    __slots__ = ("body", "coding", "consumer", "headers", "held", "keep_alive", "method", "path", "payer", "version_10")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
        version_10: bool,
        held: int = 0,
        payer: str = "",
        coding: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version_10 = version_10
        self.held = held
        self.payer = payer
        self.coding = coding
        self.consumer: Consumer | None = None

    def is_from(self, consumer: Consumer) -> None:
        """Takes who asks: the key that the request shows is this consumer's."""
        self.consumer = consumer

    @property
    def origin(self) -> str:
        """Returns by whom what is scarce is shared: the consumer, or the address of one that is nobody in particular."""
        consumer = self.consumer
        return self.payer if consumer is None or not consumer.payer else consumer.payer

    @property
    def rank(self) -> int:
        """Returns how urgent it is in lines: as its consumer is."""
        return Rank.NORMAL if self.consumer is None else self.consumer.rank


#: Stands in a queue for bytes that were no HTTP: answered in its turn, so that earlier requests get theirs.
BROKEN: Final = Request(b"", b"", {}, b"", False, False)

#: Headers that decide something. Two of them that differ say two things, and another server may listen to the other one.
DECIDING: Final = frozenset(
    b"host authorization api-key x-api-key content-type content-encoding content-length".split()
)
_OWN: Final = b"x-genset-"


def decides(name: bytes, matched: frozenset[bytes]) -> bool:
    """Returns whether a header decides how a request is treated. `matched`: names that routes look at."""
    return name in DECIDING or name in matched or name.startswith(_OWN)


_OFFERS: Final = (b"upgrade", b"connection", b"http2-settings", b"expect")


def head_without_offers(method: bytes, url: bytes, headers: dict[bytes, bytes]) -> bytes:
    """Writes the same head without its offers of another protocol.

    Offers such as h2c are optional (RFC 9110, 7.8; Java's client makes one with every first request).
    """
    lines = [b"%b: %b\r\n" % pair for pair in headers.items() if pair[0] not in _OFFERS]
    if b"close" in headers.get(b"connection", b"").lower():
        lines.append(b"connection: close\r\n")
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, b"".join(lines))


TIMEOUT_HEADER: Final = b"x-genset-timeout"  # seconds that the client is willing to wait
DEADLINE_HEADER: Final = b"x-genset-deadline"  # seconds that another site's router has left for the request


def patience(headers: Mapping[bytes, bytes], total: float) -> float:
    """Returns how many seconds a request may take: no more than the client, the site that sent it, and the route's `total` say.

    Seconds, and no moment: clocks of sites differ. What makes no sense is as if it were not there; a site that has no time
    left has 0, upon which nobody is asked.
    """
    if DEADLINE_HEADER in headers and (left := _seconds(headers[DEADLINE_HEADER])) is not None:
        total = min(max(left, 0.0), total)
    if TIMEOUT_HEADER in headers and (wanted := _seconds(headers[TIMEOUT_HEADER])) is not None and wanted > 0:
        total = min(wanted, total)
    return total


def deadline_line(left: float) -> bytes:
    """Returns the header line that tells another site's router how many seconds are left."""
    return b"%b: %b\r\n" % (DEADLINE_HEADER, three_decimals(max(left, 0.0)))


def _seconds(header: bytes) -> float | None:
    """Returns a number of seconds; None if it is none."""
    try:
        found = float(header)
    except ValueError:
        return None
    return None if isnan(found) else found


PATH_CHARACTERS: Final = 128


def asked(method: bytes, path: bytes) -> str:
    """Returns method and path as the log shows them. A query may hold a key, so it is left out."""
    if not method and not path:
        return ""
    return f"{method.decode('latin-1')} {path.partition(b'?')[0][:PATH_CHARACTERS].decode('latin-1')}".strip()
