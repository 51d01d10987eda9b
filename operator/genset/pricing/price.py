"""A price turns what an answer has used into money. Pure."""

from __future__ import annotations

from typing import Final

from genset.contracts.price_config import PriceConfig, RatesConfig
from genset.pricing.money import counted, for_each
from genset.pricing.used import Used


class Rates:
    """Rates say what one token of each kind costs; None: nobody knows.

    A kind without a price of its own costs what its whole costs, in a policy. Packaged data that has no price of sound only
    lacks it: no provider sells sound as text.
    """

    __slots__ = ("audio_input", "audio_output", "cache_write", "cache_write_hour", "cached", "input", "output")

    def __init__(self, said: RatesConfig, *, whole: bool) -> None:
        """`whole`: sound that has no price of its own costs what text does."""
        self.input: Final = _rate(said.input_per_million)
        self.output: Final = _rate(said.output_per_million)
        self.cached: Final = _rate(said.cached_input_per_million, self.input)
        self.cache_write: Final = _rate(said.cache_write_per_million, self.input)
        self.cache_write_hour: Final = _rate(said.cache_write_hour_per_million, self.cache_write)
        self.audio_input: Final = _rate(said.audio_input_per_million, self.input if whole else None)
        self.audio_output: Final = _rate(said.audio_output_per_million, self.output if whole else None)

    def cost(self, used: Used) -> int | None:
        """Returns what all tokens cost; None if some of them have no price."""
        if (
            self.input is not None
            and self.output is not None
            and not (used.cached or used.cache_write or used.audio_in or used.audio_out)
        ):
            return used.prompt * self.input + used.completion * self.output
        fresh = used.prompt - used.cached - used.cache_write
        sound = min(used.audio_in, fresh)  # what of it was cached has the price of that
        cost: int | None = 0
        for count, each in (
            (fresh - sound, self.input),
            (sound, self.audio_input),
            (used.cached, self.cached),
            (used.cache_write - used.cache_write_hour, self.cache_write),
            (used.cache_write_hour, self.cache_write_hour),
            (used.completion - used.audio_out, self.output),
            (used.audio_out, self.audio_output),
        ):
            if count:
                cost = _added(cost, count, each)
        return cost


class Price:
    """A price is what a backend costs. `source` says whose word it is: the policy's, or that of the packaged data.

    Prices above so many tokens of a prompt count for all tokens of a request that is larger.
    """

    __slots__ = ("_above", "_per_image", "_per_request", "_per_search", "_rates", "currency", "source")

    def __init__(self, config: PriceConfig) -> None:
        self.currency: Final = config.currency
        self.source: Final = config.source
        tokens = config.rates
        whole = config.source == "policy"
        self._rates = Rates(tokens, whole=whole) if tokens is not None else None
        self._above = [(above.tokens, Rates(above.rates, whole=whole)) for above in config.above or ()]
        self._per_request = counted(config.per_request) if config.per_request is not None else 0
        self._per_image = counted(config.per_image) if config.per_image is not None else None
        self._per_search = counted(config.per_search) if config.per_search is not None else None

    def cost(self, used: Used, *, answered: bool) -> int | None:
        """Returns what all of it costs; None if part of it has no price. `answered`: it was a whole answer."""
        rates = self._rates
        if (self.source == "packaged" and used.special) or (used.untold and rates is not None) or used.foreign:
            return None
        for tokens, larger in self._above:
            if used.prompt > tokens:
                rates = larger
        cost: int | None = 0
        if rates is not None:
            cost = rates.cost(used)
        if used.images and rates is None:  # pictures that are counted in tokens are paid by these
            cost = _added(cost, used.images, self._per_image)
        if used.searches:
            cost = _added(cost, used.searches, self._per_search)
        return _added(cost, 1, self._per_request) if answered else cost


def _added(cost: int | None, count: int, each: int | None) -> int | None:
    return None if cost is None or each is None else cost + count * each


def _rate(text: str | None, otherwise: int | None = None) -> int | None:
    return for_each(text) if text is not None else otherwise
