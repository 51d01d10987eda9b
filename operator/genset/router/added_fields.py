"""Fields that the router adds to a request or renames, and what a refusal says of them.

A server that refuses one of these has not refused the client's request: it is asked once more without that field, and
if it answers, the field is left out from then on. Each field stands for itself: whoever knows no `stream_options` may
stream very well. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from genset.router.outcome import Failure, Outcome
from genset.router.upstream_error import error_of, text_of

STREAM: Final = "stream"  # a whole answer that is asked for as a stream
OPTIONS: Final = "stream_options"  # that the stream should tell its usage
PREFILL: Final = "prefill"  # no field: the server's own way to write on from a begun answer
#: Two names of one bound. OpenAI's newer models refuse the first, other servers the second.
TWINS: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_REFUSALS: Final = (Outcome.REJECTED, Outcome.UNSUPPORTED, Outcome.SERVER_ERROR)
_WORDS: Final = {
    STREAM: re.compile(r"\bstream(s|ed|ing)?\b(?!_options)", re.IGNORECASE),
    OPTIONS: re.compile(r"\bstream_options\b|\binclude_usage\b", re.IGNORECASE),
    "max_tokens": re.compile(r"\bmax_tokens\b.*\b(un)?(supported|recognized|known|permitted|expected)|"
                             r"\b(un|not )(supported|recognized|known|permitted|expected)\b.*\bmax_tokens\b", re.I | re.S),
    "max_completion_tokens": re.compile(r"\bmax_completion_tokens\b", re.IGNORECASE),
}  # fmt: skip


def is_refusal(failure: Failure) -> bool:
    """Returns whether it may be the way of asking that was refused."""
    return failure.outcome in _REFUSALS


def refused_field(failure: Failure, added: Iterable[str]) -> str:
    """Returns the one of `added` that a refusal names, by its `param` or in its message; "" if it names none."""
    if not is_refusal(failure):
        return ""
    found = error_of(failure.body)
    param = text_of(found.get("param")).partition(".")[0]
    message = text_of(found.get("message"))
    fields = list(added)
    if param:
        return param if param in fields else ""
    return next((field for field in fields if _WORDS[field].search(message)), "")


def sent_name(field: str, refused: Collection[str]) -> str:
    """Returns the name of a bound that a backend takes: `field`, or its twin where `field` was refused."""
    return TWINS[field] if field in refused and TWINS[field] not in refused else field


def added_to(
    request: dict[str, Any], sent: dict[str, str], *, streamed: bool, usage: bool, refused: Collection[str]
) -> list[str]:
    """Returns what the router has added to this request or may rename in it, most particular first.

    `sent`: names of bounds as the client has them -> as they were sent. `streamed`: asked for as a stream; `usage`: with
    its usage.
    """
    fields = []
    if usage and OPTIONS not in request and OPTIONS not in refused:
        fields.append(OPTIONS)
    for name in sent.values():
        if name not in refused and TWINS[name] not in request:
            fields.append(name)
    if streamed and request.get(STREAM) is not True and STREAM not in refused:
        fields.append(STREAM)
    return fields
