"""What is spoken between a client and the backend of the running attempt, if it is not OpenAI's format on both sides."""

from __future__ import annotations

from typing import Any, final

from genset.router.backends.target import Target
from genset.router.dialects.base import Dialect, Untranslatable
from genset.router.dialects.client import ClientWriter, NativeCall
from genset.router.dialects.seals import (
    UNSEALED,
    UNTHINKING,
    demands_thoughts,
    refuses_seals,
    without_seals,
    without_thinking,
)
from genset.router.dialects.tape import Tape


@final
class Spoken:
    """A Spoken is that of one request.

    `writer` is that of a client that speaks another API, `native` its request for servers of that API. `dialect` is what the
    backend of the running attempt is asked in; None for OpenAI's format. `passes`: the client's own words go there.
    """

    __slots__ = ("_demands_thoughts", "_refuses_seals", "_target", "dialect", "native", "passes", "writer")

    def __init__(self, writer: ClientWriter | None = None, native: NativeCall | None = None) -> None:
        self.writer = writer
        self.native = native
        self.dialect: Dialect | None = None
        self.passes = False
        self._target: Target | None = None  # of the running attempt
        #: Who has refused seals of thoughts, and who demands thoughts that nobody has.
        self._refuses_seals: Target | None = None
        self._demands_thoughts: Target | None = None

    def may_go_on(self) -> bool:
        """Returns whether another backend may write on in what the client has of an answer."""
        return (self.native is None or self.native.bound is None) and (self.writer is None or self.writer.may_go_on())

    def begin(self, target: Target, *, continues: bool) -> None:
        """Decides how a backend is asked. `continues`: the client has a part of an answer.

        Nobody's answer is written on in the client's own words: what the client has of it stands in OpenAI's form alone.
        Raises Untranslatable.
        """
        native, writer = self.native, self.writer
        self._target = target
        self.dialect = target.dialect
        self.passes = False
        if writer is None:
            return
        if native is None or continues or target.wire != native.wire:
            if native is not None and native.bound is not None:
                raise Untranslatable(str(native.bound))
            writer.passes(None)
            return
        tape = Tape()
        writer.passes(tape)
        self.dialect = native.attempt(tape)
        self.passes = True

    def rebuilds(self) -> bool:
        """Returns whether a whole answer may be asked for as a stream."""
        return not self.passes or self.native is None or self.native.rebuildable

    def relents(self, words: str, request: dict[str, Any]) -> str:
        """Returns in which other way the backend is asked that has refused a request in these words; "" if in none.

        `request` is the client's, in OpenAI's form.
        """
        if self.passes:
            return self.native.relents(words) if self.native is not None else ""
        if refuses_seals(words) and self._target is not self._refuses_seals and without_seals(request) is not request:
            self._refuses_seals = self._target
            return UNSEALED
        if (
            demands_thoughts(words)
            and self._target is not self._demands_thoughts
            and without_thinking(request) is not request
        ):
            self._demands_thoughts = self._target
            return UNTHINKING
        return ""

    def fitted(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns a request in OpenAI's form without what the backend has refused; the same object if that was nothing."""
        if self._target is self._refuses_seals:
            request = without_seals(request)
        return without_thinking(request) if self._target is self._demands_thoughts else request

    def is_marked(self) -> bool:
        """Returns whether the request holds marks that the backend must not see."""
        return self.dialect is None and self.writer is not None and self.writer.marked

    def dropped(self) -> tuple[str, ...]:
        """Returns what the request lost on its way into OpenAI's form."""
        return () if self.passes or self.writer is None else self.writer.dropped
