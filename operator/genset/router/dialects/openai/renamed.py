"""Writes answers in OpenAI's own form that tell the model by the name that was asked for, where a route says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from genset.router.dialects.client import ClientWriter, Told
from genset.router.dialects.openai.chunks import Chunks
from genset.router.dialects.openai.events import DONE
from genset.router.dialects.tape import Tape
from genset.router.dialects.tolerant import dumps, loads_exactly
from genset.router.errors import ErrorAnswer, ErrorKind, in_band

_MODEL: Final = "model"


@final
class RenamedWriter(ClientWriter):
    """A renamed writer changes nothing but the name of the model, which is `model`."""

    __slots__ = ("_chunks", "_ended", "_model", "dropped", "marked")

    def __init__(self, model: str) -> None:
        self._model = model
        self._chunks = Chunks()
        self._ended = False
        self.dropped: tuple[str, ...] = ()
        self.marked = False

    def tells_asked_model(self) -> None:
        """It does so anyway."""

    def passes(self, tape: Tape | None) -> None:
        """Nothing passes as it is."""

    def may_go_on(self) -> bool:
        return True

    def expects(self, prompt_tokens: int, *, passes: bool) -> None:
        """Nothing is told of that."""

    def events(self, data: bytes) -> bytes:
        out = [
            b"data: %b\n\n" % dumps({**chunk, _MODEL: self._model} if _MODEL in chunk else chunk)
            for chunk in self._chunks.feed(data)
        ]
        if self._chunks.done and not self._ended:
            self._ended = True
            out.append(DONE)
        return b"".join(out)

    def sign_of_life(self) -> bytes:
        return b": waiting\n"

    def broken(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bytes:
        return in_band(kind, message, attempts, partial=partial)

    def whole(self, body: bytes) -> bytes:
        said = loads_exactly(body)
        if not isinstance(said, dict) or _MODEL not in said:
            return body
        return dumps({**said, _MODEL: self._model})

    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        return Told(answer.status, answer.body())
