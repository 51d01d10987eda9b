"""Added fields are those that the router adds to a request or renames; this module reads what a refusal says of them.

A server that refuses one of these has not refused the client's request. It is asked once more without that field; if it
then answers, the field is left out from then on, for requests that want no less than the refused one did: what cannot
be streamed with tools may be streamed without. Each field stands for itself: a server that does not know
`stream_options` may well stream. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from genset.router.backends.outcomes import Failure, Outcome
from genset.router.dialects.marks import holds_thoughts
from genset.router.dialects.upstream_error import codes_of, error_of, text_of

STREAM: Final = "stream"  # asks for a whole answer as a stream
OPTIONS: Final = "stream_options"  # asks the stream to report its usage
PREFILL: Final = "prefill"  # not a field, but the server's own way to continue an answer
#: On messages that were answers: what they had thought. The next answer needs none of it where the server takes none.
THOUGHTS: Final = "reasoning_content"
#: Two names of one limit. OpenAI's newer models refuse the first, other servers the second.
TWINS: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

#: Field -> the features of the requests for which it was refused; no set contains another one.
Refused = dict[str, list[frozenset[str]]]

_REFUSALS: Final = (Outcome.REJECTED, Outcome.UNSUPPORTED, Outcome.SERVER_ERROR)
#: May be about a field, but not about continuing an answer: a firewall's word, or an error inside a 200 without a
#: status.
_UNCLEAR: Final = (Outcome.DENIED, Outcome.INVALID_RESPONSE)
#: A server that fails may speak of streams for other reasons, too.
_FAULTS: Final = (Outcome.SERVER_ERROR, Outcome.INVALID_RESPONSE)
_WORDS: Final = {
    STREAM: re.compile(r"\bstream(s|ed|ing)?\b(?!_options)", re.IGNORECASE),
    OPTIONS: re.compile(r"\bstream_options\b|\binclude_usage\b", re.IGNORECASE),
    "max_tokens": re.compile(r"\bmax_tokens\b", re.IGNORECASE),
    "max_completion_tokens": re.compile(r"\bmax_completion_tokens\b", re.IGNORECASE),
}
#: Says that a server does not know or take something, whatever its value.
_UNABLE: Final = re.compile(
    r"\b(unsupported|unrecogni[sz]ed|instead|disabled|non-?stream|without stream|must be (false|disabled))"
    r"|\b(not|isn't|aren't|no longer)( be| yet| currently)? "
    r"(support|recogni[sz]ed|known|permitted|expected|allowed|accepted|compatible|implemented|enabled)"
    r"|\b(unknown|unexpected|extra|additional) (request |body |keyword )?(argument|param|field|input|key|name|propert|option)"
    r"|\b(does not|doesn't|do not|don't|cannot|can't|can not|unable to) "
    r"(support|use|accept|allow|take|stream|combine|know|be (used|set|combined|true|enabled))",
    re.IGNORECASE,
)
_OF_THOUGHTS: Final = re.compile(r"\breasoning_(content|details)\b|\bmessages?\b.{0,99}\breasoning\b", re.IGNORECASE)
_CODES: Final = frozenset((
    "unsupported_parameter", "unknown_parameter", "unsupported_value", "extra_forbidden",
))  # fmt: skip

#: Words with which servers refuse every begun answer, not only this one (llama.cpp, vLLM, Anthropic behind gateways,
#: Mistral).
_PREFILL_WORDS = (
    b"prefill", b"prefix", b"continue_final_message", b"add_generation_prompt", b"final message", b"last role", b"last message",
    b"enable_thinking", b"assistant messages at the end", b"must end with a user", b"role of the last",
)  # fmt: skip

#: Members that plain requests have, or whose value decides. Any other member is a feature, even an unknown one.
_USUAL: Final = frozenset((
    "model", "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature",
    "top_p", "top_k", "min_p", "seed", "stop", "user", "frequency_penalty", "presence_penalty", "n", "best_of",
    "response_format", "modalities", "metadata", "service_tier", "encoding_format", "dimensions",
))  # fmt: skip
_PLAIN_TEXT: Final = {"type": "text"}
_NAME_CHARACTERS: Final = 64  # longest name of a feature, because clients choose these names
_MOST_FEATURES: Final = 16  # features of one request
_KEPT: Final = 16  # sets of features that are kept per field


def refuses_prefill(failure: Failure) -> bool:
    """Returns whether a failure may be a refusal to continue a begun answer."""
    if failure.outcome is Outcome.INVALID_RESPONSE:
        return speaks_of_prefill(failure.body)
    return failure.outcome in _REFUSALS


def speaks_of_prefill(body: bytes) -> bool:
    """Returns whether an error's body says that the server never continues a begun answer."""
    body = body.lower()
    return any(word in body for word in _PREFILL_WORDS)


def refused_field(failure: Failure, added: Iterable[str]) -> str:
    """Returns the field among `added` that a refusal names in `param` or in its message; "" if it names none.

    The values of the limits are the client's own and may be what is wrong, so the refusal of a limit counts only if it
    says that the server does not know the field.
    """
    if failure.outcome not in _REFUSALS and failure.outcome not in _UNCLEAR:
        return ""
    found = error_of(failure.body)
    place = text_of(found.get("param"))
    param = place.partition(".")[0]
    message = text_of(found.get("message"))
    fields = list(added)
    unable = not codes_of(found).isdisjoint(_CODES) or _UNABLE.search(message) is not None
    if THOUGHTS in fields:
        fields.remove(THOUGHTS)
        if unable and _OF_THOUGHTS.search(f"{place} {message}"):
            return THOUGHTS
    if param:
        return param if param in fields and (unable or param not in TWINS) else ""
    for field in fields:
        if _WORDS[field].search(message) and (unable or not (field in TWINS or failure.outcome in _FAULTS)):
            return field
    return ""


def features_of(request: dict[str, Any]) -> frozenset[str]:
    """Returns what a request wants besides a plain answer: the names of those of its members that ask for something."""
    found: list[str] = []
    for key in ("n", "best_of"):
        value = request.get(key)
        if isinstance(value, int) and value > 1:
            found.append(key)
    if (request.get("response_format") or _PLAIN_TEXT) != _PLAIN_TEXT:
        found.append("response_format")
    if (request.get("modalities") or ["text"]) != ["text"]:
        found.append("modalities")
    messages = request.get("messages")
    if isinstance(messages, list) and any(_has_parts(message) for message in messages):
        found.append("parts of messages")
    found += [key[:_NAME_CHARACTERS] for key, value in request.items() if value and key not in _USUAL]
    return frozenset(found[:_MOST_FEATURES])


def _has_parts(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return False
    return any(isinstance(part, dict) and part.get("type") not in ("text", None) for part in content)


def remember(refused: Refused, fields: Iterable[str], features: frozenset[str]) -> None:
    """Notes that these fields were refused for a request with these features."""
    for field in fields:
        known = refused.get(field, [])
        if not any(least <= features for least in known):
            refused[field] = [*(least for least in known if not features <= least), features][-_KEPT:]


def refused_for(request: dict[str, Any], refused: Refused) -> Collection[str]:
    """Returns the fields that were refused for requests that want no more than this one."""
    features: frozenset[str] | None = None
    found: set[str] = set()
    for field, known in refused.items():
        if any(known) and features is None:
            features = features_of(request)
        if any(features is None or least <= features for least in known):
            found.add(field)
    return found


def sent_name(field: str, refused: Collection[str]) -> str:
    """Returns the name of a limit that a backend takes: `field`, or its twin if `field` was refused."""
    return TWINS[field] if field in refused and TWINS[field] not in refused else field


def added_to(
    request: dict[str, Any], sent: dict[str, str], *, streamed: bool, usage: bool, refused: Collection[str]
) -> list[str]:
    """Returns what the router has added to this request or may rename in it, most particular first.

    `sent` maps names of limits as the client wrote them to the names sent. `streamed`: the answer is asked for as a
    stream; `usage`: the stream is asked to report its usage.
    """
    fields = []
    if usage and OPTIONS not in request and OPTIONS not in refused:
        fields.append(OPTIONS)
    for name in sent.values():
        if name not in refused and TWINS[name] not in request:
            fields.append(name)
    if streamed and request.get(STREAM) is not True and STREAM not in refused:
        fields.append(STREAM)
    if THOUGHTS not in refused and holds_thoughts(request.get("messages")):
        fields.append(THOUGHTS)
    return fields
