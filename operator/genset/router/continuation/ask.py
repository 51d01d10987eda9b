"""The request that asks a backend to write on, and how its answer will join the one that the client has. Pure."""

from __future__ import annotations

from typing import Any

from genset.router.continuation.base import RequestBody, Rule
from genset.router.continuation.seam import Direct
from genset.router.continuation.splice import Splice
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.tolerant import dumps

#: Bounds of the answer that a request may set, in tokens.
_MOST = ("max_tokens", "max_completion_tokens")
_LEAST = "min_tokens"


def ask(
    request: RequestBody, sent: Transcript, rule: Rule, *, of_the_house: bool, want_usage: bool
) -> tuple[RequestBody, Splice, Rule | None]:
    """The client's `request` as the next backend gets it, and the splice for its answer.

    The rule is None where only thoughts were sent so far: then the text begins anew, after thoughts of its own author.
    `request` is not changed.
    """
    text = sent.text
    if not text:
        return request, Splice(sent, Direct(""), want_usage=want_usage, told=0), None
    body = dict(request)
    rule.extend(body, text)
    for key in _MOST:
        if isinstance(limit := body.get(key), int):
            # Whoever may start over needs room for all of it; the splice ends the answer at the client's limit.
            body[key] = limit + rule.surplus_tokens if rule.surplus_tokens else max(1, limit - sent.tokens)
    if isinstance(least := body.get(_LEAST), int):
        body[_LEAST] = max(0, least - sent.tokens)
    left = tokens_left(request, sent.tokens) if rule.surplus_tokens else None
    splice = Splice(sent, rule.seam(text, of_the_house), want_usage=want_usage, told=sent.tokens, left=left)
    return body, splice, rule


def tokens_left(request: RequestBody, tokens_sent: int) -> int | None:
    """Tokens that the client's own limit still allows; None where it set none."""
    limits = [request[key] for key in _MOST if isinstance(request.get(key), int)]
    return min(limits) - tokens_sent if limits else None


def length_event(sent: Transcript, *, chat: bool) -> bytes:
    """All that was missing of an answer which had reached the client's limit of tokens."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    choice["delta" if chat else "text"] = {} if chat else ""
    kind = "chat.completion.chunk" if chat else "text_completion"
    return b"data: " + dumps({**sent.head, "object": kind, "choices": [choice]}) + b"\n\n"
