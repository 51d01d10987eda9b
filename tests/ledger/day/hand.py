"""What a day costs, reckoned by hand: from invoices of clouds and a list of prices, by nothing that the product uses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tests.ledger.day.clouds import Item

#: For a million tokens, frozen: currency; of a prompt's tokens new, cached, written to a cache, for an hour; and of made ones.
TOKENS = {
    "gpt": ("USD", "2.5", "0.25", "2.5", "2.5", "10"),
    "claude": ("USD", "3", "0.3", "3.75", "6", "15"),
    "deep": ("EUR", "1.1", "0.11", "1.1", "1.1", "4.4"),
    "vectors": ("EUR", "0.02", "0.02", "0.02", "0.02", "0"),
}
EACH = {"ranks": ("USD", "0.002"), "pictures": ("EUR", "0.04")}  # for a search, for a picture
OWN_FIGURE = "open"  # this provider tells what its answers cost
FREE = "wild"  # nobody knows what this one costs
HOUSE = "house"
AVOIDED = {"assistant": "gpt"}  # by route with the house: its first cloud
ESTIMATE = 100  # tokens of each prompt by four bytes a token: texts have 400
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Sent:
    """A request as it was sent. `left`: its client went before the end."""

    identity: str
    consumer: str
    route: str
    api: str
    streams: bool
    left: bool = False


def tokens_cost(price: str, item: Item) -> Decimal:
    """Reckons what the tokens of an item cost at a price."""
    _, new, cached, written, hour, made = (Decimal(0), *map(Decimal, TOKENS[price][1:]))
    fresh = item.prompt - item.cached - item.written
    short = item.written - item.hour
    parts = fresh * new, item.cached * cached, short * written, item.hour * hour, item.made * made
    return sum(parts, Decimal()) / _MILLION


def cost(item: Item) -> tuple[Decimal, str] | None:
    """Reckons what an item costs; None if nobody knows. `item.prompt` has what was estimated, too."""
    if item.status != 200 and item.backend in (OWN_FIGURE, FREE):
        return Decimal(), ""
    if item.backend in (OWN_FIGURE, FREE):
        return (Decimal(item.dollars), "USD") if item.dollars else None
    if item.backend in EACH:
        currency, each = EACH[item.backend]
        return Decimal(each) * (item.searches or item.images), currency
    return tokens_cost(item.backend, item), TOKENS[item.backend][0]


def as_booked(items: Sequence[Item]) -> list[Item]:
    """Returns a request's items with what was estimated: a prompt that no usage told, and behind it what others had made."""
    found: list[Item] = []
    made = 0
    for item in sorted(items, key=lambda one: one.place):
        cut = not item.told and item.status == 200
        prompt = item.prompt or (ESTIMATE + made if cut else 0)
        found.append(Item(**{**vars(item), "prompt": prompt}))
        made += item.made if cut else 0
    return found


def avoided(sent: Sent, items: Sequence[Item]) -> tuple[Decimal, str] | None:
    """Reckons what the house's part of an answer would have cost; None if it has made none that the client got."""
    price = AVOIDED.get(sent.route)
    house = [item for item in items if item.backend == HOUSE and item.status == 200]
    if price is None or not house or not (sent.streams or house[-1].told):
        return None
    paid = any(item.backend != HOUSE and item.prompt for item in items)
    whole = house[0]
    prompt, cached = (0, 0) if paid else (whole.prompt, whole.cached)
    made = sum(item.made for item in house)
    return tokens_cost(price, Item("", price, prompt=prompt, cached=cached, made=made)), TOKENS[price][0]


Key = tuple[str, str, str]  # consumer, route, backend
Row = Counter[str]


@dataclass
class Bill:
    """A bill holds counts and money by consumer, route and backend."""

    counts: dict[Key, Row]
    cost: dict[tuple[Key, str], Decimal]
    avoided: dict[tuple[Key, str], Decimal]


def bill(sent: Iterable[Sent], invoices: Mapping[str, Sequence[Item]]) -> Bill:
    """Reckons the bill of requests. `invoices`: what each made backends do, by its name."""
    found = Bill(defaultdict(Counter), defaultdict(Decimal), defaultdict(Decimal))
    for request in sent:
        items = as_booked(invoices.get(request.identity, ()))
        key = (request.consumer, request.route, items[-1].backend if items else "")
        last = found.counts[key]
        last["requests"] += 1
        ok = bool(items) and items[-1].told and items[-1].status == 200
        last["answered"] += ok and not request.left
        last["cancelled"] += request.left
        for place, item in enumerate(items):
            here = (request.consumer, request.route, item.backend)
            row = found.counts[here]
            row.update(
                attempts=1, failovers=int(place > 0), prompt=item.prompt, cached=item.cached, cacheWrite=item.written
            )
            thought = item.thought if item.backend != HOUSE else 0  # of the house nobody reads it
            row.update(completion=item.made, reasoning=thought, images=item.images, searches=item.searches)
            row["estimated"] += not item.told and item.status == 200
            paid = cost(item) if item.backend != HOUSE else (Decimal(), "")
            row["unpriced"] += paid is None
            if paid is not None and paid[1]:
                found.cost[here, paid[1]] += paid[0]
        kept = avoided(request, items)
        if kept is not None:
            found.avoided[key, kept[1]] += kept[0]
    return found
