"""Answers requests that never became whole, and tells of them, and of those that nobody answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

from genset.router.dialects.clients import dialect_of
from genset.router.errors import FULL_SECONDS, VOCABULARY, ErrorAnswer, error
from genset.router.http.heads import NOSNIFF, reason_phrase
from genset.router.http.origin import Peer
from genset.router.http.pipeline import Pipeline
from genset.router.http.request import BROKEN, asked
from genset.router.http.request_id import request_id
from genset.router.http.request_reader import SLICE_BYTES, RequestReader, Stage
from genset.router.shared import Shared, Unrouted

BROKEN_OFF: Final = error("caller_gone", "the connection ended before the request was answered")
TOO_MUCH_SENT: Final = error("router_overloaded", "the router holds too many request bodies", retry_after=FULL_SECONDS)
NO_DESCRIPTOR: Final = error("router_overloaded", "the router has too many connections", retry_after=FULL_SECONDS)
TOO_MUCH_HELD: Final = error(
    "router_overloaded", "too much waits for this client, unread or unanswered", retry_after=FULL_SECONDS
)


@final
class Refusals:
    """The refusals of a connection tell the observer, and the client if it is there, of requests that are not served."""

    __slots__ = ("_peer", "_pipeline", "_reader", "_shared")

    def __init__(self, shared: Shared, peer: Peer, reader: RequestReader, pipeline: Pipeline) -> None:
        self._shared = shared
        self._peer = peer
        self._reader = reader
        self._pipeline = pipeline

    def last_answer(self, answer: ErrorAnswer) -> bytes:
        """Tells of the request that is arriving. Returns the whole answer to it, after which the connection ends."""
        headers = self._reader.head.headers
        identity = self._tell_arriving(answer)
        cors = self._shared.configured.cors
        more = answer.headers() if cors is None else answer.headers() + cors.lines(headers)
        status, body = answer.status, b""
        dialect = dialect_of(self._reader.head.url.partition(b"?")[0], headers)
        if dialect is None:
            body = answer.body()
        else:
            status, body = dialect.error(answer, identity)
            more += b"request-id: %b\r\n" % identity
        return (
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            b"%bconnection: close\r\n\r\n%b"
            % (status, reason_phrase(status), len(body), identity, NOSNIFF + more, body)
        )

    def left(self, answer: ErrorAnswer) -> None:
        """Tells of a request whose client has gone without its answer, which would have been this error."""
        head, status = self._reader.head, VOCABULARY["caller_gone"].status
        shown, identity = asked(head.method, head.url), request_id(head.headers.get(b"x-request-id"))
        self._shared.observer.refused(Unrouted(self._peer.address, head.headers, identity, shown, status, answer))

    def tell_broken_off(self) -> None:
        """Tells what a client asked that has gone, and nobody has begun to answer, as far as it can be read."""
        reader, pipeline = self._reader, self._pipeline
        if pipeline.pending and reader.stage != Stage.DEAF:
            reader.parse(pipeline.take()[:SLICE_BYTES])
        if reader.stage == Stage.HEAD or reader.stage == Stage.BODY:
            self._tell_arriving(BROKEN_OFF)

    def drop_pipeline(self) -> None:
        """Empties the pipeline, and tells of each of its requests: none will be answered."""
        self._pipeline.keep(b"")
        for request in self._pipeline.drop():
            if request is BROKEN:
                self._tell_arriving(self._pipeline.refusal or BROKEN_OFF)
            else:
                self._tell(request.headers, asked(request.method, request.path), BROKEN_OFF)

    def _tell_arriving(self, answer: ErrorAnswer) -> bytes:
        return self._tell(self._reader.head.headers, self._reader.asked(), answer)

    def _tell(self, headers: Mapping[bytes, bytes], shown: str, answer: ErrorAnswer) -> bytes:
        """Tells the observer of one request. Returns its id."""
        identity = request_id(headers.get(b"x-request-id"))
        self._shared.observer.refused(Unrouted(self._peer.address, headers, identity, shown, answer.status, answer))
        return identity
