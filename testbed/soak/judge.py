"""The judge checks one answer token by token, as bytes. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from testbed.upstream.counting import fault

# Tokens by which the count of a continued answer may be off: a busy server puts several into one event.
ESTIMATE = 2


def problem_of(status: int, body: bytes, *, stream: bool, words: int, usage: bool) -> str:
    """Returns what is wrong with a whole HTTP body that should count `words` words; "" if nothing is.

    `usage`: token counts were asked for. Those that come must be right; an upstream that breaks between its last token
    and its usage sends none.
    """
    if status != 200:
        return f"HTTP {status}: {body[:300]!r}"
    try:
        text, finish, counted, said = _stream(body) if stream else _whole(body)
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        return f"unreadable ({error!r}): {body[-200:]!r}"
    if said:
        return said
    if found := fault(text, words):
        return found
    if finish != ["stop"]:
        return f"finish_reason {finish} instead of stop, once"
    if counted and stream and not usage:
        return f"usage {counted} that nobody asked for"
    told = counted.get("completion_tokens", 0) if counted else words
    if abs(told - words) > ESTIMATE:
        return f"usage {counted} of an answer of {words} tokens"
    return ""


def _whole(body: bytes) -> tuple[str, list[str], dict[str, Any] | None, str]:
    answer = orjson.loads(body)
    choice = answer["choices"][0]
    return choice["message"]["content"], [choice["finish_reason"]], answer.get("usage"), ""


def _stream(body: bytes) -> tuple[str, list[str], dict[str, Any] | None, str]:
    """Returns text, finish reasons, usage, and what is wrong with the stream itself."""
    text: list[str] = []
    finish: list[str] = []
    identities: set[str] = set()
    usage: dict[str, Any] | None = None
    roles = 0
    events = body.split(b"\n\n")
    for event in events:
        if not event.startswith(b"data: {"):
            continue
        chunk = orjson.loads(event[6:])
        if "error" in chunk:
            return "", [], None, f"error in the stream: {chunk['error']}"
        identities.add(chunk["id"])
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            text.append(delta.get("content") or "")
            roles += "role" in delta
            if choice.get("finish_reason"):
                finish.append(choice["finish_reason"])
    if body.count(b"data: [DONE]") != 1 or not body.endswith(b"data: [DONE]\n\n"):
        return "", [], None, f"[DONE] is not at the end, once: {body[-80:]!r}"
    if len(identities) != 1 or roles > 1:
        return "", [], None, f"{len(identities)} ids and {roles} roles in one answer"
    return "".join(text), finish, usage, ""
