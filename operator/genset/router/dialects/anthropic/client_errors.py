"""Writes errors as clients of the Messages API know them, in the words on which they act. Pure.

Claude Code shortens a conversation only on "prompt is too long: N tokens > M maximum", and reads both numbers; it and Anthropic's
SDKs know 529 as "overloaded". Sources: platform.claude.com/docs/en/api/errors, code.claude.com/docs/en/llm-gateway-protocol, and
Claude Code 2.1.197 against a scripted server, 28 Nov 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from genset.router.dialects.anthropic.words import error_type, event
from genset.router.dialects.client import Told
from genset.router.dialects.tolerant import dumps
from genset.router.errors import ErrorAnswer, ErrorKind

#: Statuses that the API does not have -> those that its clients know.
_STATUSES: Final = {451: 403, 499: 400, 501: 500, 503: 529, 508: 500}
#: What the router itself says of a prompt that no backend holds.
_OWN_WORDS: Final = re.compile(
    r"maximum context length is (\d{1,9}) tokens\. However, your request has about (\d{1,9}) input"
)
_TOO_LONG: Final = "prompt is too long: "
#: Field that was refused -> details on which clients act. The tool runners of Anthropic's SDKs (2.14, 1.14) ask for a thread
#: first, and send whole conversations from then on if they read this (lib/threads/_thread_state.py, `_unsupported_features`).
_DETAILS: Final[dict[str, dict[str, Any]]] = {"thread": {"error_code": "thread_unsupported_request", "unsupported": []}}
_CONTEXT_CODE: Final = "context_length_exceeded"


def told(answer: ErrorAnswer, identity: bytes, room: tuple[int, int] | None = None) -> Told:
    """Returns status and body of an error. `room`: tokens of the prompt and of the context, if a server has told them."""
    status, message = _STATUSES.get(answer.status, answer.status), answer.told()
    if answer.kind.code == _CONTEXT_CODE:
        status, message = 400, too_long(message, room)
    body = _envelope(error_type(status), message, identity)
    if answer.param in _DETAILS:
        body["error"]["details"] = _DETAILS[answer.param]
    return Told(status, dumps(body))


def broken(kind: ErrorKind, message: str, attempts: Sequence[str], identity: bytes, *, partial: bool) -> bytes:
    """Returns the event with which a stream ends that is not whole."""
    status = _STATUSES.get(kind.status, kind.status)
    body = _envelope(error_type(status), message, identity)
    body["error"]["details"] = {
        "genset": {"code": kind.word, "partial": partial, "attempts": list(attempts)},
    }
    return event("error", body)


def too_long(message: str, room: tuple[int, int] | None) -> str:
    """Returns the words on which clients shorten what they have sent, with the numbers as far as anybody told them."""
    if message.startswith(_TOO_LONG):
        return message
    found = _OWN_WORDS.search(message)
    if found is not None:
        most, asked = int(found.group(1)), int(found.group(2))
        # Prompt and a small answer have no room together: the number of the prompt alone would say that it fits.
        return _numbers(max(asked, most + 1), most)
    if room is not None:
        return _numbers(max(room[0], room[1] + 1), room[1])
    return _TOO_LONG + message


def _numbers(asked: int, most: int) -> str:
    return f"{_TOO_LONG}{asked} tokens > {most} maximum"


def _envelope(kind: str, message: str, identity: bytes) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": identity.decode("ascii", "replace"),
    }
