"""What replies have in common whose events go on to the client: they break off where the client sees it."""

from __future__ import annotations

from dataclasses import replace

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.openai.unrolled import unrolled
from genset.router.exchange.replies.reading import ReadingReply
from genset.router.machine.classify import classify_in_band
from genset.router.machine.decisions import FAILED_INSIDE, INTERRUPTED, Phase


class SentReply(ReadingReply):
    """A reply to a client that wants a stream."""

    __slots__ = ()

    def _take_whole(self, body: bytes) -> None:
        try:
            stream = unrolled(body, chat=self._handler.request.api.chat)
        except ValueError:
            self._handler.failed(Failure(Outcome.INVALID_RESPONSE, "sent an answer of an unknown form", 200))
        else:
            self._read_unrolled(stream)

    def _cut(self, failure: Failure) -> None:
        self._handler.broke(failure, INTERRUPTED)

    def _failed(self, reader: StreamReader) -> None:
        if self._handler.machine.phase < Phase.COMMIT:
            self._failed_unbegun(reader)
            return
        failure, kind = Failure(Outcome.INVALID_RESPONSE, reader.fault), INTERRUPTED
        if reader.error is not None:
            said = classify_in_band(reader.error, reader.fault)
            failure, kind = replace(failure, body=said.body, words=said.words), FAILED_INSIDE
        self._handler.broke(failure, kind)
