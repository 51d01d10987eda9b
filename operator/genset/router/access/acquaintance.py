"""An acquaintance is whoever has shown a key on a connection: it is known by it, until something else is shown."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import final

from genset.router.access.consumer import Consumer
from genset.router.access.consumers import Consumers
from genset.router.access.shown_keys import all_shown
from genset.router.errors import ErrorAnswer


@final
class Acquaintance:
    """An acquaintance spares the digest of what clients show again with each request of a connection.

    Keys alone are remembered, as long as they are keys (`Consumers.digests`): a token has its time. Clients of a proxy may
    share a connection: how long a comparison takes may say nothing of another one's key.
    """

    __slots__ = ("_consumer", "_digests", "_shown")

    def __init__(self) -> None:
        self._consumer: Consumer | None = None
        self._digests: Mapping[bytes, Consumer] | None = None
        self._shown = b""

    def who(self, consumers: Consumers, headers: dict[bytes, bytes]) -> Consumer | ErrorAnswer:
        """Returns what `consumers` say of a request with these headers."""
        shown = all_shown(headers)
        known = self._consumer
        if known is not None and self._digests is consumers.digests and compare_digest(shown, self._shown):
            return known
        found = consumers.who(headers)
        if isinstance(found, Consumer) and found.has_keys:
            self._consumer, self._digests, self._shown = found, consumers.digests, shown
        return found
