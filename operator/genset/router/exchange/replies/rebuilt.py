"""A reply that was asked for as a stream, although the client wants a whole answer, which is rebuilt from it."""

from __future__ import annotations

from typing import Final, final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.base import RESPONSE_BYTES
from genset.router.exchange.replies.reading import ReadingReply
from genset.router.machine.decisions import Phase

#: Of a stream. Longer ones count among what is held for clients, with all of their bytes: up to here they are nearly all
#: frames around a few letters, and 16,000 tokens are here.
UNCOUNTED_BYTES: Final = 4 * 1024 * 1024


@final
class RebuiltReply(ReadingReply):
    """The client sees nothing of the stream: whatever goes wrong with it is a failure like any other."""

    __slots__ = ("_rebuild", "_streamed_bytes")

    def __init__(self, handler: ReplyHandler, reader: Rebuild) -> None:
        super().__init__(handler, reader)
        self._rebuild = reader
        self._streamed_bytes = 0

    def _read_events(self, data: bytes) -> None:
        self._streamed_bytes += len(data)
        if self._streamed_bytes <= UNCOUNTED_BYTES or self._has_room(self._streamed_bytes):
            super()._read_events(data)

    def _has_room(self, size: int) -> bool:
        """Returns whether so much may be kept of an answer. If not, the exchange has been told."""
        handler = self._handler
        if size > RESPONSE_BYTES:
            handler.failed(
                Failure(Outcome.INVALID_RESPONSE, f"sent an answer of more than {RESPONSE_BYTES} bytes", 200)
            )
            return False
        return handler.client_answer.client.collects(size)

    def _take(self, out: bytes) -> bool:
        handler = self._handler
        now = handler.shared.now()
        if handler.machine.phase < Phase.COMMIT:
            handler.record.first_came(now)
            handler.machine.committed(now)  # from here on it is a stall that ends the attempt
        else:
            handler.machine.went_on(now)
        return True

    def _done(self, *, add_done: bool) -> None:
        self._answer_rebuilt(self._rebuild)

    def _cut(self, failure: Failure) -> None:
        self._handler.failed(failure)

    def _failed(self, reader: StreamReader) -> None:
        self._failed_unbegun(reader)
