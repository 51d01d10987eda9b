"""/v1/completions: the prompt and the text so far are one prompt. Every server can, and the join is exact."""

from __future__ import annotations

from genset.router.continuation.base import RequestBody, Rule
from genset.router.continuation.seam import Direct, Seam


def _extend(body: RequestBody, text: str) -> None:
    prompt = body["prompt"]
    body["prompt"] = (prompt[0] if isinstance(prompt, list) else prompt) + text


def _seam(text: str, of_the_house: bool) -> Seam:
    return Direct("")


RULE = Rule("Append", _extend, _seam)
