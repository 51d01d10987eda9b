"""Money is exact: sums do not depend on their order, and integers say the same as Decimal."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genset.contracts.price_config import PriceConfig
from genset.pricing.house import hourly
from genset.pricing.money import counted, digits, for_each, told
from genset.pricing.packaged import packaged_price
from genset.pricing.price import Price
from genset.pricing.used import Used
from genset.router.decimals import amount_decimals

AMOUNTS = st.integers(0, 10**21)
RATE = st.integers(0, 10**12 - 1).map(lambda whole: f"{Decimal(whole).scaleb(-6):f}")
TOKENS = st.integers(0, 10**7)


@given(AMOUNTS)
def test_digits_are_read_as_they_are_written(amount: int) -> None:
    text = digits(amount)
    assert counted(text) == amount and "E" not in text and not text.endswith("0" if "." in text else ".")


@given(st.integers(0, 10**18))
@example(1).via("the least")
@example(27_000_000).via("millionths alone")
@example(10**12).via("a whole one")
def test_routers_write_the_same_amounts(amount: int) -> None:
    assert Decimal(amount_decimals(amount).decode()) == Decimal(digits(amount))


@given(st.lists(AMOUNTS, max_size=50), st.randoms())
def test_a_sum_is_the_same_in_any_order(amounts: list[int], chance: random.Random) -> None:
    shuffled = list(amounts)
    chance.shuffle(shuffled)
    assert sum(shuffled) == sum(amounts)
    assert Decimal(digits(sum(amounts))) == sum((Decimal(digits(one)) for one in shuffled), Decimal(0))


@given(st.floats(0, 1000))
def test_what_a_provider_tells_is_kept_to_the_millionth_of_a_millionth(value: float) -> None:
    found = told(value)
    assert found is not None and abs(Decimal(found).scaleb(-12) - Decimal(repr(value))) <= Decimal("5e-13")


@pytest.mark.parametrize("text", ["", "a", "-1", "NaN", "Infinity", "1e-13", "0.0000000000001"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        counted(text)


def test_a_price_per_million_has_at_most_six_digits() -> None:
    assert for_each("0.000001") == 1 and for_each("15") == 15_000_000
    with pytest.raises(ValueError, match="more than 6 digits"):
        for_each("0.0000001")


@given(
    st.tuples(RATE, RATE, RATE, RATE, RATE),
    TOKENS,
    TOKENS,
    TOKENS,
    TOKENS,
    TOKENS,
    st.sampled_from(["0", "0.000000001"]),
)
def test_a_cost_is_what_decimal_reckons(
    rates: tuple[str, ...], fresh: int, cached: int, written: int, hour: int, made: int, each: str
) -> None:
    names = ("input", "cachedInput", "cacheWrite", "cacheWriteHour", "output")
    said = {f"{name}PerMillion": rate for name, rate in zip(names, rates, strict=True)}
    price = Price(
        PriceConfig.model_validate({"source": "policy", "currency": "EUR", "rates": said, "perRequest": each})
    )
    used = Used(fresh + cached + written + hour, made)
    used.cached, used.cache_write, used.cache_write_hour = cached, written + hour, hour
    expected = sum(
        (count * Decimal(rate) for count, rate in zip((fresh, cached, written, hour, made), rates, strict=True)),
        Decimal(0),
    )
    cost = price.cost(used, answered=True)
    assert cost is not None and Decimal(digits(cost)) == expected / 10**6 + Decimal(each)
    assert price.cost(used, answered=False) == cost - counted(each)


def of(**said: Any) -> Price:
    return Price(PriceConfig.model_validate({"source": "policy", "currency": "USD", **said}))


def used(prompt: int = 0, completion: int = 0, **more: Any) -> Used:
    found = Used(prompt, completion)
    for name, value in more.items():
        setattr(found, name, value)
    return found


IN = {"inputPerMillion": "1"}
BOTH = {**IN, "outputPerMillion": "2"}
UNKNOWN = [
    (of(rates=IN), used(1, 1)),  # an embedding model that answers
    (of(rates=BOTH), used(1, 1, searches=1)),
    (of(perRequest="1"), used(images=1)),
    (of(source="packaged", rates=BOTH), used(1, 1, special=True)),
    (of(rates=BOTH), used(1, untold=True)),
    (of(source="packaged", rates=BOTH), used(1, 1, audio_in=1)),
    (of(source="packaged", rates=BOTH), used(1, 1, audio_out=1)),
]


@pytest.mark.parametrize(("price", "what"), UNKNOWN)
def test_what_has_no_price_is_not_known_and_never_nothing(price: Price, what: Used) -> None:
    assert price.cost(what, answered=True) is None


KNOWN = [
    (of(rates=IN), used(5), "0.000005"),
    (of(perRequest="0.5"), used(5, untold=True), "0.5"),
    (of(perRequest="0.5"), used(5, 5), "0.5"),  # tokens cost nothing
    (of(rates=BOTH), used(1, 1, special=True), "0.000003"),  # a policy's price is whatever it says
    (of(rates=BOTH), used(1, 1, audio_in=1, audio_out=1), "0.000003"),
    (of(rates=BOTH, above=[{"tokens": 10, "rates": {**BOTH, "inputPerMillion": "3"}}]), used(10, 1), "0.000012"),
    (of(rates=BOTH, above=[{"tokens": 10, "rates": {**BOTH, "inputPerMillion": "3"}}]), used(11, 1), "0.000035"),
]


@pytest.mark.parametrize(("price", "what", "cost"), KNOWN)
def test_a_price_counts_for_what_it_names(price: Price, what: Used, cost: str) -> None:
    found = price.cost(what, answered=True)
    assert found is not None and digits(found) == cost


PACKAGED = [
    ("openai", "gpt-4o", "0.0125"),  # 2.50 and 10
    ("openai", "gpt-4o-2024-08-06", "0.0125"),
    ("openai", "gpt-4o-2024-05-13", "0.02"),  # 5 and 15: a snapshot with a price of its own
    ("openai", "GPT-4o", "0.0125"),
    ("anthropic", "claude-sonnet-4-5-20250929", "0.018"),
    ("anthropic", "claude-sonnet-4-5@20250929", "0.018"),
    ("mistral", "mistral-small-latest", "0.00075"),
    ("openai", "gpt-4o-something-new", ""),
    ("openai", "my-gpt-4o", ""),
    ("azureOpenAI", "gpt-4o", ""),  # a deployment's name is whatever somebody has called it
    ("deepSeek", "deepseek-chat", ""),  # by the time of day
    ("openAICompatible", "gpt-4o", ""),
]


@pytest.mark.parametrize(("provider", "model", "cost"), PACKAGED)
def test_packaged_prices_are_found_by_names_that_are_listed_alone(provider: str, model: str, cost: str) -> None:
    config = packaged_price(provider, model)
    if not cost:
        assert config is None
        return
    assert config is not None and config.as_of == "2026-11" and config.currency == "USD"
    found = Price(config).cost(used(1000, 1000), answered=True)
    assert found is not None and digits(found) == cost


def test_every_packaged_price_is_a_price() -> None:
    from genset.pricing.packaged import _data

    names = [(provider, model) for provider, models in _data()["providers"].items() for model in models]
    assert len(names) > 1000
    for provider, model in names:
        config = packaged_price(provider, model)
        assert config is not None
        Price(config)


HOURS = [
    ((350, "0.30", "0"), "0.105"),
    ((0, "0", "730"), "1"),
    ((1000, "0.25", "219"), "0.55"),  # 0.25 of electricity and 0.30 of hardware
    ((450, "0.2833", "199.90"), "0.401321"),  # 0.127485 + 0.2738356...
    ((1, "0.0001", "0"), "0"),  # less than half a millionth
]


@pytest.mark.parametrize(("said", "hour"), HOURS)
def test_an_hour_of_the_house_is_its_electricity_and_its_share_of_a_month(
    said: tuple[int, str, str], hour: str
) -> None:
    assert digits(hourly(*said)) == hour


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 10**9))
def test_an_hour_is_right_to_a_millionth(watts: int, kwh: int, month: int) -> None:
    texts = [f"{Decimal(one).scaleb(-6):f}" for one in (kwh, month)]
    exact = Decimal(watts) * Decimal(texts[0]) / 1000 + Decimal(texts[1]) / 730
    assert abs(Decimal(digits(hourly(watts, *texts))) - exact) <= Decimal("0.0000005000001")
