"""Follows the choices of one answer from event to event, until each of them is finished. Pure."""

from __future__ import annotations

from typing import Any, Final, final

from genset.router.dialects.openai.events import BadEventError, has_token, index_of
from genset.router.dialects.openai.in_band import error_in

_NONE: Final[frozenset[int]] = frozenset()
_FIRST: Final = frozenset({0})  # index of the choice of an answer that has but one


@final
class Choices:
    """Choices are those of one answer: which have come, which have had a finish_reason, and which have gone on behind it.

    `finished`: every choice that was asked for has had its finish_reason, and nothing of the answer has come after it.
    `wrote_on`: something of the answer has come after a finish_reason.
    """

    __slots__ = ("_asked", "_bad_finishes", "_closed", "_reopened", "_seen", "finished", "wrote_on")

    def __init__(self, asked: int, bad_finishes: frozenset[str]) -> None:
        self._asked = asked
        self._bad_finishes = bad_finishes  # finish_reasons by which a provider says that it broke off
        self._seen = _NONE  # indexes that have come
        self._closed = _NONE  # of these, those that have had a finish_reason
        self._reopened = _NONE  # and of these, those that have gone on since
        self.finished = False
        self.wrote_on = False

    @property
    def is_single(self) -> bool:
        """Returns whether one choice was asked for."""
        return self._asked == 1

    @property
    def any_closed(self) -> bool:
        """Returns whether a choice has had its finish_reason."""
        return bool(self._closed)

    @property
    def all_closed(self) -> bool:
        """Returns whether each choice that has come has had a finish_reason, however many were asked for."""
        return bool(self._closed) and self._seen <= self._closed

    @property
    def all_at_rest(self) -> bool:
        """Returns whether each choice that has come has had a finish_reason, and none has gone on behind it."""
        return self.all_closed and not self._reopened

    def take(self, choices: list[Any]) -> tuple[bool, bool]:
        """Returns whether one of an event's choices finishes, and whether one brings a part of the answer.

        A finish_reason of "", 0 or false is none. What comes after a real one opens the answer again: servers have put
        "stop" into every event, or a tool call behind it. Raises BadEventError.
        """
        closing = token = False
        for choice in choices:
            if not isinstance(choice, dict):
                raise BadEventError("sent a choice that is no object")
            index = choice.get("index") or 0
            if not isinstance(index, int):
                index = index_of(choice)
                if index is None:
                    raise BadEventError("sent a choice whose index is no number")
            if index not in self._seen:
                self._seen |= {index}
            if has_token(choice):
                token = True
                if index in self._closed:
                    self.wrote_on = True
                    self._reopened |= {index}
            reason = choice.get("finish_reason")
            if reason:
                if isinstance(reason, str) and reason in self._bad_finishes:
                    said = error_in({"error": choice.get("error")})  # OpenRouter
                    error = said or {"message": f"finish_reason {reason}", "code": reason}
                    raise BadEventError(f"gave up with finish_reason {reason}", error)
                self._closed |= {index}
                self._reopened -= {index}
                closing = True
        if self._closed:
            self.finished = len(self._closed) >= self._asked and self.all_at_rest
        return closing, token

    def open_first(self) -> None:
        """Takes an event that opens the only choice, without a look into it."""
        self._seen = _FIRST

    def close_first(self) -> None:
        """Takes an event that finishes the only choice, without a look into it."""
        self._closed = _FIRST
        self.finished = True

    def finish(self) -> None:
        """Takes the server's word that every choice is complete, because it has ended its stream."""
        self.finished = True

    def reopen(self) -> None:
        """Takes note that a part of the answer was none after all, so that the answer is not finished."""
        self.finished = False
