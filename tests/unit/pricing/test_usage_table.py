"""What providers tell becomes tokens by kind, and these become money: reckoned by hand, from the providers' own forms.

Numbers with an issue are those that somebody was charged wrongly by a gateway, and what was right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from genset.contracts.price_config import PriceConfig
from genset.pricing.money import digits
from genset.pricing.price import Price
from genset.pricing.used import Used, used_of

RATES = ("input", "cachedInput", "cacheWrite", "cacheWriteHour", "output", "audioInput", "audioOutput")


def price(*rates: str, **more: Any) -> Price:
    """Returns a price by millions in the order of RATES; "" is none."""
    said = {f"{name}PerMillion": rate for name, rate in zip(RATES, rates, strict=False) if rate}
    return Price(PriceConfig.model_validate({"source": "policy", "currency": "USD", "rates": said or None, **more}))


class Row(NamedTuple):
    provider: str
    usage: dict[str, Any]
    tokens: dict[str, int]  # by kind, without zeros
    price: Price
    cost: str


IMAGES = price(perImage="0.04")
TABLE = [
    Row(
        "OpenAI chat",
        {
            "prompt_tokens": 2000,
            "completion_tokens": 300,
            "total_tokens": 2300,
            "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0, "rejected_prediction_tokens": 0},
        },
        {"prompt": 2000, "cached": 1024, "completion": 300, "reasoning": 200},
        price("2.50", "0.25", "", "", "10"),
        "0.005696",  # 976 × 2.50 + 1,024 × 0.25 + 300 × 10 = 2,440 + 256 + 3,000 millionths
    ),
    Row(
        "OpenAI chat, cached twice (langwatch/langwatch#7018)",
        {"prompt_tokens": 4814, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4736}},
        {"prompt": 4814, "cached": 4736, "completion": 10},
        price("1.25", "0.125", "", "", "10"),
        "0.0007895",
    ),
    Row(
        "OpenAI stream, cached forgotten (decolua/9router#2873)",
        {"prompt_tokens": 27985, "completion_tokens": 60, "prompt_tokens_details": {"cached_tokens": 27136}},
        {"prompt": 27985, "cached": 27136, "completion": 60},
        price("5", "0.5", "", "", "30"),
        "0.019613",  # 849 × 5 + 27,136 × 0.5 + 60 × 30 = 4,245 + 13,568 + 1,800
    ),
    Row(
        "OpenAI Responses",
        {
            "input_tokens": 1500,
            "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 1550,
        },
        {"prompt": 1500, "cached": 1000, "cache_write": 200, "completion": 50, "reasoning": 30},
        price("2.50", "0.25", "3.125", "", "10"),
        "0.002125",  # 300 × 2.50 + 1,000 × 0.25 + 200 × 3.125 + 50 × 10 = 750 + 250 + 625 + 500
    ),
    Row(
        "OpenAI audio",
        {
            "prompt_tokens": 120,
            "completion_tokens": 60,
            "prompt_tokens_details": {"audio_tokens": 100, "text_tokens": 20},
            "completion_tokens_details": {"audio_tokens": 40, "text_tokens": 20},
        },
        {"prompt": 120, "audio_in": 100, "completion": 60, "audio_out": 40},
        price("2.50", "", "", "", "10", "40", "80"),
        "0.00745",  # 20 × 2.50 + 100 × 40 + 20 × 10 + 40 × 80 = 50 + 4,000 + 200 + 3,200
    ),
    Row(
        "OpenAI transcription",
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            "output_tokens": 45,
            "total_tokens": 59,
        },
        {"prompt": 14, "audio_in": 14, "completion": 45},
        price("2.5", "", "", "", "10", "6"),
        "0.000534",  # 14 × 6 + 45 × 10
    ),
    Row(
        "OpenAI images, by tokens",
        {
            "input_tokens": 50,
            "output_tokens": 4160,
            "total_tokens": 4210,
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
        },
        {"prompt": 50, "completion": 4160},
        price("5", "", "", "", "40"),
        "0.16665",  # 250 + 166,400
    ),
    Row("images by the piece", {}, {"images": 2}, IMAGES, "0.08"),
    Row(
        "Anthropic (maximhq/bifrost#3451)",
        {
            "input_tokens": 6,
            "cache_creation_input_tokens": 159217,
            "cache_read_input_tokens": 0,
            "output_tokens": 2745,
            "cache_creation": {"ephemeral_5m_input_tokens": 159217, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        },
        {"prompt": 159223, "cache_write": 159217, "completion": 2745},
        price("5", "0.5", "6.25", "10", "25"),
        "1.06376125",
    ),
    Row(
        "Anthropic, compacted (pydantic/pydantic-ai#5065, BerriAI/litellm#27060)",
        {
            "input_tokens": 23000,
            "cache_read_input_tokens": 1000,
            "output_tokens": 1000,
            "iterations": [
                {"type": "compaction", "input_tokens": 30000, "cache_read_input_tokens": 150000, "output_tokens": 3500},
                {"type": "message", "input_tokens": 23000, "cache_read_input_tokens": 1000, "output_tokens": 1000},
                "nonsense",
            ],
        },
        {"prompt": 204000, "cached": 151000, "completion": 4500},
        price("5", "0.5", "6.25", "10", "25"),
        "0.453",  # 53,000 × 5 + 151,000 × 0.5 + 4,500 × 25 = 265,000 + 75,500 + 112,500
    ),
    Row(
        "Anthropic, kept for an hour (can1357/oh-my-pi#6876)",
        {
            "input_tokens": 0,
            "cache_creation_input_tokens": 344139,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 344139},
        },
        {"prompt": 344139, "cache_write": 344139, "cache_write_hour": 344139},
        price("5", "0.5", "6.25", "10", "25"),
        "3.44139",
    ),
    Row(
        "Anthropic, both kinds (earendil-works/pi#5738)",
        {
            "cache_creation_input_tokens": 1_000_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 600_000, "ephemeral_1h_input_tokens": 400_000},
        },
        {"prompt": 1_000_000, "cache_write": 1_000_000, "cache_write_hour": 400_000},
        price("5", "0.5", "6.25", "10", "25"),
        "7.75",
    ),
    Row(
        "Anthropic, read from the cache, with thoughts and a search",
        {
            "input_tokens": 100,
            "cache_read_input_tokens": 9000,
            "cache_creation_input_tokens": None,
            "output_tokens": 400,
            "output_tokens_details": {"thinking_tokens": 250},
            "server_tool_use": {"web_search_requests": 2},
        },
        {"prompt": 9100, "cached": 9000, "completion": 400, "reasoning": 250, "searches": 2},
        price("3", "0.3", "3.75", "6", "15", perSearch="0.01"),
        "0.029",  # 100 × 3 + 9,000 × 0.3 + 400 × 15 = 9,000 millionths, and two searches
    ),
    Row(
        "Gemini, thoughts in the total alone (mozilla-ai/any-llm#1290)",
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        {"prompt": 20, "completion": 603, "reasoning": 405},
        price("0.30", "", "", "", "2.50"),
        "0.0015135",
    ),
    Row(
        "Gemini, nothing but thoughts (router-for-me/CLIProxyAPI#5733)",
        {
            "prompt_tokens": 21,
            "completion_tokens": 0,
            "total_tokens": 81,
            "completion_tokens_details": {"reasoning_tokens": 60},
        },
        {"prompt": 21, "completion": 60, "reasoning": 60},
        price("0.30", "", "", "", "2.50"),
        "0.0001563",
    ),
    Row(
        "Groq",
        {"queue_time": 0.06, "prompt_tokens": 30, "prompt_time": 0.001, "completion_tokens": 70, "total_tokens": 100},
        {"prompt": 30, "completion": 70},
        price("0.59", "", "", "", "0.79"),
        "0.000073",  # 17.7 + 55.3
    ),
    Row(
        "DeepSeek",
        {
            "prompt_tokens": 800,
            "completion_tokens": 10,
            "total_tokens": 810,
            "prompt_cache_hit_tokens": 768,
            "prompt_cache_miss_tokens": 32,
        },
        {"prompt": 800, "cached": 768, "completion": 10},
        price("0.27", "0.07", "", "", "1.10"),
        "0.0000734",  # 8.64 + 53.76 + 11
    ),
    Row(
        "xAI, thoughts beside the completion",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 350,
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
        {"prompt": 100, "completion": 250, "reasoning": 200},
        price("2", "0.3", "", "", "6"),
        "0.0017",
    ),
    Row(
        "Mistral (symfony/ai#2343)",
        {"prompt_tokens": 801, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 768}},
        {"prompt": 801, "cached": 768, "completion": 2},
        price("0.15", "0.015", "", "", "0.60"),
        "0.00001767",  # 4.95 + 11.52 + 1.2
    ),
    Row(
        "Mistral's other name (vercel/ai#14382)",
        {"prompt_tokens": 801, "completion_tokens": 2, "num_cached_tokens": 768},
        {"prompt": 801, "cached": 768, "completion": 2},
        price("0.15", "0.015", "", "", "0.60"),
        "0.00001767",
    ),
    Row(
        "Moonshot",
        {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cached_tokens": 512},
        {"prompt": 1000, "cached": 512, "completion": 100},
        price("0.60", "0.15", "", "", "2.50"),
        "0.0006196",  # 292.8 + 76.8 + 250
    ),
    Row(
        "Cohere",
        {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
        {"prompt": 10, "completion": 20},
        price("2.5", "", "", "", "10"),
        "0.000225",
    ),
    Row("Cohere rerank", {"search_units": 3}, {"searches": 3}, price(perSearch="0.002"), "0.006"),
    Row("Jina rerank", {"total_tokens": 500}, {"prompt": 500}, price("0.02"), "0.00001"),
    Row(
        "Bedrock",
        {
            "prompt_tokens": 40,
            "completion_tokens": 12,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        {"prompt": 40, "completion": 12},
        price("3", "", "", "", "15"),
        "0.0003",
    ),
    Row(
        "a gateway that tells both forms",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 1,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 0,
        },
        {"prompt": 1000, "cached": 900, "completion": 1},
        price("3", "0.3", "", "", "15"),
        "0.000585",  # 300 + 270 + 15
    ),
    Row(
        "a gateway that leaves caches out of the prompt (Portkey-AI/gateway#1754)",
        {
            "prompt_tokens": 6,
            "completion_tokens": 10,
            "total_tokens": 1016,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 100,
        },
        {"prompt": 1006, "cached": 900, "cache_write": 100, "completion": 10},
        price("3", "0.3", "3.75", "", "15"),
        "0.000813",  # 18 + 270 + 375 + 150
    ),
    Row(
        "Azure, a price per request",
        {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
        {"prompt": 5, "completion": 5},
        price("2", "", "", "", "8", perRequest="0.001"),
        "0.00105",
    ),
]


KINDS = (
    "prompt", "cached", "cache_write", "cache_write_hour", "completion", "reasoning", "audio_in", "audio_out", "images",
    "searches",
)  # fmt: skip


def kinds(used: Used) -> dict[str, int]:
    return {name: getattr(used, name) for name in KINDS if getattr(used, name)}


@pytest.mark.parametrize("row", TABLE, ids=[row.provider for row in TABLE])
def test_a_usage_becomes_tokens_and_money(row: Row) -> None:
    used = used_of(row.usage)
    if row.price is IMAGES:
        used.images = 2
    assert kinds(used) == row.tokens
    cost = row.price.cost(used, answered=True)
    assert cost is not None and digits(cost) == row.cost


TOLD: list[tuple[dict[str, Any], str]] = [
    ({"prompt_tokens": 9, "cost": 0.00014, "is_byok": False}, "0.00014"),
    ({"cost": 0, "is_byok": False}, "0"),
    ({"cost": 0.00001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0002}}, "0.00021"),
    ({"cost": 0.00001, "is_byok": True, "cost_details": {}}, ""),  # the larger part of it is not told
    ({"cost_in_usd_ticks": 318319000}, "0.0318319"),
    ({"cost": 1e-13}, "0"),
    ({"cost": "0.5"}, "0.5"),
    ({"cost": True}, ""),
    ({"cost": float("inf")}, ""),
    ({"cost": -1}, ""),
    ({"cost": {"total_cost": 1}}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("usage", "cost"), TOLD)
def test_what_the_provider_itself_says_is_taken_to_the_last_digit(usage: dict[str, Any], cost: str) -> None:
    found = used_of(usage).cost
    assert ("" if found is None else digits(found)) == cost


NONSENSE: list[dict[str, Any]] = [
    {"prompt_tokens": -5, "completion_tokens": "7", "prompt_tokens_details": [1]},
    {"prompt_tokens": True, "completion_tokens": 2**60},
    {"prompt_tokens": None, "usage": {"prompt_tokens": 3}},
]


@pytest.mark.parametrize("usage", NONSENSE)
def test_nonsense_is_no_count(usage: dict[str, Any]) -> None:
    assert kinds(used_of(usage)) == {}


def test_parts_are_never_more_than_their_whole() -> None:
    told = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 90, "audio_tokens": 80},
    }
    used = used_of({**told, "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 60}})
    assert kinds(used) == {"prompt": 10, "cached": 10, "audio_in": 10, "completion": 4, "reasoning": 4, "audio_out": 4}


@pytest.mark.parametrize("kind", ["fallback_message", "advisor_message"])
def test_what_another_model_made_has_no_price_here(kind: str) -> None:
    """BerriAI/litellm#39294: answers of Anthropic's own fallback were priced as one model's, 35 % too low or 109 % too high."""
    part = {"type": kind, "model": "claude-opus-4-8", "input_tokens": 9, "output_tokens": 9}
    used = used_of({"input_tokens": 500, "output_tokens": 20, "iterations": [{"type": "message"}, part]})
    assert (used.prompt, used.completion) == (500, 20)
    assert price("5", "", "", "", "25").cost(used, answered=True) is None
