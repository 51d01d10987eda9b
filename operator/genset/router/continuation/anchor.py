"""For servers that cannot be made to write on: they are asked to, and to repeat the last words first.

Those words are the anchor: what follows it in the answer is new. An answer that starts over identically is as good.
Anything else joins nowhere, and the next candidate is asked.
"""

from __future__ import annotations

from genset.router.continuation.base import RequestBody, Rule, with_answer
from genset.router.continuation.seam import ANCHOR_CHARACTERS, Anchored, Seam, anchor_of

INSTRUCTION = (
    "Your last answer was cut off in transmission. Continue it exactly where it stops, in the same language and format. "
    "Begin by repeating the following last characters of it word for word, then write on without a comment:\n{anchor}"
)


def _extend(body: RequestBody, text: str) -> None:
    with_answer(body, text)
    body["messages"] = [*body["messages"], {"role": "user", "content": INSTRUCTION.format(anchor=anchor_of(text))}]


def _seam(text: str, of_the_house: bool) -> Seam:
    return Anchored(text)


RULE = Rule("Anchor", _extend, _seam, surplus_tokens=ANCHOR_CHARACTERS)
