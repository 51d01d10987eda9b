"""A policy as large as one may be: many backends, many routes, names as long as they may be, and hardly anything twice."""

from __future__ import annotations

import random
import string
from typing import Any

_LETTERS = string.ascii_lowercase + string.digits


def spec(models: int, tiers: int = 2, backends: int = 128, routes: int = 256, width: int = 1) -> dict[str, Any]:
    """Returns the spec of a policy with `models` names of models and `tiers` of `width` backends in each route.

    The same numbers give the same spec.
    """
    chance = random.Random(f"{models} {tiers} {backends} {routes} {width}")

    def word(length: int) -> str:
        return "".join(chance.choices(_LETTERS, k=length))

    clouds = [f"b{word(62)}" for _ in range(backends)]
    return {
        "backends": [
            {
                "name": name,
                "cloud": {
                    "provider": "openAICompatible",
                    "model": word(128),
                    "baseURL": f"https://{word(60)}.corp/{word(400)}/v1",
                },
            }
            for name in clouds
        ],
        "routes": [
            {
                "name": f"r{word(62)}",
                "match": {"models": [word(128) for _ in range(models)]},
                "tiers": [
                    {"backends": [{"name": name} for name in chance.sample(clouds, width)]} for _ in range(tiers)
                ],
            }
            for _ in range(routes)
        ],
    }
