"""Clouds that keep an invoice: each answers as its provider does, and notes what it made for whom.

The notes are the hand calculation's only source: they say what was asked and told over the wire, and know nothing of routers.
What a request wants of a backend stands in its text: `house=503 gpt=cut3`. `cutN` breaks a stream behind its Nth word, `hangN`
says nothing more, a number is a status. Words count upwards, so that another one can write on.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from testbed.upstream.claude import Told
from testbed.upstream.counting import next_number, word
from testbed.upstream.responses import Said
from testbed.upstream.scripted import Received, ScriptedUpstream
from testbed.upstream.steps import Answer, Status, Step
from testbed.upstream.wire import STREAM_HEAD, Asked, event, stream_events, stream_of

_WISH = re.compile(r"\b([a-z]+)=([a-z]*)(\d*)")


@dataclass(frozen=True)
class Item:
    """An item of an invoice is what one request made a backend do. `told`: the backend has said so itself in a usage.

    Counts are tokens; `prompt` holds those that were `cached` or `written` (`hour` of these for an hour), `made` those that were
    `thought`. What was refused has none.
    """

    request: str
    backend: str
    told: bool = True
    prompt: int = 0
    cached: int = 0
    written: int = 0
    hour: int = 0
    made: int = 0
    thought: int = 0
    searches: int = 0
    images: int = 0
    dollars: str = ""  # the provider's own figure
    status: int = 200
    place: int = field(default_factory=itertools.count().__next__)  # in the order of all


@dataclass
class Cloud:
    """A cloud answers requests of one backend. `kind`: whose API it speaks."""

    name: str
    kind: str
    words: int = 8
    invoice: list[Item] = field(default_factory=list)
    own: list[Item] = field(default_factory=list)  # what routers have asked for themselves
    server: ScriptedUpstream = field(init=False)

    def __post_init__(self) -> None:
        self.server = ScriptedUpstream(choose=self.choose)

    def choose(self, received: Received) -> Step | None:
        if received.method != "POST":
            return None
        identity = received.headers.get("x-request-id", "")
        verb, number = self._wish(received.body.decode())
        step, item = self._answered(identity, received, verb, int(number or 0))
        (self.invoice if identity else self.own).append(item)
        return step

    def _wish(self, text: str) -> tuple[str, str]:
        found = {name: (verb, number) for name, verb, number in _WISH.findall(text)}
        return found.get(self.name, ("", ""))

    def _answered(self, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
        if not verb and number:
            body = {"error": {"message": "not now", "type": "server_error", "code": None}}
            return Status(number, body), Item(identity, self.name, told=False, status=number)
        made = _APIS[self.kind]
        return made(self, identity, received, verb, number)

    def item(self, identity: str, **counts: Any) -> Item:
        return Item(identity, self.name, **counts)


def seed(identity: str) -> int:
    """Returns the number of a request: what it costs differs from one to the next, and is the same in each run."""
    digits = re.sub(r"\D", "", identity)
    return int(digits or 0)


def _said(body: dict[str, Any]) -> int:
    """Returns with which word an answer goes on: behind those that another backend has made."""
    messages = body.get("messages") or []
    last = messages[-1] if messages and messages[-1].get("role") == "assistant" else {}
    content = last.get("content") or ""
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return next_number(text)


def _broken(events: Iterable[bytes], head: int, verb: str, number: int, http_head: bytes = STREAM_HEAD) -> Step:
    """Returns a stream that ends behind so many words; `head`: events before the first one."""
    return stream_of(list(events), head + number, "stall" if verb == "hang" else "rst", http_head)


def _openai(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    n, body = seed(identity), received.json
    asked = Asked.of(received.path, body)
    first = next_number(asked.said) if asked.kind == "text_completion" else _said(body)
    prompt = 40 + n % 500
    counts = {"prompt": prompt, "cached": prompt // 3 if n % 2 else 0}
    counts |= {"made": max(0, cloud.words - first) + n % 7, "thought": n % 7}
    if not identity:  # an answer of one token
        counts |= {"made": 1, "thought": 0}
    usage: dict[str, Any] = {
        "prompt_tokens": counts["prompt"], "completion_tokens": counts["made"],
        "total_tokens": counts["prompt"] + counts["made"], "prompt_tokens_details": {"cached_tokens": counts["cached"]},
        "completion_tokens_details": {"reasoning_tokens": counts["thought"]},
    }  # fmt: skip
    dollars = f"0.{n % 100_000 + 1:08d}" if cloud.kind == "openrouter" else ""
    if dollars:
        usage["cost"] = float(dollars)
    parts = stream_events(Answer(words=cloud.words, usage=False, done=False), asked, f"up-{n}")
    if verb and asked.stream:
        made = min(number, len(parts.chunks))
        events = [*([parts.head] if parts.head else []), *parts.chunks]
        return _broken(events, 1 if parts.head else 0, verb, made), cloud.item(identity, told=False, made=made)
    item = cloud.item(identity, dollars=dollars, **counts)
    if not asked.stream:
        text = "".join(word(at) for at in range(first, cloud.words))
        chat = asked.kind == "chat.completion"
        choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        whole = {"id": "1", "object": asked.kind, "created": 1, "model": "m", "usage": usage}
        return Status(200, {**whole, "choices": [{"index": 0, "finish_reason": "stop", **choice}]}), item
    told = event(
        {"id": f"up-{n}", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    )
    return stream_of([e for e in (parts.head, *parts.chunks, parts.tail, told, b"data: [DONE]\n\n") if e], None), item


def _anthropic(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    n, body = seed(identity), received.json
    if received.path.endswith("count_tokens"):
        return Status(200, {"input_tokens": 12}), cloud.item(identity)
    fresh, read, written, hour = 30 + n % 300, (n % 3) * 50, (n % 2) * 20, (n % 4) // 3 * 8
    made = max(1, cloud.words - _said(body)) + n % 5 if identity else 1
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": 1,
    }
    usage["cache_creation"] = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    texts = tuple(word(at) for at in range(_said(body), cloud.words)) or (" ",)
    told = Told(texts=texts, usage=usage, output_tokens=made)
    counts = {"prompt": fresh + read + written, "cached": read, "written": written, "hour": min(hour, written)}
    if verb and body.get("stream"):
        cut = min(number, len(texts))
        return _broken(told.events(), 3, verb, cut), cloud.item(identity, told=False, made=cut, **counts)
    item = cloud.item(identity, made=made, **counts)
    return (stream_of(told.events(), None) if body.get("stream") else Status(200, told.message())), item


def _responses(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    n = seed(identity)
    counts = {"prompt": 60 + n % 400, "cached": (n % 5) * 4, "made": cloud.words + n % 9, "thought": n % 9}
    if not identity:
        counts |= {"made": 1, "thought": 0}
    usage = {
        "input_tokens": counts["prompt"], "input_tokens_details": {"cached_tokens": counts["cached"], "cache_write_tokens": 0},
        "output_tokens": counts["made"], "output_tokens_details": {"reasoning_tokens": counts["thought"]},
        "total_tokens": counts["prompt"] + counts["made"],
    }  # fmt: skip
    said = Said(texts=tuple(word(at) for at in range(cloud.words)), usage=usage)
    if verb and received.json.get("stream"):
        return _broken(said.events(), 4, verb, number), cloud.item(identity, told=False, made=number)
    item = cloud.item(identity, **counts)
    return (stream_of(said.events(), None) if received.json.get("stream") else Status(200, said.response())), item


def _vectors(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    prompt = 10 + seed(identity) % 200
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    told = {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": prompt, "total_tokens": prompt}}
    return Status(200, told), cloud.item(identity, prompt=prompt)


def _ranks(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    searches = 1 + seed(identity) % 3
    told = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": searches}}}
    return Status(200, told), cloud.item(identity, searches=searches)


def _pictures(cloud: Cloud, identity: str, received: Received, verb: str, number: int) -> tuple[Step, Item]:
    count = 1 + seed(identity) % 3
    data = [{"b64_json": "AAAA"} for _ in range(count)]
    return Status(200, {"created": 1, "data": data}), cloud.item(identity, images=count)


_APIS: dict[str, Any] = {
    "openai": _openai, "openrouter": _openai, "anthropic": _anthropic, "responses": _responses, "vectors": _vectors,
    "ranks": _ranks, "pictures": _pictures,
}  # fmt: skip
