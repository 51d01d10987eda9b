"""Makes an event stream of a whole answer, for a client that asked for a stream and a server that has none. Pure.

This is the opposite of `aggregate`: what is unrolled here is rebuilt there, field for field (a property test holds it).
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.openai.events import BYTE_ORDER_MARK, DONE
from genset.router.dialects.tolerant import dumps, loads_exactly

_IN_EVERY_EVENT: Final = ("id", "created", "model", "system_fingerprint", "service_tier")
_APART: Final = ("object", "choices", "usage")


def unrolled(body: bytes, *, chat: bool) -> bytes:
    """Returns the events that say what the whole answer `body` says, with its usage in an event of its own, and [DONE].

    A choice without a finish_reason gets one, because its text is whole. Raises ValueError if the body is no answer.
    """
    answer = loads_exactly(body.strip().removeprefix(BYTE_ORDER_MARK))
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise ValueError("no list of choices")
    kind = "chat.completion.chunk" if chat else "text_completion"
    base = {"object": kind, **{key: answer[key] for key in _IN_EVERY_EVENT if key in answer}}
    more = {key: value for key, value in answer.items() if key not in _APART}
    events = []
    for number, choice in enumerate(choices):
        index = choice.get("index")
        part = {**choice, "index": index if isinstance(index, int) else number}
        reason = part.pop("finish_reason", None) or "stop"
        last: dict[str, Any] = {"index": part["index"]}
        if chat:
            message = part.pop("message", None) or part.pop("delta", None)
            part["delta"] = _delta(message) if isinstance(message, dict) else {}
            last["delta"] = {}
        else:
            last["text"] = ""
        events.append({**base, **more, "choices": [{**part, "finish_reason": None}]})
        events.append({**base, "choices": [{**last, "finish_reason": reason}]})
        more = {}
    if answer.get("usage"):
        events.append({**base, "choices": [], "usage": answer["usage"]})
    return b"".join([b"data: " + dumps(event) + b"\n\n" for event in events]) + DONE


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    """Returns the message as the only delta of its choice. Its tool calls get an index, which those of a delta must have."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [{"index": n, **call} if isinstance(call, dict) else call for n, call in enumerate(calls)]
    return {**message, "tool_calls": numbered}
