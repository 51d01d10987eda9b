"""The usage book writes down what each request has used and cost, one line when it has ended, for whoever keeps the books.

The lines are those of `contracts.usage_records`; what many of them have in common is written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final
from zlib import crc32

from genset.contracts.usage_records import HOUSE
from genset.pricing.money import digits
from genset.router.decimals import amount_decimals, three_decimals
from genset.router.dialects.tolerant import dumps
from genset.router.exchange.record import Record
from genset.router.exchange.spending import Spending, Spent
from genset.router.http.egress import spool_line, spool_line_behind
from genset.router.http.request_id import request_id
from genset.router.http.spool import Spool

MOST_PARTS: Final = 1024  # of lines that are kept: names from the configuration
MODEL_CHARACTERS: Final = 128  # of the name that a client gave
_CHAT: Final = "/v1/chat/completions"


@final
class UsageBook:
    """The usage book of one router. `wall`: seconds since 1970; `now`: monotonic. `unkept` counts lines that had no room."""

    __slots__ = ("_attempts", "_classes", "_now", "_number", "_plain", "_requests", "_wall", "spool", "unkept")

    def __init__(self, spool: Spool, wall: Callable[[], float], now: Callable[[], float]) -> None:
        self.spool = spool
        self.unkept = 0
        self._wall = wall
        self._now = now
        self._number = 0
        self._plain: dict[Any, tuple[bytes, int]] = {}  # with their checksums
        self._requests: dict[Any, bytes] = {}
        self._attempts: dict[Any, bytes] = {}
        self._classes: dict[str, tuple[str, str]] = {}

    def classify(self, classes: dict[str, tuple[str, str]]) -> None:
        """Takes the classes of models, of their size and their speed, by backend."""
        self._classes = classes
        self._attempts.clear()
        self._plain.clear()

    def ended(self, record: Record, now: float, drill: str = "") -> None:
        """Writes down a request that has ended, at `now` by the router's clock. `drill` names the one that has asked."""
        self._number += 1
        spending, seconds = record.spending, now - record.received
        avoided, attempts = b"", b""
        if (
            not drill
            and spending is not None
            and not spending.outside
            and len(spending.attempts) == 1
            and not record.word
        ):
            self._write_plain(record, spending, spending.attempts[0], seconds)
            return
        if spending is not None:
            attempts = self._told(spending)
            if spending.avoided is not None:
                told = (digits(spending.avoided).encode(), spending.avoided_currency.encode())
                avoided = b',"avoided":"%b","avoidedCurrency":"%b"' % told
        # What stands in quotes here is made of characters that JSON takes as they are.
        body = (
            b'{"kind":"request","n":%d,"time":%b,"seconds":%b,"request":"%b",%b,"status":%d,"outcome":"%b"%b%b%b}'
            % (
                self._number,
                three_decimals(self._wall() - seconds),
                three_decimals(seconds),
                record.identity,
                self._asked(record),
                record.status,
                _outcome(record),
                b',"drill":"%b"' % drill.encode() if drill else b"",
                avoided,
                attempts,
            )
        )
        if not self.spool.add(spool_line(body), self._now()):
            self.unkept += 1

    def _write_plain(self, record: Record, spending: Spending, spent: Spent, seconds: float) -> None:
        """Writes down what the house has answered at once, as it does most: all but numbers is the same for many requests."""
        used, consumer, avoided = spent.used, record.consumer, spending.avoided
        name = consumer.name if consumer is not None else ""
        key: Any = (
            record.asked,
            record.route,
            record.named,
            name,
            spent.candidate.evidence,
            spent.estimated,
            avoided is None,
        )
        found = self._plain.get(key)
        if found is None or not record.named:
            text = self._common(record, spending, spent)
            found = (text, crc32(text))
            if record.named:
                if len(self._plain) >= MOST_PARTS:
                    self._plain.clear()
                self._plain[key] = found
        common, check = found
        rest = b'"prompt":%d,"cached":%d,"completion":%d}],"n":%d,"time":%b,"seconds":%b,"request":"%b"%b}' % (
            used.prompt,
            used.cached,
            used.completion,
            self._number,
            three_decimals(self._wall() - seconds),
            three_decimals(seconds),
            record.identity,
            b"" if avoided is None else b',"avoided":"%b"' % amount_decimals(avoided),
        )
        if not self.spool.add(spool_line_behind(common, check, rest), self._now()):
            self.unkept += 1

    def _common(self, record: Record, spending: Spending, spent: Spent) -> bytes:
        """Returns the beginning of such a line."""
        currency = spending.avoided_currency
        return b'{"kind":"request",%b,"status":%d,"outcome":"ok",%b"attempts":[%b,%b' % (
            _asked_text(record),
            record.status,
            b'"avoidedCurrency":"%b",' % currency.encode() if currency else b"",
            self._attempt_text(spent),
            b'"estimated":true,' if spent.estimated else b"",
        )

    def own(self, spending: Spending, path: str) -> None:
        """Writes down what a request of the router's own has used: nobody has asked, and no route has sent it."""
        record = Record(request_id(None), "", {}, f"POST /v1{path}", "", "", self._now(), stream=False)
        record.spends(spending)
        record.ended(200, "")
        self.ended(record, record.received)

    def _asked(self, record: Record) -> bytes:
        """Returns who asked for what. Names that only a client gave are not kept."""
        consumer = record.consumer
        if not record.named:
            return _asked_text(record)
        key: Any = (record.asked, record.route, record.named, consumer.name if consumer is not None else "")
        known = self._requests.get(key)
        if known is None:
            known = _kept(self._requests, key, _asked_text(record))
        return known

    def _told(self, spending: Spending) -> bytes:
        spent = spending.attempts
        if len(spent) == 1:
            return b',"attempts":[%b]' % self._attempt(spent[0])
        return b',"attempts":[%b]' % b",".join([self._attempt(one) for one in spent]) if spent else b""

    def _attempt(self, spent: Spent) -> bytes:
        candidate, used = spent.candidate, spent.used
        key: Any = (candidate.backend.name, candidate.tier, spent.outcome, spent.source)
        known = self._attempts.get(key)
        if known is None:
            known = _kept(self._attempts, key, self._attempt_text(spent))
        if spent.source == HOUSE and not spent.estimated and not used.cached and not used.reasoning:
            return b'%b,"prompt":%d,"completion":%d}' % (known, used.prompt, used.completion)
        counts = [
            b',"%b":%d' % (name, count)
            for name, count in (
                (b"prompt", used.prompt),
                (b"cached", used.cached),
                (b"cacheWrite", used.cache_write),
                (b"cacheWriteHour", used.cache_write_hour),
                (b"completion", used.completion),
                (b"reasoning", used.reasoning),
                (b"audioIn", used.audio_in),
                (b"audioOut", used.audio_out),
                (b"images", used.images),
                (b"searches", used.searches),
            )
            if count
        ]
        if spent.estimated:
            counts.append(b',"estimated":true')
        if spent.cost is not None:
            counts.append(b',"cost":"%b"' % digits(spent.cost).encode())
            if spent.currency:
                counts.append(b',"currency":"%b"' % spent.currency.encode())
        if spent.booked:
            counts.append(b',"budgets":{%b}' % b",".join([b'"%b":%d' % (n.encode(), at) for n, at in spent.booked]))
        return b"%b%b}" % (known, b"".join(counts))

    def _attempt_text(self, spent: Spent) -> bytes:
        """Returns the beginning of an attempt: what it has in common with others."""
        candidate = spent.candidate
        asked = candidate.backend.uses.asked
        size, speed = self._classes.get(asked.backend, (asked.size_class.lower(), asked.speed_class.lower()))
        told: dict[str, Any] = {
            "backend": asked.backend,
            "tier": candidate.tier,
            "zone": candidate.zone,
            "model": asked.model,
            "sizeClass": size,
            "speedClass": speed,
            "outcome": spent.outcome,
            "price": spent.source,
        }
        return dumps({name: value for name, value in told.items() if value})[:-1]


def _outcome(record: Record) -> bytes:
    """Returns in one word how a request has ended."""
    if not record.word:
        return b"ok"
    if record.word == "caller_gone":
        return b"cancelled"
    if record.status == 200:
        return b"cut"
    return b"failed" if record.sent_at else b"refused"


def _asked_text(record: Record) -> bytes:
    consumer = record.consumer
    path = record.asked.partition(" ")[2]
    api = "chat" if path == _CHAT else path.removeprefix("/v1").removeprefix("/v2").removeprefix("/")
    told = {
        "consumer": consumer.name if consumer is not None else "",
        "team": consumer.team if consumer is not None else "",
        "route": record.route,
        "api": api,
        "model": record.model[:MODEL_CHARACTERS],
    }
    return dumps({name: text for name, text in told.items() if text})[1:-1]


def _kept(parts: dict[Any, bytes], key: Any, text: bytes) -> bytes:
    if len(parts) >= MOST_PARTS:
        parts.clear()
    parts[key] = text
    return text
