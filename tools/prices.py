"""Writes the packaged prices: `python tools/prices.py FOLDER AS_OF`, where FOLDER holds an unpacked wheel of genai-prices.

    pip download --no-deps genai-prices==0.2.3 && unzip -d /tmp/prices genai_prices-0.2.3-py3-none-any.whl
    python tools/prices.py /tmp/prices 2026-11

Left out is what the product could only guess: models whose price depends on the time of day or ends on a known date, that have
units which answers do not tell, or a finer price than is counted. Names are those that the data lists, none by pattern.
"""

from __future__ import annotations

import datetime
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "operator" / "genset" / "pricing" / "packaged.json"
#: Providers whose model names are their own: at Azure a policy names a deployment, at Bedrock prices go by region.
PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "deepSeek": "deepseek",
    "groq": "groq",
    "xai": "x-ai",
    "together": "together",
    "fireworks": "fireworks",
    "cohere": "cohere",
    "openRouter": "openrouter",
}
RATES = {
    "input_mtok": "inputPerMillion",
    "cache_read_mtok": "cachedInputPerMillion",
    "cache_write_mtok": "cacheWritePerMillion",
    "cache_write_1h_mtok": "cacheWriteHourPerMillion",
    "output_mtok": "outputPerMillion",
    "input_audio_mtok": "audioInputPerMillion",
    "output_audio_mtok": "audioOutputPerMillion",
}
THOUSANDS = {"requests_kcount": "perRequest", "web_searches_kcount": "perSearch"}
NOT_ASKED_FOR = {
    "storage_searches_kcount",
    "cache_audio_read_mtok",
}  # searches of files that a provider keeps; see docs/prices.md
MOST_DIGITS = 6


def price_of(prices: Any) -> dict[str, Any] | None:
    """Returns a price as `packaged.json` has it; None if it cannot be told whole."""
    rates: dict[str, str] = {}
    above: dict[int, dict[str, str]] = {}
    found: dict[str, Any] = {}
    for key, value in vars(prices).items():
        if value is None or key in NOT_ASKED_FOR:
            continue
        if key in THOUSANDS and isinstance(value, Decimal):
            found[THOUSANDS[key]] = text(value / 1000)
            continue
        if key not in RATES:
            return None
        base = value if isinstance(value, Decimal) else value.base
        if is_fine(base):
            return None
        rates[RATES[key]] = text(base)
        for tier in () if isinstance(value, Decimal) else value.tiers:
            if is_fine(tier.price):
                return None
            above.setdefault(tier.start, {})[RATES[key]] = text(tier.price)
    if "inputPerMillion" not in rates:
        return None
    found["rates"] = rates
    if above:
        found["above"] = []
        larger = rates
        for tokens in sorted(above):
            larger = {**larger, **above[tokens]}
            found["above"].append({"tokens": tokens, "rates": larger})
    return found


def is_fine(value: Decimal) -> bool:
    return bool(value) and -int(value.normalize().as_tuple().exponent) > MOST_DIGITS


def text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def current(model: Any, day: datetime.date) -> Any:
    """Returns the model's prices on a day; None if they depend on more than that, or end on a known day."""
    if not isinstance(model.prices, list):
        return model.prices
    found = None
    for conditional in model.prices:
        starts = getattr(conditional.constraint, "start_date", None)
        if conditional.constraint is not None and starts is None:
            return None
        if starts is not None and starts > day:
            return None
        found = conditional.prices
    return found


def names_of(model: Any) -> set[str]:
    """Returns the names that the data lists for a model."""
    clauses = [model.match, *getattr(model.match, "or_", ())]
    return {model.id.lower(), *(clause.equals.lower() for clause in clauses if hasattr(clause, "equals"))}


def main() -> None:
    folder, as_of = sys.argv[1:3]
    sys.path.insert(0, folder)
    from genai_prices.data import providers  # type: ignore[import-not-found]

    year, month = map(int, as_of.split("-"))
    day = (datetime.date(year, month, 1) + datetime.timedelta(days=32)).replace(day=1) - datetime.timedelta(days=1)
    known = {provider.id: provider for provider in providers}
    found: dict[str, dict[str, Any]] = {}
    for name, theirs in PROVIDERS.items():
        models = found[name] = {}
        for model in known[theirs].models:
            prices = current(model, day)
            price = price_of(prices) if prices is not None else None
            for one in names_of(model) if price is not None else ():
                models[one] = price
    lines = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(model)}: {json.dumps(models[model], sort_keys=True)}" for model in sorted(models))
        + "\n}"
        for name, models in found.items()
    ]
    head = (
        f'{{\n"source": "genai-prices (MIT, Pydantic Services Inc.)",\n"asOf": {json.dumps(as_of)},\n"providers": {{\n'
    )
    TARGET.write_text(head + ",\n".join(lines) + "\n}\n}\n")
    print(f"{sum(map(len, found.values()))} names: {TARGET}")


if __name__ == "__main__":
    main()
