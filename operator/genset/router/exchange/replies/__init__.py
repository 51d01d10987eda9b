"""The kinds of replies: whole, streamed, continued, rebuilt, passed. Which one it is follows from how the upstream was asked."""

from __future__ import annotations

from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.base import Reply
from genset.router.exchange.replies.continued import ContinuedReply
from genset.router.exchange.replies.passed import PassedReply
from genset.router.exchange.replies.rebuilt import RebuiltReply
from genset.router.exchange.replies.streamed import StreamedReply
from genset.router.exchange.replies.whole import WholeReply


def reply_for(handler: ReplyHandler, reader: StreamReader | None, splice: Splice | None) -> Reply:
    """Returns the reply that an attempt awaits. `reader` is None if no stream was asked for; `splice` if none broke."""
    if reader is None:
        return PassedReply(handler) if handler.request.api.passes else WholeReply(handler)
    if isinstance(reader, Rebuild):
        return RebuiltReply(handler, reader)
    assert isinstance(reader, Forward)
    if splice is None:
        return StreamedReply(handler, reader)
    return ContinuedReply(handler, reader, splice)
