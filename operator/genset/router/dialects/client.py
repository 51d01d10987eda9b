"""The seam for clients: what an API other than OpenAI's chat is read into, and how its clients are answered.

Inside the router every request is the JSON of OpenAI's chat, and every answer its JSON or its events, whatever the client
speaks. A client's dialect translates at the edge: the request on its way in, and the answer, its signs of life and its errors
on their way out. A client that speaks OpenAI's own format has no writer, and nothing of this is run for it.

If a server speaks the client's own API, a request goes there as its client wrote it, and the server's events go to the client as
they came (`NativeCall`, `Tape`). The router reads along in OpenAI's form: what is held back, broken off or finished there is so
for the client's API, too. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from genset.router.dialects.base import Dialect
from genset.router.dialects.tape import Tape
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
    def passes(self, tape: Tape | None) -> None:
        """An attempt begins: what its server sends in the client's own API is on the tape; None if it speaks another one."""

    @abstractmethod
    def tells_asked_model(self) -> None:
        """From here on answers tell the name of the model that was asked for, and not the one that a backend gives."""

    @abstractmethod
    def may_go_on(self) -> bool:
        """Returns whether another server may write on in what the client has of a server's own events."""

    @abstractmethod
    def expects(self, prompt_tokens: int, *, passes: bool) -> None:
        """Takes the estimate of the prompt's tokens, for events that tell them before any upstream has counted.

        `passes`: a server may answer in the client's own API, with ids of its own.
        """

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

    def instead_of_error(self, answer: ErrorAnswer) -> bytes | None:
        """Returns what the client gets although nobody could answer; None for the error."""
        return None

    @abstractmethod
    def error(self, answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None) -> Told:
        """Returns an error. `room`: tokens of the prompt, and those that there is room for, if the prompt is too long."""


class NativeCall(ABC):
    """A native call is one request in its client's own words.

    `wire`: the API by its name, as targets have it. `bound`: why no server of another API can answer the request; None if it can
    be translated. `rebuildable`: a whole answer can be put together from events. `places`: the field by which the request says
    where in the world a server of its API is to answer it; "" if it does not.
    """

    wire: str
    bound: RefusedRequest | None
    rebuildable: bool
    places: str

    @abstractmethod
    def said(self) -> dict[str, Any]:
        """Returns the request as its client wrote it: what may leave the house is decided on what leaves it."""

    def bind(self, refused: RefusedRequest) -> None:
        """Takes note that the request cannot be translated."""
        self.bound = refused

    def relents(self, words: str) -> str:
        """Returns in which other way a server is asked that has refused the request in these words; "" if in none."""
        return ""

    @abstractmethod
    def attempt(self, tape: Tape) -> Dialect:
        """Returns the dialect of one attempt at a server that speaks the client's API; what the server sends gets on the tape."""


class ClientDialect(ABC):
    """A client dialect is one API that clients speak, by the name `wire`. It has no state of its own."""

    wire: str

    @abstractmethod
    def request(self, body: dict[str, Any], now: float) -> tuple[dict[str, Any], ClientWriter]:
        """Returns the request in OpenAI's form, and who writes its answer. `body` is not changed. Raises RefusedRequest.

        `now`: seconds since 1970.
        """

    @abstractmethod
    def native(self, body: dict[str, Any], raw: bytes, headers: dict[bytes, bytes]) -> NativeCall | None:
        """Returns the request for servers that speak this API, too; None if it has to be translated even for them.

        `body` was read from `raw`; `headers` are the client's.
        """

    @abstractmethod
    def outline(self, body: dict[str, Any]) -> tuple[dict[str, Any], ClientWriter]:
        """Returns what the router has to know of a request that cannot be translated, and who writes its answer."""

    @abstractmethod
    def counted(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the request whose prompt is to be counted, in OpenAI's form. Raises RefusedRequest."""

    @abstractmethod
    def count_call(self, raw: bytes, headers: dict[bytes, bytes]) -> NativeCall:
        """Returns the question how many tokens a prompt has, for servers that speak this API, too."""

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
