"""Mistral and DeepSeek (beta): `prefix: true` on a last message of role `assistant`. The answer may begin with it again.

Source: their API references, "Prefix" (Mistral) and "Chat Prefix Completion" (DeepSeek).
"""

from __future__ import annotations

from genset.router.continuation.base import RequestBody, Rule, with_answer
from genset.router.continuation.seam import Echoed, Seam


def _extend(body: RequestBody, text: str) -> None:
    with_answer(body, text.rstrip(), prefix=True)


def _seam(text: str, of_the_house: bool) -> Seam:
    return Echoed(text)


RULE = Rule("Prefix", _extend, _seam, refusable=True)
