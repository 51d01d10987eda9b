"""Reads single events of an OpenAI stream: where they end, what they hold, and whether they need a parse at all. Pure."""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.tolerant import loads

DONE: Final = b"data: [DONE]\n\n"
DATA: Final = b"data: {"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_FINISH: Final = b'"finish_reason":'
_FINISH_KEY: Final = b'"finish_reason"'
_FINISH_LENGTH: Final = len(_FINISH)
_CHOICES: Final = b'"choices":[{'
_SPACED_CHOICES: Final = b'"choices": [{'  # as Python's json writes it
_ERROR: Final = b'"error"'
_N: Final = ord("n")
_F: Final = ord("f")
_NOUGHT: Final = ord("0")
_QUOTE: Final = ord('"')
_COMMA: Final = ord(",")
_CLOSE: Final = ord("}")
_SPACE: Final = ord(" ")
_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
#: Parts of a delta that are no part of the answer: who speaks, and padding against eavesdroppers (OpenAI).
_NO_TOKEN: Final = frozenset({"role", "obfuscation"})
_BLANK: Final = b" \t\r\n"
#: How an event stream begins, unless it begins with lines that are ignored; and how a body begins that is none.
_USUAL: Final = b"data:"
_BEGINNINGS: Final = (b"data:", b":", b"event:", b"id:", b"retry:")
_OTHERS: Final = (b"{", b"[", b'"', b"<")
MOST_LINES: Final = 65_536  # of a single event: a line by itself takes twenty times its bytes
BEGINNING_BYTES: Final = 1024  # of a body, behind blank lines, in which it shows whether it is an event stream
_MOST_DIGITS: Final = 9
_MOST_TOKENS: Final = 1 << 53  # beyond it a count is nonsense


class BadEventError(ValueError):
    """An event must not go on, and its stream must not either.

    `fault` says why, in words; `error` is the error object that the event holds, if it holds one.
    """

    def __init__(self, fault: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(fault)
        self.fault = fault
        self.error = error


def event_end(data: bytes, position: int) -> int:
    """Returns where the event that begins at `position` ends, before its blank line. `data` ends with a blank line."""
    end = data.find(b"\n", position)  # one byte is found several times as fast as two
    return end if data[end + 1] == _NEWLINE else data.find(b"\n\n", position)


def is_suspicious(data: bytes, start: int, end: int) -> bool:
    """Returns whether these bytes, one event, need a parse: they hold a finish_reason, an error, or no choice of an answer.

    None of these marks can come from text inside a JSON string, because every quote is escaped there. `""`, 0 and false are
    no finish_reason, as null is none: some servers write them into every event (`""`: SGLang 0.4.3, Ollama 0.1.37). Behind
    one that is none there may be another: extensions have keys of the same name.
    """
    mark = data.find(_FINISH, start, end)
    if mark >= 0:  # of a choice, so there is one
        mark += _FINISH_LENGTH
        if data[mark] == _SPACE:
            mark += 1
        first = data[mark]
        if first != _N and not _is_null(first, data[mark + 1]):
            return True
        another = end - mark > _FINISH_LENGTH and data.find(_FINISH_KEY, mark, end) >= 0
        return another or data.find(_ERROR, start, end) >= 0
    if data.find(_CHOICES, start, end) < 0 and data.find(_SPACED_CHOICES, start, end) < 0:
        return True
    return data.find(_FINISH_KEY, start, end) >= 0 or data.find(_ERROR, start, end) >= 0


def _is_null(first: int, second: int) -> bool:
    """Returns whether a value that begins with these bytes is `""`, 0 or false."""
    if first == _QUOTE:
        return second == _QUOTE
    return first == _F or (first == _NOUGHT and second in (_COMMA, _CLOSE))


def is_ordinary(event: bytes) -> bool:
    """Returns whether these bytes are one event that may be JSON, neither the last of its choice nor an error."""
    size = len(event)
    if not event.startswith(DATA) or not event.endswith(b"}\n\n"):
        return False
    return event.find(b"\n") == size - 2 and _RETURN not in event and not is_suspicious(event, 0, size)


def is_whole(event: bytes) -> bool:
    """Returns whether these bytes, an event without its blank line, are a complete one; a cut one never parses."""
    payload = b"\n".join(data_of(event)).strip()
    if payload == b"[DONE]":
        return True
    try:
        loads(payload)
    except ValueError:
        return False
    return True


def data_of(event: bytes) -> list[bytes]:
    """Returns the data lines of one event, without the field's name (WHATWG HTML, 9.2.6)."""
    return [line[6:] if line[5:6] == b" " else line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]


def fields_of(event: bytes) -> tuple[bytes, bool]:
    """Returns the data of one event of any form, and whether the event calls itself an error. Raises BadEventError.

    Fields of other names are ignored, as comments are (WHATWG HTML, 9.2.6).
    """
    if event.count(b"\n") > MOST_LINES:
        raise BadEventError("sent an event of too many lines")
    payload: list[bytes] = []
    named_error = False
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            payload.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            named_error = line[6:].strip() == b"error"
        elif line.startswith(b"error:"):  # llama.cpp before 2025
            payload.append(line[6:].strip())
            named_error = True
        elif not line.startswith(b":") and _is_damaged(line):
            raise BadEventError("sent a line that is no event")
    return b"\n".join(payload).strip(), named_error


def _is_damaged(line: bytes) -> bool:
    """Returns whether a line that is no known field was one with data before its name was damaged on its way.

    Any other line is ignored, whatever stands in it (WHATWG HTML, 9.2.6). One that holds what JSON is made of, under a
    name that nobody would choose, may have been a part of the answer.
    """
    if not (b"{" in line or b"}" in line or b'"' in line):
        return False
    try:
        return not line.partition(b":")[0].decode().isprintable()
    except UnicodeDecodeError:
        return True


def begins_stream(data: bytes) -> bool | None:
    """Returns whether a body that begins with these bytes is an event stream; None while they are too few to say."""
    if data[: len(_USUAL)] == _USUAL:
        return True
    begun = data.removeprefix(BYTE_ORDER_MARK).lstrip(_BLANK)
    if begun.startswith(_BEGINNINGS):
        return True
    if begun.startswith(_OTHERS):
        return False
    if b"\ndata:" in begun[:BEGINNING_BYTES].replace(b"\r", b"\n"):
        return True
    return None if len(begun) <= BEGINNING_BYTES else False


def index_of(choice: dict[str, Any]) -> int | None:
    """Returns the index of a choice or of a tool call: 0 if it has none, None if it is no number. Some write text or floats."""
    index = choice.get("index")
    if index is None:
        return 0
    if isinstance(index, int):
        return index
    if isinstance(index, float) and index.is_integer():
        return int(index)
    if isinstance(index, str) and len(index) <= _MOST_DIGITS and (not index or index.isdecimal()):
        return int(index or "0")
    return None


def has_token(choice: dict[str, Any]) -> bool:
    """Returns whether a choice brings any part of the answer: whatever a delta holds that is not empty, known or not."""
    if choice.get("text"):
        return True
    delta = choice.get("delta")
    if delta is None:
        delta = choice.get("message")  # MiniMax before 2025
    if isinstance(delta, dict):
        for key, value in delta.items():
            if value and key not in _NO_TOKEN:
                return True
    elif delta:
        return True
    return False


def holds_content(choices: Any) -> bool:
    """Returns whether any of these choices brings a part of the answer; an error beside it is then no error."""
    return isinstance(choices, list) and any(isinstance(choice, dict) and has_token(choice) for choice in choices)


def counts_of(usage: dict[str, Any]) -> tuple[int, int]:
    """Returns the tokens of the prompt and of the completion in a usage object; 0 for what it does not tell.

    Thoughts are part of the completion. xAI counts them beside it: then the total is the sum of the three.
    """
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = usage.get("completion_tokens_details")
    if isinstance(details, dict):
        thought = _count(details.get("reasoning_tokens"))
        completion = with_thoughts(prompt, completion, thought, _count(usage.get("total_tokens")))
    return prompt, completion


def with_thoughts(prompt: int, completion: int, thought: int, total: int) -> int:
    """Returns the tokens of a completion with those of its thoughts, which xAI counts beside it."""
    return completion + thought if total == prompt + completion + thought else completion


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < _MOST_TOKENS else 0
