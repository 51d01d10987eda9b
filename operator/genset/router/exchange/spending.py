"""Spending is what the attempts of one request have used, and what that costs; each books what its own backend made.

An attempt counts by the usage that its backend tells. One that was cut off before that counts by what came of it, and is marked
as estimated: the prompt by the router's own estimate, the answer by its events.
"""

from __future__ import annotations

from typing import Any, Final, final

from genset.contracts.usage_records import HOUSE, PROVIDER, UNKNOWN
from genset.pricing.money import digits
from genset.pricing.price import Price
from genset.pricing.used import Used, used_of
from genset.router.backends.backend import Backend
from genset.router.backends.outcomes import Outcome
from genset.router.budgets.purse import Booked, Purse
from genset.router.dialects.openai.api import PATHS, Api
from genset.router.dialects.openai.events import counts_of
from genset.router.dialects.openai.whole_answer import cached_of, usage_object
from genset.router.machine.decisions import Candidate
from genset.router.machine.trail import OK

_APIS: Final = {api.path: api for api in PATHS.values()}
_DOLLARS: Final = "USD"  # in which providers tell their own figure
_UNHEARD: Final = (Outcome.UNREACHABLE.value, Outcome.EXHAUSTED.value)
_PICTURES: Final = (Api.IMAGES, Api.IMAGE_EDITS)


@final
class Spent:
    """Spent is what one attempt has used. `outcome` is OK, or how it failed.

    `given`: the client got what it made. `cost` is counted as `pricing.money` does; None if nobody knows it, and for the house.
    `source` says whose word it is (`contracts.usage_records`). `booked`: the budgets that count it, with their windows.
    """

    __slots__ = ("booked", "candidate", "cost", "currency", "estimated", "given", "outcome", "source", "used")

    def __init__(self, candidate: Candidate, outcome: str, used: Used, *, estimated: bool, given: bool) -> None:
        self.candidate = candidate
        self.outcome = outcome
        self.used = used
        self.estimated = estimated
        self.given = given
        self.cost: int | None = None
        self.currency = ""
        self.source = HOUSE
        self.booked: Booked = ()
        if not candidate.backend.local:
            self._price(candidate)

    def _price(self, candidate: Candidate) -> None:
        target, used, answered = candidate.backend.target, self.used, self.outcome == OK
        price = target.price
        if target.provider.tells_cost and used.cost is not None:
            self.cost, self.currency, self.source = used.cost, _DOLLARS, PROVIDER
        elif price is not None:
            self.cost, self.currency = price.cost(used, answered=answered), price.currency
            self.source = price.source if self.cost is not None else UNKNOWN
        else:
            self.source = UNKNOWN
        if self.cost is None and not answered and not used.prompt and not used.completion:
            self.cost = 0  # a refusal costs nothing, whatever the price is

    def pays(self, purse: Purse) -> None:
        """Books what it has cost in the budgets that it was made under."""
        if self.candidate.backend.local:
            return
        if purse.doubts(self.used):
            self.cost, self.source = None, UNKNOWN
        answered = self.outcome == OK
        self.booked = purse.settle(self.candidate.backend, self.used, self.cost, self.currency, answered=answered)

    def counts_in(self, booked: Booked) -> None:
        """Takes where it is booked: it was made for no request."""
        self.booked = booked


@final
class Spending:
    """Spending holds the attempts of a request that have ended, in their order. `avoids` is the price of its first cloud tier,
    `purse` what it may spend; None if no budget holds it.

    `avoided` is what the house's answer would have cost there; None if the house has given none, or nobody knows.
    """

    __slots__ = ("_avoids", "_purse", "attempts", "avoided", "outside")

    def __init__(self, avoids: Price | None, purse: Purse | None = None) -> None:
        self._avoids = avoids
        self._purse = purse
        self.attempts: list[Spent] = []
        self.avoided: int | None = None
        self.outside = False  # a cloud was asked

    def add(self, spent: Spent) -> None:
        """Takes an attempt that has ended."""
        self.attempts.append(spent)
        if self._purse is not None:
            spent.pays(self._purse)
        self.outside = self.outside or spent.source != HOUSE

    @property
    def avoided_currency(self) -> str:
        return self._avoids.currency if self._avoids is not None and self.avoided is not None else ""

    def close(self) -> None:
        """The request has ended: reckons what the house's part of it would have cost, and gives back what is reserved.

        Its prompt counts once, and not at all if a cloud was paid for it all the same.
        """
        self.drop()
        price = self._avoids
        if price is None:
            return
        if len(self.attempts) == 1 and self.attempts[0].outcome == OK:  # as nearly all have
            if not self.outside:
                self.avoided = price.cost(self.attempts[0].used, answered=True)
            return
        first: Used | None = None
        made, paid, untold = 0, False, False
        for spent in self.attempts:
            used = spent.used
            if not spent.candidate.backend.local:
                paid = paid or used.prompt > 0
            elif spent.given and (used.prompt or used.completion):
                first = first or used
                made += used.completion
                untold = untold or used.untold
        if first is not None:
            whole = Used(0, made, untold=untold) if paid else Used(first.prompt, made, first.cached, untold=untold)
            self.avoided = price.cost(whole, answered=not paid)

    def drop(self) -> None:
        """Gives back what is reserved."""
        if self._purse is not None:
            self._purse.release()

    def told(self) -> str:
        """Returns what was paid, by currency: `0.001234 USD`. Empty: nothing was.

        `estimated` stands behind it if some of that was counted by the router, `unknown` if there is more that nobody knows.
        """
        if not self.outside:
            return ""
        sums: dict[str, int] = {}
        unknown = estimated = False
        for spent in self.attempts:
            if spent.source == HOUSE:
                continue
            if spent.cost is None:
                unknown = True
            elif spent.currency:
                sums[spent.currency] = sums.get(spent.currency, 0) + spent.cost
                estimated = estimated or spent.estimated
        parts = [f"{digits(sums[currency])} {currency}" for currency in sorted(sums)]
        if estimated:
            parts.append("estimated")
        if unknown:
            parts.append(UNKNOWN)
        return ", ".join(parts)

    def line(self) -> bytes:
        """Returns the header line that tells it; empty if nothing was paid to anybody."""
        told = self.told()
        return b"x-genset-cost: %b\r\n" % told.encode() if told else b""


def own_spending(backend: Backend, path: str, body: bytes) -> Spending:
    """Returns what the answer to a request of the router's own has used, which no route has sent there."""
    spending = Spending(None)
    spending.add(whole_spent(Candidate(backend, 0, b"", backend.config.zone), _APIS[path], body, (0, 0), 0))
    return spending


def whole_spent(candidate: Candidate, api: Api, body: bytes, tokens: tuple[int, int], estimate: int) -> Spent:
    """Returns what a whole answer has used, by its own usage object.

    `tokens`: as that was read already, or what came of a stream. `estimate`: tokens of the prompt.
    """
    if api is Api.COUNT:
        return Spent(candidate, OK, Used(), estimated=False, given=True)
    used, told = _whole_used(candidate, api, body, tokens, estimate)
    return Spent(candidate, OK, used, estimated=not told, given=True)


def _whole_used(
    candidate: Candidate, api: Api, body: bytes, tokens: tuple[int, int], estimate: int
) -> tuple[Used, bool]:
    if candidate.backend.local:
        return Used(tokens[0] or estimate, tokens[1], cached_of(body)), tokens[0] > 0
    usage = usage_object(body)
    if usage is not None:
        used = used_of(usage)
    elif api in _PICTURES:
        used = Used(untold=True)
    else:
        used = Used(tokens[0] or estimate, tokens[1], untold=not tokens[1] and api is not Api.MODERATIONS)
    if api in _PICTURES:
        used.pictures(body.count(b'"b64_json"') or body.count(b'"url"'))
    return used, usage is not None or used.images > 0


def stream_used(usage: dict[str, Any], *, local: bool) -> Used:
    """Returns what a stream has used, by the usage object that it told."""
    if not local:
        return used_of(usage)
    prompt, made = counts_of(usage)
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Used(prompt, made, cached if isinstance(cached, int) and cached > 0 else 0)


def is_billed(status: int, outcome: str) -> bool:
    """Returns whether a provider may bill an attempt that ended so: one that it refused, or never heard, it does not."""
    return status < 300 and (status > 0 or outcome not in _UNHEARD)
