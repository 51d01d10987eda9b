"""The seam for wire formats: what a provider that does not speak OpenAI's is asked with, and how its answers are read.

Everywhere else in the router a request is the JSON of OpenAI's API, and an answer its JSON or its events. A dialect
translates at the edge, in both directions. A provider without one speaks OpenAI's format: nothing is translated then,
and nothing of this is run. Pure.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from genset.router.dialects.openai.api import Api


class Untranslatable(ValueError):
    """The dialect has no word for what a request wants. The message names the field, for whoever sent the request."""


class Asked(NamedTuple):
    """A request in a dialect. `path` follows the backend's base path; `headers` are whole lines, each with its CRLF.

    `dropped` names the fields that were left out because the backend has nothing like them: the client is told.
    """

    path: str
    headers: bytes
    body: bytes
    dropped: tuple[str, ...] = ()


class StreamTranslator(Protocol):
    """Makes OpenAI's events of one answer that was asked for as a stream.

    Any cutting of the same bytes gives the same events. What comes in place of a stream, a whole answer or an error, is
    given as OpenAI's JSON. ValueError: the bytes are no answer in this dialect; the message says why.
    """

    def feed(self, data: bytes) -> bytes:
        """Returns what the next bytes of the body add: whole events, or nothing."""

    def end(self) -> bytes:
        """The body has ended cleanly. Returns what is still to be told."""

    def used(self) -> dict[str, Any] | None:
        """Returns what has been told of the prompt's tokens before the end, as OpenAI's usage; None if nothing was."""


class Dialect(Protocol):
    """One wire format, for all requests: it has no state of its own."""

    def request(self, api: Api, body: dict[str, Any]) -> Asked:
        """Returns the request as the provider wants it. `body` is OpenAI's, with the backend's model; it is not changed.

        Raises Untranslatable.
        """

    def stream(self, api: Api, created: int) -> StreamTranslator:
        """Returns the translator of one answer to a request with `"stream": true`.

        `created` is the time of day, in seconds since 1970, which OpenAI's answers tell.
        """

    def answer(self, api: Api, body: bytes, created: int) -> bytes:
        """Returns a whole answer in OpenAI's JSON. Raises ValueError with a reason if it is none."""

    def error(self, status: int, body: bytes) -> bytes:
        """Returns the body of an answer with an error status in OpenAI's JSON, or as it is if it is none."""
