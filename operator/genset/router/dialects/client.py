"""The seam for clients: what an API other than OpenAI's chat is read into, and how its clients are answered.

Inside the router every request is the JSON of OpenAI's chat, and every answer its JSON or its events, whatever the client
speaks. A client's dialect translates at the edge: the request on its way in, and the answer, its signs of life and its errors
on their way out. A client that speaks OpenAI's own format has no writer, and nothing of this is run for it. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from genset.router.errors import VOCABULARY, ErrorAnswer, ErrorKind


class RefusedRequest(ValueError):
    """A request cannot be served. The message names the field and the remedy; `field` is the field alone."""

    def __init__(self, field: str, message: str, word: str = "caller_bad_request") -> None:
        super().__init__(message)
        self.field = field
        self.word = word

    def answer(self) -> ErrorAnswer:
        """Returns the error that the client gets."""
        return ErrorAnswer(VOCABULARY[self.word], str(self), param=self.field or None)


class Told(NamedTuple):
    """An error as a client of this dialect is told it."""

    status: int
    body: bytes


class ClientWriter(ABC):
    """A client writer writes what one request is answered with. Its ids are made once, however many backends are asked.

    `dropped` names the fields that were left out, for the header `x-genset-dropped`. `marked`: the request in OpenAI's form has
    marks that only Anthropic's servers read (see `marks`).
    """

    dropped: tuple[str, ...]
    marked: bool

    @abstractmethod
    def expects(self, prompt_tokens: int) -> None:
        """Takes the estimate of the prompt's tokens, for events that tell them before any upstream has counted."""

    @abstractmethod
    def events(self, data: bytes) -> bytes:
        """Returns this dialect's events for OpenAI's, which may be cut anywhere; b"" if nothing is to be told yet."""

    @abstractmethod
    def sign_of_life(self) -> bytes:
        """Returns an event that says that the answer is still awaited."""

    @abstractmethod
    def broken(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bytes:
        """Returns the last event of a stream that ends before its answer does. The body then stays unterminated.

        `partial`: the client has a part of the answer.
        """

    @abstractmethod
    def whole(self, body: bytes) -> bytes:
        """Returns a whole answer in this dialect. `body` is OpenAI's. Raises ValueError if it is no answer."""

    @abstractmethod
    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        """Returns an error. `room`: tokens of the prompt, and those that there is room for, if the prompt is too long."""


class ClientDialect(ABC):
    """A client dialect is one API that clients speak. It has no state of its own."""

    @abstractmethod
    def request(self, body: dict[str, Any], now: float) -> tuple[dict[str, Any], ClientWriter]:
        """Returns the request in OpenAI's form, and who writes its answer. `body` is not changed. Raises RefusedRequest.

        `now`: seconds since 1970.
        """

    @abstractmethod
    def counted(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the request whose prompt is to be counted, in OpenAI's form. Raises RefusedRequest."""

    @abstractmethod
    def count(self, tokens: int) -> bytes:
        """Returns the answer to a request that only asks how many tokens its prompt has."""

    @abstractmethod
    def error(self, answer: ErrorAnswer, identity: bytes) -> Told:
        """Returns an error about a request that nobody has read, or could read."""


class ClientPath(NamedTuple):
    """A client path is one call of a client's API. `counts`: it asks only how many tokens its prompt has."""

    path: bytes
    dialect: ClientDialect
    counts: bool = False

    @property
    def asked(self) -> str:
        """Returns method and path, as the access log shows them."""
        return f"POST {self.path.decode()}"
