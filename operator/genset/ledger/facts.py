"""Facts are what is summed up of a record: one for each attempt, so that sums by any dimension are the same in total.

The request itself is counted once, at its last attempt; a request that no backend was asked for has a fact without a backend.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from genset.contracts.usage_records import UNKNOWN, UsageAttempt, UsageRecord
from genset.ledger import money
from genset.ledger.decoding import kept_text, moment

HOUR: Final = 3600  # seconds
DAY: Final = 86_400
HOUSE: Final = "house"  # the data zone whose backends are the house's own
MOST_CHARACTERS: Final = 200  # of a name in sums; the raw record has all of it
MOST_COUNT: Final = 10**9  # of one attempt, as it is summed up: more than any model takes or makes

#: What has a column in sums, in this order. Those of money are pairs: see `money`.
MEASURES: Final = (
    "requests", "answered", "cancelled", "cut", "refused", "attempts", "failovers", "prompt", "cached", "cache_write",
    "completion", "reasoning", "audio_in", "audio_out", "images", "searches", "estimated", "unpriced", "cost", "cost_rest",
    "avoided", "avoided_rest",
)  # fmt: skip
MONEY: Final = ("cost", "avoided")
MOST_SECONDS: Final = 2**40  # since 1970: no moment is later
_OUTCOMES: Final = {"ok": 1, "cancelled": 2, "cut": 3, "refused": 4}
_COST: Final = MEASURES.index("cost")


class Series(NamedTuple):
    """A series is everything that sums are told apart by, but for the time. Empty: not known, or does not apply."""

    policy: str = ""
    consumer: str = ""
    team: str = ""
    route: str = ""
    api: str = ""
    model: str = ""
    backend: str = ""
    zone: str = ""
    tier: str = ""
    size_class: str = ""
    speed_class: str = ""
    drill: str = ""
    currency: str = ""
    avoided_currency: str = ""


class Fact(NamedTuple):
    """A fact is what one attempt adds. `time`: seconds since 1970, of the request's beginning."""

    time: int
    series: Series
    measures: tuple[int, ...]


Sums = dict[tuple[int, Series], list[int]]


def facts(record: UsageRecord) -> Iterator[Fact]:
    """Yields the facts of a record."""
    time = moment(record.time)
    last = len(record.attempts) - 1
    for place, attempt in enumerate(record.attempts or (_NOBODY,)):
        is_last = place >= last
        ended = _OUTCOMES.get(record.outcome, 0) if is_last else 0
        asked = record.attempts != ()
        cost, avoided = money.believed(attempt.cost), money.believed(record.avoided) if is_last else None
        yield Fact(
            time,
            _series(record, attempt, paid=cost is not None, avoided=avoided is not None),
            (
                1 if is_last else 0,
                *(1 if ended == number else 0 for number in (1, 2, 3, 4)),
                1 if asked else 0,
                1 if place else 0,
                *(min(count, MOST_COUNT) for count in _counts(attempt)),
                1 if attempt.estimated else 0,
                1 if asked and cost is None and (attempt.price == UNKNOWN or attempt.cost is not None) else 0,
                *money.split(cost),
                *money.split(avoided),
            ),
        )


_NOBODY: Final = UsageAttempt("")


def _counts(attempt: UsageAttempt) -> tuple[int, ...]:
    return (
        attempt.prompt,
        attempt.cached,
        attempt.cache_write,
        attempt.completion,
        attempt.reasoning,
        attempt.audio_in,
        attempt.audio_out,
        attempt.images,
        attempt.searches,
    )


def _series(record: UsageRecord, attempt: UsageAttempt, *, paid: bool, avoided: bool) -> Series:
    names = (
        record.policy,
        record.consumer,
        record.team,
        record.route,
        record.api,
        attempt.model,
        attempt.backend,
        attempt.zone,
        str(attempt.tier) if attempt.backend else "",
        attempt.size_class,
        attempt.speed_class,
        record.drill,
        attempt.currency if paid else "",
        record.avoided_currency if avoided else "",
    )
    return Series(*(kept_text(name if len(name) <= MOST_CHARACTERS else name[:MOST_CHARACTERS]) for name in names))


class Booking(NamedTuple):
    """A booking is where an attempt counts: a budget of a policy, its currency, and when the window begins that counts it."""

    policy: str
    name: str
    currency: str
    begin: int


def bookings(record: UsageRecord) -> Iterator[tuple[Booking, tuple[int, int]]]:
    """Yields where the attempts of a record count, each with its cost as `money` keeps it."""
    for attempt in record.attempts:
        if attempt.cost and attempt.budgets:
            policy, currency = kept_text(record.policy), kept_text(attempt.currency[:MOST_CHARACTERS])
            for name, begin in attempt.budgets.items():
                place = Booking(policy, kept_text(name[:MOST_CHARACTERS]), currency, min(begin, MOST_SECONDS))
                yield place, money.split(attempt.cost)


def add(sums: Sums, found: Iterable[Fact], slot: int) -> None:
    """Adds facts to sums by slots of so many seconds."""
    for fact in found:
        key = (fact.time // slot, fact.series)
        held = sums.get(key)
        if held is None:
            sums[key] = list(fact.measures)
        else:
            add_to(held, fact.measures)


def add_to(held: list[int], measures: Iterable[int]) -> None:
    """Adds measures to a row of sums, with what the rests of money carry."""
    for place, value in enumerate(measures):
        held[place] += value
    for place in (_COST, _COST + 2):
        if held[place + 1] >= money.REST:
            more, held[place + 1] = divmod(held[place + 1], money.REST)
            held[place] += more


def coarser(sums: Mapping[tuple[int, Series], Iterable[int]], factor: int) -> Sums:
    """Returns sums of slots that are `factor` times as long."""
    found: Sums = {}
    for (slot, series), measures in sums.items():
        held = found.get((slot // factor, series))
        if held is None:
            found[slot // factor, series] = list(measures)
        else:
            add_to(held, measures)
    return found
