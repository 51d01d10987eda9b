"""Makes whole requests of the bytes of one client, and bounds what a client may send before its request is whole."""

from __future__ import annotations

from typing import Any, Final, final

import httptools

from genset.router.errors import ErrorAnswer, error
from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.http.codings import is_plain
from genset.router.http.holder import Holder
from genset.router.http.origin import Peer
from genset.router.http.pace import Pace, least_pace
from genset.router.http.pipeline import Pipeline
from genset.router.http.request import Request, asked, head_without_offers
from genset.router.http.request_body import ArrivingBody
from genset.router.http.request_head import HEAD_BYTES, TOO_LARGE, ArrivingHead
from genset.router.http.scarce import make_room
from genset.router.shared import Shared

SLICE_BYTES: Final = 64 * 1024  # of a body: parsed at once
REQUESTS_SLICE_BYTES: Final = 16 * 1024  # of what may be many requests
NOT_HTTP: Final = error("caller_bad_request", "the request is not valid HTTP/1.1")


class Stage:
    """A reader is so far with the request that it reads."""

    IDLE: Final = 0  # between two requests
    HEAD: Final = 1
    BODY: Final = 2
    DEAF: Final = 3  # what came was refused, or the connection is to end: nothing more is read


@final
class RequestReader:
    """A request reader puts the requests of one client into its pipeline, each when it is whole.

    It owns the parser of httptools, whose callbacks it has. What arrives is counted in the budget, in the share of `payer`
    (behind proxies that is not the share of the connection). A request that must not become whole is refused through the
    `client`, to which everything that is written goes. `parsing`: a callback may be running.
    """

    __slots__ = (
        "_body",
        "_client",
        "_declining",
        "_head_held",
        "_pace",
        "_parser",
        "_peer",
        "_pipeline",
        "_read_bytes",
        "_shared",
        "head",
        "parsing",
        "payer",
        "stage",
    )

    def __init__(self, shared: Shared, client: Holder, peer: Peer, pipeline: Pipeline) -> None:
        self._shared = shared
        self._client: Holder | None = client
        self._peer = peer
        self._pipeline = pipeline
        self._parser: Any = httptools.HttpRequestParser(self)
        self.stage = Stage.IDLE
        self.parsing = False
        self.payer = ""
        self.head = ArrivingHead()
        self._body = ArrivingBody()
        self._pace = Pace()
        self._head_held = 0  # bytes of the head that are counted in the budget
        self._declining = False  # the request offers another protocol, which the parser has taken for accepted
        self._read_bytes = 0  # of reads that brought nothing but a part of a head, or no byte of a body

    # What the connection asks

    @property
    def held(self) -> int:
        """Returns how many bytes count in the budget."""
        return self._body.size + self._head_held

    @property
    def arrives(self) -> bool:
        """Returns whether a part of a request is here that counts, and its end is not."""
        return (self.stage == Stage.BODY or self.stage == Stage.HEAD) and self.held > 0

    @property
    def since(self) -> float:
        """Returns when the request began that is arriving, by the router's clock."""
        return self._pace.since

    @property
    def pieces(self) -> int:
        """Returns how many objects hold the body that is arriving."""
        return self._body.pieces

    def pace(self, now: float) -> float:
        """Returns bytes per second at which the request has come of late."""
        return self._pace.of_late(self._head_held, self._body.size, now)

    def late(self, now: float, age: float, timeouts: ClientTimeouts) -> ErrorAnswer | None:
        """Returns why the request that is arriving takes too long, if it does. `age`: seconds since it last got on.

        Asked about once a second.
        """
        if self.stage == Stage.HEAD:
            if age > timeouts.head:
                return error("caller_timeout", f"the request's headers took more than {timeouts.head:g} s")
        elif self.stage == Stage.BODY:
            body = self._body
            least = least_pace(max(body.announced, body.size))
            if age > timeouts.body:
                return error("caller_timeout", f"no byte of the request's body came for {timeouts.body:g} s")
            if self._pace.is_slow(body.size, least, now, timeouts):
                return error("caller_timeout", f"the request's body came at less than {least} bytes/s")
        return None

    def asked(self) -> str:
        """Returns method and path of the request that is arriving, as the log shows them, as far as they are here."""
        url, parser = self.head.url, self._parser
        return asked(parser.get_method() if url and parser is not None else b"", url)

    def drop(self) -> None:
        """Forgets what is arriving, and gives back what it held."""
        self._shared.budget.give(self.payer, self.held)
        self._head_held = 0
        self._body.drop()

    def turn_deaf(self) -> None:
        """Reads nothing more."""
        self.stage = Stage.DEAF

    def end(self) -> None:
        """Lets go of parser and client: the connection is closed."""
        self.stage = Stage.DEAF
        self._parser = self._client = None

    # Reading

    def feed(self, data: bytes) -> None:
        """Parses what came; requests that are whole with it are in the pipeline then.

        One body is parsed as a whole. What may be many requests is parsed in slices, and the rest waits for its turn.
        """
        size, at = len(data), REQUESTS_SLICE_BYTES
        if size <= at:
            self.parse(data)
            return
        self.parse(data[:at])
        while at < size and self.stage == Stage.BODY:
            self.parse(data[at : at + SLICE_BYTES])
            at += SLICE_BYTES
        if at < size and self.stage < Stage.DEAF:
            self._pipeline.keep(data[at:])

    def parse(self, data: bytes) -> None:
        """Parses all of this, at most a slice."""
        had = self._body.size
        self._read_bytes = 0 if self.stage == Stage.IDLE else self._read_bytes + len(data)
        self.parsing = True
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._feed_past_offers(data, upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(NOT_HTTP)
        self.parsing = False
        if self.stage != Stage.IDLE:
            self._note_beginning()
        if self.stage == Stage.HEAD:
            self._hold_head(self.head.cost + max(self._read_bytes, len(data)))
            self._look_at_budget()
        elif len(self._pipeline.requests) > 1:
            self._look_at_budget()
        if self._body.size != had:
            self._read_bytes = 0
        elif self._read_bytes > HEAD_BYTES and (self.stage == Stage.HEAD or self.stage == Stage.BODY):
            self._refuse(TOO_LARGE)

    def _feed_past_offers(self, data: bytes, offset: int) -> None:
        while True:
            data = data[offset:]
            if self._declining:
                self._decline_upgrade()
            if not data or self.stage == Stage.DEAF:
                return
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                offset = upgrade.args[0]

    def _decline_upgrade(self) -> None:
        """Has a fresh parser read the head without the offer: this one takes the request for finished before its body."""
        self._declining = False
        head = head_without_offers(self._parser.get_method(), self.head.url, self.head.headers)
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def _note_beginning(self) -> None:
        """Reads the clock for a request that is not here with its first read; almost all are."""
        if not self._pace.since:
            self._pace.note(self._shared.now())

    def _hold_head(self, size: int) -> None:
        """Counts so many bytes for the head of the request that is arriving, from now on."""
        self._shared.budget.take(self.payer, size - self._head_held)
        self._head_held = size

    def _look_at_budget(self) -> None:
        if self._shared.budget.is_over(self.payer):
            self._make_room()

    def _make_room(self) -> bool:
        """Makes whoever holds most make way. Says whether the request that is arriving still has its place."""
        client = self._client
        if client is not None:
            self._note_beginning()
            make_room(self._shared, self.payer, client)
            if self._shared.budget.is_over(self.payer):
                client.make_way()
        return self.stage != Stage.DEAF

    def _refuse(self, answer: ErrorAnswer) -> None:
        if self._client is not None:
            self._client.refuse(answer)

    def _go_ahead(self) -> None:
        """Has the client send the body. Behind others in the pipeline it learns that later, from the answer itself."""
        if self._client is not None and not self._pipeline.requests:
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # Callbacks of httptools

    def on_message_begin(self) -> None:
        if self.stage != Stage.DEAF:
            self.stage = Stage.HEAD
        self._pace.begin()
        self.payer = self._peer.origin
        self.head.begin()
        self._read_bytes = 0  # each head is counted for itself

    def on_url(self, url: bytes) -> None:
        self.head.add_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage == Stage.HEAD:  # trailers have no say in how a request is treated (RFC 9110, 6.5.1)
            refused = self.head.add(name, value, self._shared.configured.matched_headers)
            if refused is not None:
                self._refuse(refused)

    def on_headers_complete(self) -> None:
        if self.stage == Stage.DEAF:
            return
        self.stage = Stage.BODY
        if self._head_held:
            self._hold_head(0)
        head, configured = self.head, self._shared.configured
        if configured.proxies is not None:
            self.payer = configured.payer_of(self._peer.address, head.headers)
        if self._pipeline.requests or not head.is_small:
            self._hold_head(head.cost)
        refused = head.judged(self._parser)
        if refused is not None:
            self._refuse(refused)
            return
        length, most = head.length, configured.most_body_bytes
        consumers = configured.consumers
        if consumers is not None and (length or b"transfer-encoding" in head.headers):
            unknown = head.introduce(consumers)
            if unknown is not None:
                self._refuse(unknown)  # a body costs memory and time, which are for those who are known
                return
        self._body.begin(length, most)
        if length > most:
            self._refuse(_too_large(most))
        elif b"expect" in head.headers and head.expects_continue(self._parser):
            self._go_ahead()

    def on_body(self, data: bytes) -> None:
        if self.stage == Stage.DEAF:
            return
        body, budget, size = self._body, self._shared.budget, len(data)
        budget.take(self.payer, size)
        if not body.counts(size):
            self._refuse(_too_large(body.most))
        elif not budget.is_over(self.payer) or self._make_room():
            body.add(data)

    def on_message_complete(self) -> None:
        if self.stage == Stage.DEAF:
            return
        head = self.head
        headers = head.headers
        if (
            b"upgrade" in headers
            and (b"content-length" in headers or b"transfer-encoding" in headers)
            and self._parser.should_upgrade()
        ):
            self._declining = True  # the body follows; see _decline_upgrade
            return
        body = self._body.take()
        coding = headers[b"content-encoding"] if b"content-encoding" in headers and body else b""
        if coding and is_plain(coding):
            coding = b""
        held = len(body) + self._head_held  # counted on until the request is answered
        self._head_held = 0
        head.headers = {}  # which go with the request
        request = Request(
            head.method, head.path, headers, body, head.keep_alive, head.version_10, held, self.payer, coding
        )
        if head.consumer is not None:
            request.is_from(head.consumer)
        self._pipeline.requests.append(request)
        self.stage = Stage.IDLE


def _too_large(most: int) -> ErrorAnswer:
    return error("caller_body_too_large", f"the request body exceeds {most} bytes (limits.maxBody)")
