"""Signs of life are what a client hears while its stream does not go on. A stream goes on if it brings tokens."""

from __future__ import annotations

from typing import final

from genset.router.machine.decisions import COLD, FULL, Phase, Wait
from genset.router.machine.machine import RequestMachine


def words_for(machine: RequestMachine, waiting: Wait | None, since: float, *, begun: bool, silent: float) -> bytes:
    """Returns the comment that is due; empty if none is.

    `waiting`: what the request waits for, and `since` for how many seconds. `begun`: the client has the head of the
    stream. `silent`: seconds since the client last heard anything.
    """
    timeouts = machine.facts.timeouts
    if waiting is not None:
        if waiting.reason == COLD:
            return b"waking"
        # A line is short, so its end can be a 429, which it no longer can after a comment.
        return b"waiting" if waiting.reason != FULL or begun or since >= timeouts.quiet else b""
    if machine.phase < Phase.COMMIT and machine.continuing:
        return b"failing over"
    return b"working" if machine.phase <= Phase.FINISH and silent >= timeouts.working else b""


@final
class Progress:
    """Progress tells whether a running stream brings tokens: events without any do not keep it alive for ever."""

    __slots__ = ("_at", "_reply", "_tokens")

    def __init__(self, now: float) -> None:
        self._at = now
        self._reply: object = None
        self._tokens = 0

    def rests(self) -> None:
        """The client takes nothing, so that nothing comes: the next look begins anew."""
        self._reply = None

    def last_look(self) -> float:
        """Returns when it was looked at last, in seconds of the router's clock."""
        return self._at

    def look(self, now: float, reply: object, tokens: int | None) -> float | None:
        """Notes the tokens of the running reply; None if it is no running stream.

        Returns since when none has come, if none has since the last look.
        """
        before, at, had = self._reply, self._at, self._tokens
        self._at, self._reply = now, None
        if tokens is None:
            return None
        self._reply, self._tokens = reply, tokens
        return at if before is reply and had == tokens else None
