"""A late answer is an error that its client gets after a while, because it has tried too many keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from genset.router.errors import ErrorAnswer
from genset.router.http.holder import Work


@final
class LateAnswer(Work):
    """A late answer keeps its connection busy, so that the next trial over it waits, too.

    `tell` gives the client an error; `left` hears of one that has gone without it. `ended` is called once, when the wait is over.
    """

    __slots__ = ("_answer", "_ended", "_left", "_tell", "_timer")

    def __init__(
        self,
        tell: Callable[[ErrorAnswer], None],
        left: Callable[[ErrorAnswer], None],
        answer: ErrorAnswer,
        ended: Callable[[], None],
    ) -> None:
        self._tell = tell
        self._left = left
        self._answer = answer
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Answers after so many seconds."""
        self._timer = loop.call_later(seconds, self._answer_now)

    def _answer_now(self) -> None:
        if self._stop():
            self._tell(self._answer)

    def _stop(self) -> bool:
        """Ends the wait. Returns whether it was not over yet."""
        timer, self._timer = self._timer, None
        if timer is None:
            return False
        timer.cancel()
        self._ended()
        return True

    def give_up(self, answer: ErrorAnswer) -> None:
        if self._stop():
            self._tell(answer)

    def client_gone(self) -> None:
        if self._stop():
            self._left(self._answer)

    def client_slow(self) -> None:
        """Has nothing to slow down."""

    def client_caught_up(self) -> None:
        """Has nothing to go on with."""
