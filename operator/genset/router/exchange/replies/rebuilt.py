"""A reply that was asked for as a stream, although the client wants a whole answer, which is rebuilt from it."""

from __future__ import annotations

from typing import final

from genset.router.backends.outcomes import Failure
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.reading import ReadingReply
from genset.router.machine.decisions import Phase


@final
class RebuiltReply(ReadingReply):
    """The client sees nothing of the stream: whatever goes wrong with it is a failure like any other."""

    __slots__ = ("_rebuild",)

    def __init__(self, handler: ReplyHandler, reader: Rebuild) -> None:
        super().__init__(handler, reader)
        self._rebuild = reader

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
