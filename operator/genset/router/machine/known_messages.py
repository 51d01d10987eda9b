"""Known messages are sentences with which known servers refuse a request, and the outcome that each one means.

They stand in `known_messages.toml`. Status, `error.code` and `error.type` decide first (`classify`). Many servers tell
the reason in their message alone, and a message may quote the request; so a known sentence can do no more than send
this one request elsewhere: an outcome that speaks against the key or the model is a suspicion until the router has
asked by itself (`suspicion`). Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Final, NamedTuple


class Known(NamedTuple):
    """A known message is one server's way to say something. `outcome` is an Outcome's value, `example` a whole message."""

    server: str
    seen: str
    statuses: frozenset[int]
    pattern: re.Pattern[str]
    outcome: str
    example: str


def _read() -> Iterator[Known]:
    text = files(__package__).joinpath("known_messages.toml").read_text()
    for row in tomllib.loads(text)["known"]:
        pattern = re.compile("|".join(f"(?:{one})" for one in row["patterns"]), re.IGNORECASE)
        statuses = frozenset(row["statuses"])
        yield Known(row["server"], row["seen"], statuses, pattern, row["outcome"], row["example"])


KNOWN: Final = tuple(_read())
#: Text in quotes, up to the closing quote or the end. An apostrophe inside a word opens no quotation.
_QUOTED: Final = re.compile(r"""(?<!\w)(?:'(?:[^']|'(?=\w))*'?|"[^"]*"?)""")
#: What gateways put in front of a provider's message. Source: LiteLLM, exception_mapping_utils.py.
_WRAPPED: Final = re.compile(r"(?:(?:litellm\.)?[A-Z]\w{2,40}(?:Error|Exception)\b(?: - |: ?| )){1,4}")
_LOOKS_INSIDE_QUOTES: Final = ("unsupported", "content_filter")


def meaning_of(status: int, message: str) -> str:
    """Returns the value of the Outcome that a known server's message means; "" if it is not known.

    Text in quotes may be the request's own words. It is read only for outcomes that say nothing of the key or the
    model, and that send the request nowhere it could not go by itself.
    """
    wrapped = _WRAPPED.match(message)
    if wrapped is not None:
        message = message[wrapped.end() :]
    bare = unquoted(message)
    for known in KNOWN:
        if status in known.statuses:
            looked_at = message if known.outcome in _LOOKS_INSIDE_QUOTES else bare
            if known.pattern.search(looked_at):
                return known.outcome
    return ""


def unquoted(message: str) -> str:
    """Returns a message without the text in quotes."""
    return _QUOTED.sub("'…'", message)
