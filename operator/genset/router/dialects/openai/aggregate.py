"""Rebuilds a whole answer, field for field, from the events of a stream.

A client that asked for no stream gets its answer through one all the same: only a stream has a first token to wait for,
can stall, and can be continued elsewhere. `rebuild` reads the stream and tells of its events. Pure.

The rules are those of OpenAI's own client (openai-python, src/openai/lib/streaming/_deltas.py, chat/_completions.py), and
if it is too simple, what servers send decides:

- Deltas accumulate: text is concatenated, numbers are added, objects are merged, lists grow; entries with an `index` are
  merged with the entry of that index, pieces of text or thinking with the piece before them. What names a thing (`_NAMES`)
  is replaced, not concatenated; a `name` that is sent again is not doubled.
- Tool calls are merged by `index`, which the whole answer does not show. Servers that leave it out, or give every call the
  same one, tell their calls apart by `id`; those that leave out both send whole calls, each with its name.
- Log probabilities are lists that are concatenated (offsets in the legacy form count from the start of the answer:
  vLLM, completion/serving.py, previous_text_lens).
- Of other fields of a choice or of a chunk the last value that is not null counts, and objects are merged; of `id`, `created`
  and `model` the first that says something (Azure's first chunk has empty ones).
- What exists only while a stream runs is left out (`_STREAM_ONLY`).

Fields whose value in the whole answer is null or an empty list by default are in no stream, so they are not rebuilt.
"""

from __future__ import annotations

from typing import Any, Final

from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.events import index_of
from genset.router.dialects.tolerant import dumps, loads

#: Fields that only streams have: padding against eavesdroppers (OpenAI), progress of the prompt (llama.cpp, return_progress).
_STREAM_ONLY: Final = frozenset({"obfuscation", "prompt_progress"})
_FIRST_COUNTS: Final = ("id", "created", "model")
_APART: Final = _STREAM_ONLY.union(_FIRST_COUNTS, {"choices", "object"})
_NAMES: Final = frozenset({"role", "id", "type", "index", "format", "object"})
_PIECES: Final = frozenset({"text", "thinking"})  # types of content that arrive in pieces (Mistral's form)

#: Fields of requests whose whole answer holds what no stream tells, or which cannot be streamed; with the reason.
_WHOLE_ONLY: Final = {
    "audio": "OpenAI streams audio in another format than it answers with",
    "echo": "vLLM puts the prompt into the first chunk, and its log probabilities elsewhere",
    "store": "the stored completion is that of the request as it was made",
    "metadata": "belongs to store",
    "deferred": "xAI answers with a ticket",
    "stream_options": "refused without a stream; the upstream should say so",
    "use_beam_search": "vLLM cannot stream beams",
    "prompt_logprobs": "vLLM: whole answers only",
    "return_token_ids": "vLLM: parts of it in whole answers only",
    "return_prompt_text": "vLLM: for debugging; passed as it is",
    "kv_transfer_params": "vLLM: whole answers only (disaggregated serving)",
    "ec_transfer_params": "vLLM: whole answers only (disaggregated serving)",
    "return_hidden_states": "SGLang: of the whole answer in one piece",
    "return_routed_experts": "SGLang: whole answers only",
}

UNKNOWN_FORM: Final = "sent an event of an unknown form"  # which a client that reads the stream may know
#: A request with none of these fields is answered in a stream as it is answered without one.
_DECIDING: Final = frozenset((*_WHOLE_ONLY, "prompt", "best_of", "modalities", "stop", "reasoning_format"))


class CannotRebuildError(ValueError):
    """The events do not make a whole answer: cut, damaged, or of a kind that is not known."""


def can_rebuild(api: Api, request: dict[str, Any]) -> bool:
    """Returns whether a request that asks for no stream can get the same answer from a stream.

    If not, it goes upstream as it is, without deadlines for first token and stall, and without continuation.
    """
    if not api.streams or _continues_an_answer(request):
        return False
    return _DECIDING.isdisjoint(request) or _streams_tell_all(request)


def _streams_tell_all(request: dict[str, Any]) -> bool:
    if _differs_in_llama_cpp(request):
        return False
    for key in _WHOLE_ONLY.keys() & request.keys():
        value = request[key]
        if value or (value is not None and key == "prompt_logprobs"):  # 0 asks for those of the prompt's own tokens
            return False
    prompt = request.get("prompt")
    if isinstance(prompt, list) and any(isinstance(part, str | list) for part in prompt):
        return False  # a batch
    best = request.get("best_of")
    if best is not None and best != 1:
        return False  # chosen at the end
    modalities = request.get("modalities")
    return not modalities or modalities == ["text"]


def _differs_in_llama_cpp(request: dict[str, Any]) -> bool:
    """Returns whether llama-server's stream would say something else than its whole answer (tests/data/answers shows how)."""
    if request.get("stop") and (request.get("logprobs") or request.get("n_probs")):
        return True  # streams give the probabilities of the stop word too
    # Builds before b11669: thinking stays in the content of streams (tools/server/server-task.cpp, reasoning_in_content).
    return request.get("reasoning_format") == "deepseek-legacy"


def _continues_an_answer(request: dict[str, Any]) -> bool:
    """Returns whether the last message is the beginning of the answer: llama-server's whole answers repeat it, streams do not."""
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "assistant"


class Aggregator:
    """An Aggregator is one whole answer in the making: it takes the chunks of a stream, and puts them together."""

    __slots__ = ("_api", "_choices", "_fault", "_named", "_top")

    def __init__(self, api: Api) -> None:
        self._api = api
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._named = False  # id, created and model are known
        self._fault = ""

    def add(self, chunk: dict[str, Any]) -> bool:
        """Takes one chunk, which is parsed already. False: it has no form that is known."""
        try:
            self._chunk(chunk)
        except (TypeError, AttributeError, ValueError):
            self._fault = self._fault or UNKNOWN_FORM
        return not self._fault

    def add_text(self, index: int, key: str, text: str) -> None:
        """Takes more text for one field of a choice's delta; `key` is "text" for a legacy completion."""
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = _Choice(index)
        _accumulate(known.message, key, text)

    def answer(self) -> bytes:
        """Returns the body of the whole answer, without a usage if none came. Raises CannotRebuildError."""
        try:
            return self._answer()
        except (TypeError, AttributeError) as problem:  # numbers that cannot be ordered, values nested too deeply, ...
            raise CannotRebuildError(UNKNOWN_FORM) from problem

    def _answer(self) -> bytes:
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not self._fault and not choices:
            self._fault = "the stream held no choice"
        if not self._fault and not all(choice.fields.get("finish_reason") for choice in choices):
            self._fault = "a choice has no finish_reason"
        if self._fault:
            raise CannotRebuildError(self._fault)
        top = self._top
        shown = [choice.message_choice() if self._api.chat else choice.text_choice() for choice in choices]
        body = {"id": top.pop("id", ""), "object": self._api.whole, **top, "choices": shown}
        return dumps(body, _text)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        for choice in chunk.get("choices") or ():
            index = choice.get("index") or 0
            if not isinstance(index, int):
                index = index_of(choice) or 0
            known = self._choices.get(index)
            if known is None:
                known = self._choices[index] = _Choice(index)
            known.add(choice)
        top = self._top
        if not self._named:
            self._named = True
            for key in _FIRST_COUNTS:
                if not top.get(key) and key in chunk:
                    top[key] = chunk[key]
                self._named = self._named and bool(top.get(key))
        for key, value in chunk.items():
            if key in _APART:
                continue
            if value is not None:
                _replace(top, key, value)
            elif key not in top:
                top[key] = None


class _Choice:
    """A _Choice is one choice of the answer in the making: its message or text, its log probabilities and its other fields."""

    __slots__ = ("_calls", "_last_calls", "fields", "index", "logprobs", "message")

    def __init__(self, index: int) -> None:
        self.index = index
        self.message: dict[str, Any] = {}
        self.logprobs: dict[str, Any] | None = None
        self.fields: dict[str, Any] = {}
        self._calls: list[tuple[int, dict[str, Any]]] = []  # (index, call), in order of appearance
        self._last_calls: dict[int, dict[str, Any]] = {}  # by index

    def add(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message")  # if both come, it repeats what was said (Perplexity)
        if delta:
            self._delta({"content": delta} if isinstance(delta, str) else delta)
        fields = self.fields
        for key, value in choice.items():
            if key == "delta" or key == "index" or key == "message":
                continue
            if key == "text":
                _accumulate(self.message, "text", value)
            elif value is None or (key == "finish_reason" and not value):  # "" is none, and takes none back
                if key not in fields:
                    fields[key] = None
            elif key == "logprobs":
                fields["logprobs"] = None
                self._logprobs(value)
            else:
                _replace(fields, key, value)

    def _delta(self, delta: dict[str, Any]) -> None:
        message = self.message
        for key, value in delta.items():
            known = message.get(key)
            if type(known) is _Text and type(value) is str:  # almost always
                known.parts.append(value)
            elif key == "tool_calls" and value is not None:
                message[key] = self._calls
                for entry in [value] if isinstance(value, dict) else value:
                    self._call(entry)
            elif key not in _STREAM_ONLY:
                _accumulate(message, key, value)

    def _call(self, entry: dict[str, Any]) -> None:
        identity = entry.get("id")
        index = index_of(entry) or 0
        counted = entry.get("index") is not None
        another = False
        if not counted:
            same = [at for at, call in self._calls if call.get("id") == identity] if identity else []
            last = self._calls[-1][0] if self._calls else -1
            index = same[0] if same else (last + 1 if identity or last < 0 else last)
        call = self._last_calls.get(index)
        if call is not None:
            if identity:
                another = bool(call.get("id")) and call["id"] != identity
            else:
                another = not (counted and _is_piece(entry)) and _is_another(call, entry)
        if call is None or another:
            call = self._last_calls[index] = {}
            self._calls.append((index, call))
        for key, value in entry.items():
            if key != "index":
                _accumulate(call, key, value)

    def _logprobs(self, logprobs: dict[str, Any]) -> None:
        if self.logprobs is None:
            self.logprobs = {}
        for key, value in logprobs.items():
            if isinstance(value, list) and isinstance(known := self.logprobs.get(key), list):
                known.extend(value)
            elif value is not None or key not in self.logprobs:
                self.logprobs[key] = value

    def message_choice(self) -> dict[str, Any]:
        message = self.message
        content = message.pop("content", None)
        role = message.pop("role", None) or "assistant"
        if self._calls:
            message["tool_calls"] = [call for _, call in sorted(self._calls, key=lambda numbered: numbered[0])]
        said_otherwise = any(message.get(key) for key in ("tool_calls", "function_call", "refusal"))
        if said_otherwise and not content:
            content = None
        elif content is None:
            content = ""
        return {
            "index": self.index,
            "message": {"role": role, "content": content, **message},
            **self._rest(),
        }

    def text_choice(self) -> dict[str, Any]:
        return {"text": self.message.get("text") or "", "index": self.index, **self._rest()}

    def _rest(self) -> dict[str, Any]:
        return {**self.fields, "logprobs": self.logprobs} if "logprobs" in self.fields else self.fields


def _is_piece(entry: dict[str, Any]) -> bool:
    """Returns whether the arguments in an entry of tool calls are text, of which more may come."""
    function = entry.get("function")
    return not isinstance(function, dict) or not isinstance(function.get("arguments"), dict)


def _is_another(call: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Returns whether an entry without an id begins a call of its own: it names a function, and the call before it is whole."""
    function, known = entry.get("function"), call.get("function")
    if not isinstance(function, dict) or not isinstance(known, dict) or not function.get("name"):
        return False
    said = known.get("arguments")
    text = _text(said) if isinstance(said, _Text) else said
    if not text and not function.get("arguments"):  # two that need none
        return bool(known.get("name"))
    try:
        return isinstance(loads(text.encode()) if isinstance(text, str) else text, dict)
    except ValueError:
        return bool(known.get("name")) and function["name"] != known["name"]


class _Text:
    """A _Text is the pieces of one text, which are joined once, however many there are."""

    __slots__ = ("parts",)

    def __init__(self, *parts: str) -> None:
        self.parts = list(parts)

    def __bool__(self) -> bool:
        return any(self.parts)


def _text(value: Any) -> str:
    if isinstance(value, _Text):
        return "".join(value.parts)
    raise TypeError(type(value).__name__)


def _accumulate(into: dict[str, Any], key: str, value: Any) -> None:
    """Adds one field of a delta to what came before it."""
    known = into.get(key)
    if known is None or (not isinstance(value, str) and isinstance(known, str | _Text) and not known and value):
        into[key] = _merged_list([], value) if isinstance(value, list) else value  # "" before an object is nothing
    elif value is None or (value == "" and not isinstance(known, str | _Text)):
        pass
    elif key in _NAMES:
        into[key] = value or known
    elif isinstance(value, str) and isinstance(known, str):
        if key != "name" or value != known:
            into[key] = _Text(known, value)
    elif isinstance(value, str) and isinstance(known, _Text):
        known.parts.append(value)
    elif isinstance(value, dict) and isinstance(known, dict):
        for inner, more in value.items():
            _accumulate(known, inner, more)
    elif isinstance(value, list) and isinstance(known, list):
        _merged_list(known, value)
    elif isinstance(value, list) and isinstance(known, str | _Text):  # text first, then pieces
        before = [{"type": "text", "text": known}] if known else []
        into[key] = _merged_list(before, value)
    elif isinstance(value, str) and isinstance(known, list):
        if value:
            _merged_list(known, [{"type": "text", "text": value}])
    elif isinstance(value, bool) or isinstance(known, bool):
        into[key] = value
    elif isinstance(value, int | float) and isinstance(known, int | float):
        into[key] = known + value
    else:
        raise ValueError(f"{key} changes its type")


def _merged_list(known: list[Any], more: list[Any]) -> list[Any]:
    for entry in more:
        same = None
        if isinstance(entry, dict):
            index = entry.get("index")
            if isinstance(index, int):
                same = next((e for e in known if isinstance(e, dict) and e.get("index") == index), None)
            elif known and entry.get("type") in _PIECES and isinstance(known[-1], dict):
                same = known[-1] if known[-1].get("type") == entry["type"] else None
        if same is None:
            known.append(entry)
        else:
            for key, value in entry.items():
                _accumulate(same, key, value)
    return known


def _replace(into: dict[str, Any], key: str, value: Any) -> None:
    """Sets one field that is no delta: its last value counts."""
    known = into.get(key)
    if isinstance(known, dict) and isinstance(value, dict):
        for inner, more in value.items():
            if more is not None or inner not in known:
                _replace(known, inner, more)
    else:
        into[key] = value
