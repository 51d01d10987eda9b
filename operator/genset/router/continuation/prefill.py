"""A last message of role `assistant` is continued by itself: older llama.cpp, and most templates of Ollama or LM Studio.

White space at the end of the text is left out, because templates trim it; the seam expects it again.
"""

from __future__ import annotations

from genset.router.continuation.base import RequestBody, Rule, with_answer, without_thinking
from genset.router.continuation.seam import Echoed, Seam


def _extend(body: RequestBody, text: str) -> None:
    with_answer(body, text.rstrip())
    without_thinking(body)


def _seam(text: str, of_the_house: bool) -> Seam:
    return Echoed(text, exact=of_the_house)


RULE = Rule("Prefill", _extend, _seam, refusable=True)
