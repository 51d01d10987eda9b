"""Reads whole answers, which are no streams, and what a request says about the shape of its answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

import orjson

from genset.router.dialects.openai.events import BYTE_ORDER_MARK, holds_content, with_thoughts
from genset.router.dialects.openai.in_band import error_in, told_by
from genset.router.dialects.plain_text import READ_BYTES
from genset.router.dialects.tolerant import loads
from genset.router.dialects.upstream_error import error_of, first_object, text_of

NO_OBJECT: Final = "sent an answer that is no JSON object"
CUT: Final = "sent an answer that is cut or no JSON"
_NO_PAGE: Final = (b"{", b"[")  # begin JSON that is cut or damaged
_loads: Final = orjson.loads
_HEAD_BYTES: Final = 4096  # of an answer in which its list usually begins
_SHORT_BYTES: Final = 1024  # an answer whose list may hold nothing
_EDGE_BYTES: Final = 256  # of a longer one, in which an error before the list begins
_ERROR: Final = b'"error"'  # `find`: `in` tries it as a number first, and makes an error of that
_GAP_BYTES: Final = 64  # white space between the key and its first object
_BLANK: Final = b" \t\r\n"
_FINISH: Final = re.compile(rb'"finish_reason": ?"(\w+)"')
_FINISH_KEY: Final = b'"finish_reason":'
_KEYS: Final = {
    part: b'"%b":' % part.encode() for part in ("choices", "data", "results")
}  # of the list that an answer holds
_USUAL: Final = b'"stop"'  # no pattern is needed to see that
_USAGE_BYTES: Final = 16 * 1024  # of a usage object; nobody has a longer one
_MOST_DIGITS: Final = 15
_ZERO: Final = ord("0")
_MOST_DIGIT: Final = 9
_SPACE: Final = ord(" ")


def choices_of(request: dict[str, Any]) -> int:
    """Returns how many choices the answer to a request should have."""
    value = request.get("n")
    prompts = request.get("prompt")
    batch = len(prompts) if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list) else 1
    return batch * (value if isinstance(value, int) and value > 0 else 1)


_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,256})"')


def fault_of(
    body: bytes, verified: bool, bad_finishes: Collection[str] = (), *, part: str = "choices"
) -> str | dict[str, Any] | None:
    """Returns why the body of a 200 is no answer: words, or the error object inside it; None if it is an answer.

    `part`: the list that an answer holds, which is empty in no answer. `verified`: the body's length was announced, so that it
    is whole. A body that merely ended with its connection must parse.
    """
    text = body
    if body[:1] != b"{" or body[-1:] != b"}":
        text = body.strip().removeprefix(BYTE_ORDER_MARK)
    # The key is looked for first: to search for a pattern in a whole answer takes ten times as long.
    at = text.find(_FINISH_KEY) if bad_finishes else -1
    end = at + len(_FINISH_KEY)
    if at >= 0 and text[end : end + len(_USUAL)] != _USUAL and (finish := _FINISH.search(text, at)):
        word = finish[1].decode()
        if word in bad_finishes:
            return _given_up(text) or f"gave up with finish_reason {word}"
    if verified and text[-1:] == b"}" and not _speaks_of_error(text) and _has(text, part):
        return None
    try:
        parsed = loads(text)
    except ValueError:
        if text[:1] != b"{" or text[-1:] != b"}":
            return NO_OBJECT
        return CUT
    said = first_object(parsed)  # Gemini's errors come in an array
    if said is None:
        return NO_OBJECT
    found = said.get(part)
    good = part != "choices" or not said.get("error") or holds_content(found)
    if good and isinstance(found, list) and any(isinstance(one, dict | list) for one in found):
        return None
    return error_in(said) or told_by(said) or f"sent an answer without {part}"


def page_words(body: bytes) -> str:
    """Returns what a page or a text says that came instead of an answer; "" if it may be a damaged answer, or is no text."""
    text = body[:READ_BYTES].strip().removeprefix(BYTE_ORDER_MARK)
    if text.startswith(_NO_PAGE) or b"\0" in text:
        return ""
    return text_of(error_of(text)["message"])


def _given_up(text: bytes) -> dict[str, Any] | None:
    """Returns the error beside a finish_reason by which a server says that it broke off (OpenRouter puts it into the choice)."""
    try:
        said = first_object(loads(text))
    except ValueError:
        return None
    if said is None:
        return None
    choices = said.get("choices")
    places = [said, *(choices if isinstance(choices, list) else ())]
    return next(
        (error_in({"error": one["error"]}) for one in places if isinstance(one, dict) and one.get("error")), None
    )


def _speaks_of_error(text: bytes) -> bool:
    """Returns whether an error may stand beside the answer's list. An answer whose list holds nothing is short."""
    return text.find(_ERROR, 0, len(text) if len(text) <= _SHORT_BYTES else _EDGE_BYTES) >= 0


def _has(text: bytes, part: str) -> bool:
    """Returns whether the outermost object has this list, with an object in it, as far as its beginning shows.

    What stands before the list's key is made a whole object: it can be read only if the key belongs to the outermost object. If
    nothing but that object was opened before the key, there is no other that the key could belong to; a key inside a string
    would have its quotes escaped.
    """
    key = _KEYS[part]
    at = text.find(b"[")
    # As most answers begin: the first list is this one, and nothing was opened before but the outermost object.
    if at > len(key) and text[at - len(key) : at + 2] == key + b"[{" and text.rfind(b"{", 0, at) == 0:
        return True
    at = text.find(key, 0, _HEAD_BYTES)
    begin = at + len(key)
    if at < 0 or (
        text[begin : begin + 2] != b"[{" and text[begin : begin + _GAP_BYTES].translate(None, _BLANK)[:2] != b"[{"
    ):
        return False
    try:
        _loads(text[:at] + b'"":0}')
    except orjson.JSONDecodeError:
        return False
    return True


def usage_of(body: bytes) -> tuple[int, int]:
    """Returns the tokens of the prompt and of the completion in the usage object, without a parse of the answer; 0 if unknown."""
    at = body.rfind(b'"usage"')
    if at < 0:
        return 0, 0
    usage = body[at:]
    prompt, completion = _number_after(usage, b'"prompt_tokens":'), _number_after(usage, b'"completion_tokens":')
    if thought := _number_after(usage, b'"reasoning_tokens":'):
        completion = with_thoughts(prompt, completion, thought, _number_after(usage, b'"total_tokens":'))
    return prompt, completion


def usage_object(body: bytes) -> dict[str, Any] | None:
    """Returns the usage object of a whole answer, or what Cohere calls so, without a parse of the rest; None if there is none."""
    at = body.rfind(b'"usage"')
    if at < 0:
        at = body.rfind(b'"billed_units"')
    start = body.find(b"{", at) if at >= 0 else -1
    end = body.find(b"}", start) + 1
    while start >= 0 and 0 < end < start + _USAGE_BYTES:
        if body.count(b"{", start, end) == body.count(b"}", start, end):
            try:
                found: dict[str, Any] = _loads(body[start:end])
            except orjson.JSONDecodeError:
                return None
            return found
        end = body.find(b"}", end) + 1
    return None


def cached_of(body: bytes) -> int:
    """Returns the tokens that a server of the house had in its cache, without a parse of the answer; 0 if unknown."""
    at = body.rfind(b'"usage"')
    return _number_after(body[at:], b'"cached_tokens":') if at >= 0 else 0


def model_of(body: bytes) -> str:
    """Returns the name of the model that an answer tells, without a parse of it; "" if it tells none."""
    found = _MODEL.search(body)
    return found.group(1).decode("utf-8", "replace") if found is not None else ""


def _number_after(text: bytes, key: bytes) -> int:
    start = text.find(key)
    if start < 0:
        return 0
    start += len(key)
    size = len(text)
    if start < size and text[start] == _SPACE:
        start += 1
    number = 0
    for at in range(start, min(size, start + _MOST_DIGITS)):
        digit = text[at] - _ZERO
        if not 0 <= digit <= _MOST_DIGIT:
            break
        number = 10 * number + digit
    return number
