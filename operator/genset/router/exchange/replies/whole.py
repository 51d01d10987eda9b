"""A reply to a request that was not asked for as a stream: it is collected, and judged when it is complete."""

from __future__ import annotations

from typing import final

from genset.router.dialects.openai.events import begins_stream
from genset.router.exchange.replies.base import Reply


@final
class WholeReply(Reply):
    """The upstream's answer goes to the client as it came, in one piece."""

    __slots__ = ()

    def _read(self, data: bytes) -> None:
        self._collect(data)

    def _ended(self, verified: bool) -> None:
        self._whole(verified and not self.coded)

    def _is_stream_unasked(self, body: bytes, verified: bool) -> bool:
        if not begins_stream(body):
            return False
        reader = self._handler.request.rebuilder(self._handler.backend)
        reader.feed(body)
        if not (reader.done or reader.failed):
            reader.end(verified)
        if reader.failed and not reader.finished:
            self._failed_unbegun(reader)
        else:
            self._answer_rebuilt(reader)
        return True
