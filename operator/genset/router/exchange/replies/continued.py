"""A reply that writes on from what another backend had sent: only what the client does not have yet goes on to it."""

from __future__ import annotations

from typing import final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.forward import Forward
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.sent import SentReply
from genset.router.machine.decisions import INTERRUPTED, Phase


@final
class ContinuedReply(SentReply):
    """The client's stream from a break on. `splice` joins the texts."""

    __slots__ = ("_forward", "_splice", "_told_at")

    def __init__(self, handler: ReplyHandler, reader: Forward, splice: Splice) -> None:
        super().__init__(handler, reader)
        self._forward = reader
        self._splice = splice
        self._told_at = 0.0

    def tokens(self) -> tuple[int, int]:
        return self._splice.tokens()

    def told_at(self) -> float:
        return self._told_at  # what is read of a continuation may all be known to the client

    def _take(self, out: bytes) -> bool:
        handler, splice = self._handler, self._splice
        now = handler.shared.now()
        if handler.machine.phase < Phase.COMMIT:
            handler.record.first_came(now)
            handler.machine.committed(now)  # from here on it is a stall that ends the attempt
        else:
            handler.machine.went_on(now)
        self._forward.let_go()
        new = splice.feed(out)
        if new:
            self._told_at = now
            handler.client_answer.send_events(new)
        if splice.lost:
            self._does_not_join()
        elif splice.complete:
            handler.stream_done(add_done=True)
        else:
            return True
        return False

    def _done(self, *, add_done: bool) -> None:
        splice = self._splice
        out = splice.end()
        if splice.lost:
            self._does_not_join()
            return
        if out:
            self._handler.client_answer.send_events(out)
        self._handler.stream_done(add_done=add_done)

    def _does_not_join(self) -> None:
        """The texts do not fit together, for which nobody is to blame."""
        failure = Failure(Outcome.INVALID_RESPONSE, self._splice.lost)
        self._handler.broke(failure, INTERRUPTED, blame=False)
