"""What an attempt has used that was a stream, or that ended before its answer was whole."""

from __future__ import annotations

from genset.pricing.used import Used, used_of
from genset.router.exchange.handler import ReplyHandler
from genset.router.exchange.replies.base import Reply
from genset.router.exchange.spending import Spent, is_billed, stream_used
from genset.router.machine.decisions import Phase


def attempt_spent(handler: ReplyHandler, reply: Reply | None, outcome: str) -> Spent:
    """Returns what the running attempt has used, at its end or at its break: as its backend told, or else as it was counted.

    `reply`: that of the last attempt that was sent.
    """
    machine, record = handler.machine, handler.record
    candidate = machine.candidates.current().candidate
    if machine.phase < Phase.HEADERS or reply is None or not is_billed(reply.status, outcome):
        return Spent(candidate, outcome, Used(), estimated=False, given=False)
    given = record.stream and handler.client_answer.head_sent and machine.phase >= Phase.COMMIT
    usage = reply.usage_object()
    if usage is not None:
        used = stream_used(usage, local=candidate.backend.local)
        return Spent(candidate, outcome, used, estimated=False, given=given)
    told, sent = reply.prompt_usage(), handler.request.sent
    used = used_of(told) if told is not None else Used()
    # What had come from others stands in its prompt, and is not its own.
    made = max(0, (reply.tokens()[1] if sent is None else sent.tokens) - record.booked)
    used.counted(machine.input_tokens + record.booked, made, untold=reply.is_passed)
    return Spent(candidate, outcome, used, estimated=True, given=given)
