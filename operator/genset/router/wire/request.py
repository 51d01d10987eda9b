"""A client's request, once it has wholly arrived."""

from __future__ import annotations

from typing import Final


class Request:
    """One request as it arrived. Header names are lower case; the last of a repeated header counts."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "version_10")

    def __init__(
        self, method: bytes, path: bytes, headers: dict[bytes, bytes], body: bytes, keep_alive: bool, version_10: bool
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version_10 = version_10


#: Stands in a queue for bytes that were no HTTP: answered in its turn, so that earlier requests get theirs.
BROKEN: Final = Request(b"", b"", {}, b"", False, False)
