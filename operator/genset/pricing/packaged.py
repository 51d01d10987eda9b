"""The packaged prices are what providers ask for their models, as far as the data of this release knows.

They come from pydantic's genai-prices (MIT), written into `packaged.json` by `tools/prices.py`. A model counts as known by one of
the names that the data lists, also with a date behind it; nothing is guessed from a name that is only like one. Pure.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

from genset.contracts.price_config import PriceConfig

_DATED: Final = re.compile(r"^(.+?)[-@](?:20\d{2}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))$")


def packaged_price(provider: str, model: str) -> PriceConfig | None:
    """Returns the price of a model at the provider's own address; None if it is not known."""
    data = _data()
    known = data["providers"].get(provider, {})
    name = model.lower()
    dated = _DATED.match(name)
    found = known.get(name) or (known.get(dated[1]) if dated else None)
    if found is None:
        return None
    return PriceConfig.model_validate({**found, "source": "packaged", "asOf": data["asOf"], "currency": "USD"})


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(__package__).joinpath("packaged.json").read_text())
    return found
