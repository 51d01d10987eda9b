"""Reads the JSON of a request, within its room (see `body_cost`), and sees to it that each of its keys is there once. Pure.

orjson keeps the last of two equal keys in silence, other servers take the first, or match keys without case: a body that
says two things is refused, because what was decided on has to be what is sent. Each check is a cheap one first, and an
exact one only on suspicion.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

import orjson

from genset.router.dialects.tolerant import has_long_number, loads_as_sent
from genset.router.errors import FULL_SECONDS, error
from genset.router.http.body_cost import RefusedBody, parsing_bytes

#: Bodies up to this size are parsed without counting: a tree is 25 times as large at most.
COUNTED_BYTES: Final = 256 * 1024
MOST_DEPTH: Final = 250  # orjson writes no deeper
MOST_KEYS: Final = 1024  # of the outermost object: a comparison of all of them takes as much memory as they do
#: Keys that need no look at their letters.
_USUAL: Final = frozenset((
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n",
    "stop", "tools", "tool_choice", "response_format", "seed", "user", "prompt", "input", "frequency_penalty",
    "presence_penalty", "logprobs", "top_logprobs", "encoding_format", "metadata", "parallel_tool_calls",
))  # fmt: skip
#: What the router reads, adds, renames or takes away, beside these. A server that matches keys without case would take
#: one that is spelled otherwise for it, or find it twice when the router has added its own.
_READ: Final = _USUAL | frozenset((
    "audio", "best_of", "deferred", "echo", "functions", "function_call", "logit_bias", "min_tokens", "modalities", "n_probs",
    "store", "suffix", "prompt_logprobs", "reasoning_format", "chat_template_kwargs", "add_generation_prompt",
    "continue_final_message", "use_beam_search", "return_token_ids", "return_prompt_text", "kv_transfer_params",
    "ec_transfer_params", "return_hidden_states", "return_routed_experts",
    # Of Messages and Responses, also where they pass as they are.
    "background", "background_options", "cache_control", "compaction", "container", "context_management", "conversation",
    "include", "instructions", "max_output_tokens", "max_tool_calls", "mcp_servers", "moderation", "output_config",
    "output_format", "previous_response_id", "reasoning", "safety_identifier", "service_tier", "stop_sequences", "system",
    "text", "thinking", "thread", "top_k", "truncation", "user_profile_id",
    # Of scores, sound, pictures and tokens.
    "content", "documents", "image", "query", "size", "text_1", "text_2", "tokens", "top_n", "voice",
))  # fmt: skip
_SMALL: Final = 1024  # up to here all entries are counted
_SHOWN: Final = 64  # characters of a key in a message

_HALF: Final = re.compile(  # of a pair of surrogates, without the other one
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_KEY: Final = re.compile(rb'[ \t\r\n]*"([^"\\]*)"[ \t\r\n]*:[ \t\r\n]*')
_SCALAR: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\[\s*\]|\{\s*\}|[^\s,"{}\[\]]+', re.DOTALL)
_COMMA: Final = re.compile(rb"[ \t\r\n]*,")
_END: Final = re.compile(rb"[ \t\r\n]*}[ \t\r\n]*\Z")
TOKEN: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*:)?|([\[{])|[\]}]', re.DOTALL)
_LONG: Final = float(1 << 63)  # orjson makes a float of what is beyond, and of nothing else that is an integer
_SHORT: Final = 64  # characters of a string that an expression reads
_NOT_JSON: Final = object()
_loads: Final = orjson.loads
_CANDIDATES: Final = 4  # places at which the next key may stand that are tried


class NoRoom(Exception):
    """Parsing the body needs more memory than there is room for."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"parsing the body needs {needed} bytes")
        self.needed = needed


def read(body: bytes, room: int) -> Any:
    """Reads the value that the body holds, if parsing it needs no more than `room` bytes beside it.

    Raises orjson.JSONDecodeError, RefusedBody or NoRoom.
    """
    try:
        value, long = _read(body, room)
    except orjson.JSONDecodeError:
        # Half a character, which may stand in an answer that the client got from here.
        plain = body.replace(b"\\\\", b"\\f")  # what follows an escaped backslash is no escape
        if _HALF.search(plain) is None:
            raise
        _read(_HALF.sub(rb"\\ufffd", plain), room)
        return _as_sent(body)
    if long and has_long_number(body):
        value = None  # there should be only one of the trees at a time
        value = _as_sent(body)
    return value


def again(body: bytes) -> Any:
    """Reads a body that was read before, with the same result."""
    if has_long_number(body):
        return _as_sent(body)
    try:
        return _loads(body)
    except orjson.JSONDecodeError:
        return _as_sent(body)


def _as_sent(body: bytes) -> Any:
    """Reads what orjson refuses or changes. Names are no text: no half characters stand in them."""
    try:
        value = loads_as_sent(body)
        if type(value) is dict:
            "".join((*value, str(value.get("model")))).encode()
    except ValueError as problem:
        raise orjson.JSONDecodeError(str(problem), "", 0) from problem
    return value


def _read(body: bytes, room: int) -> tuple[Any, bool]:
    """Reads the value with orjson, and says whether an integer beyond 64 bits may be among what that made floats of."""
    size = len(body)
    if size > COUNTED_BYTES:
        needed = parsing_bytes(body)
        if needed > room:
            raise NoRoom(needed)
    value, sure, tree = _first_look(body)
    if tree.deep:
        raise RefusedBody(f"the body is nested too deeply (more than {MOST_DEPTH} levels)")
    if type(value) is not dict:
        return value, tree.long
    if len(value) > MOST_KEYS:
        raise RefusedBody(f"the body has more than {MOST_KEYS} keys")
    if not _USUAL.issuperset(value):
        names = "\n".join(value)
        if not names.isascii() or names.lower() != names:
            _refuse_alike(value)
    if not sure:
        shape = [(key.encode(), _is_long(inner)) for key, inner in value.items()]
        value = None  # there should be only one of the trees at a time
        value = _in_pieces(body, shape)
        if value is None:
            _refuse_repeated(body)
            value = _loads(body)
    return value, tree.long


def parsed(body: bytes, room: int, taken: int) -> Any:
    """Reads a body, or returns the error that the client gets. `taken`: bytes of the room that bodies take, this one too."""
    try:
        return read(body, room - taken)
    except orjson.JSONDecodeError as problem:
        return error("caller_invalid_json", f"the body is not JSON: {problem}")
    except RefusedBody as refusal:
        return error("caller_bad_request", str(refusal))
    except NoRoom as lack:
        if len(body) + lack.needed > room:
            return error("caller_body_too_large", f"{lack}, and the router has {room} (router.resources.memory)")
        return error("router_overloaded", "the router holds too many request bodies", retry_after=FULL_SECONDS)


@final
class _Tree:
    """A tree is what a walk over a value has seen of it.

    `entries` of all objects: as many as there are colons outside of strings, if each key is there once. `deep`: it is nested in
    more levels than may be. `long`: a number may be an integer beyond 64 bits.
    """

    __slots__ = ("deep", "entries", "long")

    def __init__(self) -> None:
        self.entries = 0
        self.deep = False
        self.long = False

    def walk(self, value: Any, level: int) -> None:
        """Looks at a value that stands on this level; the outermost is the first."""
        if level > MOST_DEPTH:
            self.deep = True
        elif type(value) is dict:
            self.entries += len(value)
            for inner in value.values():
                if type(inner) is dict or type(inner) is list:
                    self.walk(inner, level + 1)
                elif type(inner) is float and not -_LONG < inner < _LONG:
                    self.long = True
        elif type(value) is list:
            for inner in value:
                if type(inner) is dict or type(inner) is list:
                    self.walk(inner, level + 1)
                elif type(inner) is float and not -_LONG < inner < _LONG:
                    self.long = True


def _colons(text: bytes) -> int:
    """Counts colons. `replace` searches by memchr and makes a copy; `count` looks at each byte, and takes seven times as long."""
    return len(text) - len(text.replace(b":", b"")) if len(text) <= COUNTED_BYTES else text.count(b":")


def _first_look(body: bytes) -> tuple[Any, bool, _Tree]:
    """Reads the value, and says whether its keys are surely there once (there are as many entries as colons), and its tree.

    Colons in text say nothing. So a body with one list, as most have, is parsed in two parts, the list and what is
    outside, where text is rare.
    """
    if len(body) <= _SMALL:
        value = _loads(body)
        tree = _Tree()
        tree.walk(value, 1)
        if type(value) is dict and _colons(body) == tree.entries:
            return value, True, tree
    value, tree = None, _Tree()  # there should be only one of the trees at a time
    first, last = body.find(b"["), body.rfind(b"]")
    if not 0 < first < last or 2 * (last - first) < len(body):
        value = _loads(body)
        tree.walk(value, 1)
        return value, type(value) is dict and _colons(body) == tree.entries, tree
    outside = body[:first] + b"[]" + body[last + 1 :]
    outer = inner = None
    try:
        outer = _loads(outside)
        inner = _loads(memoryview(body)[first : last + 1])
    except orjson.JSONDecodeError:
        outer = None
    place = (
        next((key for key, one in outer.items() if isinstance(one, list)), None) if isinstance(outer, dict) else None
    )
    if outer is not None and place is not None:
        tree.walk(outer, 1)
        sure = _colons(outside) == tree.entries
        tree.walk(inner, 2)
        outer[place] = inner
        return outer, sure, tree
    outer = inner = None
    value = _loads(body)
    tree.walk(value, 1)
    return value, False, tree


# Keys


def _refuse_alike(parsed: dict[str, Any]) -> None:
    """Refuses keys that some servers take for one another, or for one of the API's."""
    seen: dict[str, str] = {}
    for key in parsed:
        folded = key.casefold()
        if folded in _READ and folded != key and folded not in parsed:
            raise RefusedBody(f"the body has the key {key[:_SHOWN]!r}: it is spelled {folded!r}")
        other = seen.setdefault(folded, key)
        if other is not key:
            raise RefusedBody(
                f"the body has the keys {other[:_SHOWN]!r} and {key[:_SHOWN]!r}: a key may be there once, "
                "upper and lower case alike"
            )


def _is_long(value: Any) -> bool:
    """Returns whether an expression would have much to read of a value. Empty ones are short."""
    kind = type(value)
    return len(value) > (_SHORT if kind is str else 0) if kind is str or kind is list or kind is dict else False


def _in_pieces(body: bytes, shape: list[tuple[bytes, bool]]) -> dict[str, Any] | None:
    """Parses the body key by key. None if it is not seen to be these keys, each once and in this order.

    `shape`: keys, and whether their values are long. A long one reaches up to where the next key stands, if it is JSON
    as far as there.
    """
    pieces: dict[str, Any] = {}
    at = body.find(b"{") + 1
    last = len(shape) - 1
    for number, (key, long) in enumerate(shape):
        found = _KEY.match(body, at)
        if found is None or found.group(1) != key:
            return None
        at = found.end()
        if long:
            end, value = _long_value(body, at, shape[number + 1][0] if number < last else None)
        else:
            found = _SCALAR.match(body, at)
            end = found.end() if found is not None else -1
            value = _NOT_JSON if end < 0 else _loads_part(body, at, end)
        if value is _NOT_JSON:
            return None
        found = (_COMMA if number < last else _END).match(body, end)
        if found is None:
            return None
        at = found.end()
        pieces[key.decode()] = value
    return pieces if len(pieces) == len(shape) else None


def _long_value(body: bytes, start: int, following: bytes | None) -> tuple[int, Any]:
    """Returns the end and the value of what begins at `start`: it ends before the key `following`, or with the body."""
    if following is None:
        end = body.rfind(b"}")
        return end, _loads_part(body, start, end)
    marker = b'"%b"' % following
    at = start
    for _ in range(_CANDIDATES):
        at = body.find(marker, at)
        if at < 0:
            break
        end = body.rfind(b",", start, at)
        if end > 0 and not body[end + 1 : at].strip():
            value = _loads_part(body, start, end)
            if value is not _NOT_JSON:
                return end, value
        at += 1
    return -1, _NOT_JSON


def _loads_part(body: bytes, start: int, end: int) -> Any:
    try:
        return _loads(memoryview(body)[start:end])
    except orjson.JSONDecodeError:
        return _NOT_JSON


def _refuse_repeated(body: bytes) -> None:
    """Looks at every string of the body for the keys of its outermost object."""
    seen: set[str] = set()
    depth = 0
    for token in TOKEN.finditer(body):
        text = token.group(1)
        if text is None:
            depth += 1 if token.group(3) else -1
        elif depth == 1 and token.group(2):
            key = _loads(text)
            if key in seen:
                raise RefusedBody(f"the body has the key {key[:_SHOWN]!r} more than once")
            seen.add(key)
