"""What requests have used is written down by routers and booked by the ledger: the lines of the usage spool.

A spool is a folder of segments, `usage-INCARNATION-NUMBER.log`, of checked lines as `contracts.usage` describes them. The first
line of a segment says who writes it; each other line is one request that has ended, whatever its end was. `incarnation` and `n`
name a request for ever, so that a segment that comes twice books once. Fields that are zero or empty are left out.

`prompt` counts all tokens of a prompt. Of these, `cached` were read from a provider's cache, `cacheWrite` were written to one
(`cacheWriteHour` of them to be kept for an hour), and `audioIn` were sound. `completion` counts all that were made; of these,
`reasoning` were thought and `audioOut` were sound. Money is a decimal string with as many digits as it needs; it is absent if
it is not known. `budgets` are those that count the attempt, each with the beginning of its window in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from genset.contracts.reading import count, duration, items, text
from genset.contracts.usage import OPENED, SUFFIX, spool_objects

PREFIX: Final = "usage-"
REQUEST: Final = "request"

# Where an attempt's cost comes from: the policy's price, the packaged one, the provider's own figure; nobody knows it; the
# house costs what it reserves, whether asked or not.
POLICY, PACKAGED, PROVIDER, UNKNOWN, HOUSE = "policy", "packaged", "provider", "unknown", "house"


def segment_name(incarnation: str, number: int) -> str:
    return f"{PREFIX}{incarnation}-{number:06d}{SUFFIX}"


@dataclass(frozen=True)
class UsageAttempt:
    """An attempt is what one backend was asked for one request, and what it made until its end, its cut, or its loss.

    `tier` counts from 0, in the order of the route. `model` is the name that the backend answered by, or has in the policy.
    `estimated`: the router counted, because the backend did not tell. `images` counts pictures that were made, `searches` what a
    provider bills by search. `cost` is None if nobody knows it, and for the house.
    """

    backend: str
    tier: int = 0
    zone: str = ""
    model: str = ""
    size_class: str = ""
    speed_class: str = ""
    outcome: str = ""
    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_hour: int = 0
    completion: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    images: int = 0
    searches: int = 0
    estimated: bool = False
    cost: Decimal | None = None
    currency: str = ""
    price: str = UNKNOWN
    budgets: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> UsageAttempt:
        return cls(
            text(told.get("backend")),
            count(told.get("tier")),
            text(told.get("zone")),
            text(told.get("model")),
            text(told.get("sizeClass")),
            text(told.get("speedClass")),
            text(told.get("outcome")),
            **{field: count(told.get(name)) for name, field in _COUNTS.items()},
            estimated=told.get("estimated") is True,
            cost=_money(told.get("cost")),
            currency=text(told.get("currency")),
            price=text(told.get("price")) or UNKNOWN,
            budgets=_budgets(told.get("budgets")),
        )

    def told(self) -> dict[str, Any]:
        """Returns the attempt as its line has it."""
        return _short(
            {
                "backend": self.backend,
                "tier": self.tier,
                "zone": self.zone,
                "model": self.model,
                "sizeClass": self.size_class,
                "speedClass": self.speed_class,
                "outcome": self.outcome,
                **{name: getattr(self, field) for name, field in _COUNTS.items()},
                "estimated": self.estimated,
                "cost": _digits(self.cost),
                "currency": self.currency,
                "price": self.price,
                "budgets": dict(self.budgets),
            }
        )


@dataclass(frozen=True)
class UsageRecord:
    """A usage record is one request that has ended. `time` is its beginning in seconds since 1970, `seconds` how long it took.

    `model` is the name that the client gave. `drill` names the exercise that took backends away while it ran. `avoided` is
    what the same tokens would have cost at the first cloud tier of the same route, None if the house has not answered, or
    nobody knows. `attempts` stand in the order in which they began; there is none if no backend was asked.
    """

    incarnation: str
    number: int
    time: float
    policy: str = ""
    router: str = ""
    seconds: float = 0.0
    request: str = ""
    consumer: str = ""
    team: str = ""
    route: str = ""
    api: str = ""
    model: str = ""
    status: int = 0
    outcome: str = ""
    drill: str = ""
    avoided: Decimal | None = None
    avoided_currency: str = ""
    attempts: tuple[UsageAttempt, ...] = ()

    def body(self) -> bytes:
        """Returns the JSON of the record's line. What stands in the segment's first line is left out."""
        told = {
            "kind": REQUEST,
            "n": self.number,
            "time": self.time,
            "seconds": self.seconds,
            **{name: getattr(self, field) for name, field in _TEXTS.items()},
            "status": self.status,
            "avoided": _digits(self.avoided),
            "avoidedCurrency": self.avoided_currency,
            "attempts": [attempt.told() for attempt in self.attempts],
        }
        return orjson.dumps(_short(told))


@dataclass
class UsageReader:
    """A reader reads the whole lines of one segment, all at once or piece by piece, from the first on.

    `torn` counts pieces that nobody can read: a killed process left them unfinished, or a disk has spoilt them. Whoever goes
    on in the middle of a segment says who writes it: `incarnation`, `policy`, `router`.
    """

    incarnation: str = ""
    policy: str = ""
    router: str = ""
    torn: int = 0

    def read(self, lines: bytes) -> list[UsageRecord]:
        """Returns the records of these lines, in their order."""
        found = []
        for told in spool_objects(lines):
            if told is not None and told.get("kind") == OPENED:
                self.incarnation = text(told.get("incarnation"))
                self.policy, self.router = text(told.get("policy")), text(told.get("router"))
            elif told is None or not self.incarnation:  # whose line this is cannot be read
                self.torn += 1
            elif told.get("kind") == REQUEST:
                found.append(self._record(told))
        return found

    def _record(self, told: Mapping[str, Any]) -> UsageRecord:
        return UsageRecord(
            self.incarnation,
            count(told.get("n")),
            duration(told.get("time")) or 0.0,
            self.policy,
            self.router,
            duration(told.get("seconds")) or 0.0,
            **{field: text(told.get(name)) for name, field in _TEXTS.items()},
            status=count(told.get("status")),
            avoided=_money(told.get("avoided")),
            avoided_currency=text(told.get("avoidedCurrency")),
            attempts=tuple(UsageAttempt.read(one) for one in items(told.get("attempts")) if isinstance(one, dict)),
        )


_COUNTS: Final = {
    "prompt": "prompt",
    "cached": "cached",
    "cacheWrite": "cache_write",
    "cacheWriteHour": "cache_write_hour",
    "completion": "completion",
    "reasoning": "reasoning",
    "audioIn": "audio_in",
    "audioOut": "audio_out",
    "images": "images",
    "searches": "searches",
}
_TEXTS: Final = {
    name: name for name in ("request", "consumer", "team", "route", "api", "model", "outcome", "drill")
}  # names in lines and in records


def _short(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value}


def _budgets(value: Any) -> dict[str, int]:
    return {name: count(begin) for name, begin in value.items()} if isinstance(value, dict) else {}


def _digits(money: Decimal | None) -> str:
    return "" if money is None else f"{money:f}"


def _money(value: Any) -> Decimal | None:
    if not isinstance(value, str):
        return None
    try:
        found = Decimal(value)
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None
