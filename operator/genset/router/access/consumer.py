"""A consumer is somebody who may ask, with what it may have and what it has."""

from __future__ import annotations

import math
from typing import Final, final

from genset.contracts.access_config import AllowanceConfig
from genset.data_zones import ZoneRule
from genset.router.access.places import Places
from genset.router.access.quota import Quota
from genset.router.backends.lines import Rank
from genset.router.errors import FULL_SECONDS, ErrorAnswer, error
from genset.router.routing.model_names import ModelNames

_RANKS: Final = {"High": Rank.HIGH, "Low": Rank.LOW}
PAYER_PREFIX: Final = "consumer "  # no address begins so


@final
class Counts:
    """The counts are what metrics tell of a consumer: requests, tokens of prompts and of answers, refusals by limit."""

    __slots__ = ("completion", "limited", "prompt", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.prompt = 0
        self.completion = 0
        self.limited = {"requestsPerMinute": 0, "tokensPerMinute": 0, "maxInFlight": 0}


@final
class Consumer:
    """A consumer has a name that logs, metrics and messages use. It outlives configurations, so that its counts go on.

    `models` is None if it may name every one, `zones` if it may be answered in every data zone. `payer` is by whom what is scarce
    is shared: "" stands for the address. `rank` is how urgent its requests are in lines. `by_token`: tokens name it, and it has
    no keys.
    """

    __slots__ = (
        "by_token",
        "counts",
        "models",
        "name",
        "payer",
        "places",
        "rank",
        "requests",
        "team",
        "tokens",
        "zones",
    )

    def __init__(self, name: str, payer: str, counts: Counts | None = None) -> None:
        """`counts` are those of several consumers that have none of their own."""
        self.name = name
        self.team = ""
        self.payer = payer
        self.models: ModelNames | None = None
        self.zones: ZoneRule | None = None
        self.requests: Quota | None = None
        self.tokens: Quota | None = None
        self.rank: int = Rank.NORMAL
        self.places = Places()
        self.by_token = False
        self.counts = counts or Counts()

    def take(self, team: str, allowance: AllowanceConfig, routers: int, *, by_token: bool = False) -> None:
        """Takes what a configuration says of it. What it has used stays used."""
        self.by_token = by_token
        self.team = team
        zones = allowance.data_zones
        self.zones = ZoneRule(f"consumer {self.name} (dataZones)", frozenset(zones)) if zones is not None else None
        self.models = ModelNames(allowance.models) if allowance.models is not None else None
        self.requests = _quota(self.requests, allowance.requests_per_minute, routers)
        self.tokens = _quota(self.tokens, allowance.tokens_per_minute, routers)
        self.places.resize(allowance.max_in_flight, routers)
        self.rank = _RANKS.get(allowance.priority or "", Rank.NORMAL)

    def belongs_to(self, team: str) -> None:
        """Takes the team that its last token names."""
        self.team = team

    def alone(self) -> None:
        """Keeps to this router's part of all limits."""
        self.places.alone()
        for quota in (self.requests, self.tokens):
            if quota is not None:
                quota.alone()

    @property
    def is_limited(self) -> bool:
        return self.requests is not None or self.tokens is not None or self.places.limit is not None

    @property
    def has_keys(self) -> bool:
        """Returns whether it is known by keys alone, which do not end before they are taken away."""
        return self.payer != "" and not self.by_token

    def may_name(self, model: str) -> bool:
        return self.models is None or self.models.holds(model)

    def enter(self, prompt: int, answer: int, now: float) -> Visit | ErrorAnswer:
        """Begins a request, or says which limit it is beyond, and when to come again.

        `prompt` and `answer`: about how many tokens they need.
        """
        tokens = prompt + answer
        requests, own, places = self.requests, self.tokens, self.places
        if requests is not None:
            requests.wanted(1)
        if own is not None:
            own.wanted(tokens)
        if places.in_work >= places.most:
            places.refused += 1
            told = f"{places.limit} requests in work, of which {places.in_work} are at this router"
            return self._limited("maxInFlight", told, FULL_SECONDS)
        if requests is not None and not requests.room(now):
            told = f"{requests.limit} requests in 60 s"
            return self._limited("requestsPerMinute", told, requests.wait(1, now))
        if own is not None and not own.takes(tokens, now):
            told = f"{own.limit} tokens in 60 s, and this request needs about {tokens}"
            return self._limited("tokensPerMinute", told, own.wait(tokens, now))
        if requests is not None:
            requests.takes(1, now)
        places.in_work += 1
        return Visit(self, prompt, tokens, now)

    def _limited(self, limit: str, told: str, seconds: float) -> ErrorAnswer:
        self.counts.limited[limit] += 1
        wait = max(1, math.ceil(seconds))
        return error(
            "policy_rate_limited",
            f"consumer {self.name} is at its {limit} ({told}): try again in {wait} s, or have the RoutePolicy's "
            f"access.consumers[{self.name}].{limit} raised",
            retry_after=wait,
        )


@final
class Visit:
    """A visit is one request of a consumer. `reserved`: the tokens that were taken for it, at `since`; `prompt` of them for its
    prompt.
    """

    __slots__ = ("consumer", "prompt", "reserved", "since")

    def __init__(self, consumer: Consumer, prompt: int, reserved: int, since: float) -> None:
        self.consumer = consumer
        self.prompt = prompt
        self.reserved = reserved
        self.since = since

    def leave(self, prompt: int, completion: int, *, failed: bool, left: bool = False, now: float) -> None:
        """Ends the request: what it has used counts, and no longer what was expected.

        Without counts of a backend the estimate stands, unless the request has `failed`. A stream that ends before its usage
        tells nothing of the prompt, which a backend has read all the same; so it has if the client `left` while one was at work.
        """
        consumer = self.consumer
        consumer.places.in_work -= 1
        counts = consumer.counts
        counts.requests += 1
        counts.prompt += prompt
        counts.completion += completion
        quota = consumer.tokens
        if quota is None:
            return
        spent = (prompt or (self.prompt if completion or left else 0)) + completion
        if spent > self.reserved:
            quota.minute.add(spent - self.reserved, now)
        elif spent or failed:
            quota.minute.take_back(self.reserved - spent, self.since, now)


def _quota(before: Quota | None, limit: int | None, routers: int) -> Quota | None:
    if limit is None:
        return None
    if before is None:
        return Quota(limit, routers)
    before.resize(limit, routers)
    return before
