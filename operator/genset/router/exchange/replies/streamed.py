"""A reply whose events go on to the client as they come."""

from __future__ import annotations

from typing import final

from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.transcript import Transcript
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.sent import SentReply
from genset.router.machine.decisions import Phase


@final
class StreamedReply(SentReply):
    """The client's stream from its beginning. A chunk of it, once it runs, costs `forward` and nothing else.

    `began`: when the first byte of the body came, in seconds of the router's clock; 0.0 before.
    """

    __slots__ = ("_forward", "began")

    def __init__(self, handler: ReplyHandler, reader: Forward) -> None:
        super().__init__(handler, reader)
        self._forward = reader
        self.began = 0.0

    def forward(self, chunk: bytes) -> bool:
        """Takes a chunk of the running stream. Returns whether it went on to the client as it is."""
        handler = self._handler
        if not self._forward.passes(chunk):
            return False
        handler.machine.went_on(handler.shared.now())
        handler.client_answer.client.write(chunk)
        return True

    def transcript(self) -> Transcript | None:
        return self._forward.fold()

    @property
    def told_usage(self) -> bool:
        return self._forward.told_usage

    def _begun(self, data: bytes) -> bytes:
        if not self.began:
            self.began = self._handler.shared.now()
        return super()._begun(data)

    def _take(self, out: bytes) -> bool:
        handler = self._handler
        answer, now = handler.client_answer, handler.shared.now()
        answer.last_events = self.reader.marked
        if handler.machine.phase >= Phase.COMMIT:
            handler.machine.went_on(now)
            answer.send_events(out)
        else:
            handler.record.held = now - self.began
            handler.commit(self.headers, out, self.forward if self.as_sent else None, now)
        return True

    def _done(self, *, add_done: bool) -> None:
        self._handler.stream_done(add_done=add_done)
