"""The table says which route takes a request, and in which order its backends are candidates.

It is built from a RouterConfig and the backends' states, and replaced as a whole by one assignment. A request keeps the
table that it began with. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import orjson

from genset.contracts.router_config import RouterConfig
from genset.router.backends.backend import Backend
from genset.router.errors import BROKEN_SECONDS, ErrorAnswer, error
from genset.router.machine.answer_room import SMALL_ANSWER_TOKENS, limit_of
from genset.router.machine.decisions import Candidate
from genset.router.routing.catalogue import catalogue, some_names
from genset.router.routing.route import Route, route_of

MODEL_BYTES: Final = 256  # longest name of a model; nothing has a longer one
MODELS_KEPT: Final = 1024  # model names whose routes are remembered
BYTES_PER_TOKEN: Final = 4  # of UTF-8 text; the estimate that `maxInputTokens` documents


@final
class Plan:
    """A plan is what POLICY decided: a route and its frozen list of candidates. `skipped`: why a better one is missing."""

    __slots__ = ("candidates", "route", "skipped")

    def __init__(self, route: Route, candidates: list[Candidate], skipped: str = "") -> None:
        self.route = route
        self.candidates = candidates
        self.skipped = skipped


class Table:
    """A table is everything that a request looks up."""

    def __init__(self, config: RouterConfig, backends: Mapping[str, Backend], config_hash: str) -> None:
        self.config = config
        self.backends = dict(backends)
        self.hash = config_hash
        self.routes = tuple(route_of(route, backends) for route in config.routes)
        self._by_model: dict[str, tuple[Route, ...]] = {}
        self.models = tuple(
            dict.fromkeys(m for route in config.routes for m in route.match.models if not m.endswith("*"))
        )
        self.named = frozenset(self.models)
        self.catalogue = catalogue(self.routes)

    def plan(
        self,
        model: str,
        tokens: int,
        answer_tokens: int,
        headers: Mapping[bytes, bytes],
        random: Callable[[], float],
        task: str = "Chat",
    ) -> Plan | ErrorAnswer:
        """Returns the first route that takes the request, with its candidates, or the error if there is none. `task`: what a
        backend has to be there for, if it is there for one thing alone."""
        if is_too_long(model):
            return error(
                "policy_model_not_found",
                f"no route takes model {model[:128]!r}…: its name is longer than {MODEL_BYTES} bytes",
            )
        for route in self._routes_of(model):
            if route.plain or route.takes(model, tokens, headers):
                return _order(route, tokens, answer_tokens, random, task)
        return error(
            "policy_model_not_found",
            f"no route takes model {model[:128]!r} with these headers and {tokens} input tokens; "
            f"models: {some_names(self.catalogue)}",
        )

    def _routes_of(self, model: str) -> tuple[Route, ...]:
        routes = self._by_model.get(model)
        if routes is None:
            routes = tuple(r for r in self.routes if r.any_model or model in r.exact or model.startswith(r.prefixes))
            if len(self._by_model) < MODELS_KEPT:  # clients choose the names
                self._by_model[model] = routes
        return routes


def is_too_long(model: str) -> bool:
    """Returns whether a model's name is too long to be looked up."""
    size = len(model)
    return size > MODEL_BYTES or (4 * size > MODEL_BYTES and len(model.encode()) > MODEL_BYTES)


def _order(route: Route, tokens: int, answer: int, random: Callable[[], float], task: str) -> Plan | ErrorAnswer:
    if route.fixed is not None and (route.holds is None or tokens + answer <= route.holds):
        return Plan(route, route.fixed)
    if not route.tiers:
        return error(
            "policy_no_backend",
            f"route {route.config.name} has no backend: none of the deployments that its tiers name is known; the operator of "
            "this router must create one, or correct the tiers",
            retry_after=BROKEN_SECONDS,
        )
    candidates: list[Candidate] = []
    skipped, largest = "", 0
    house_only = False  # it is too long for a model of the house, and may not go to a cloud for that reason
    for tier in route.tiers:
        for candidate in _shuffle(tier, random):
            if house_only and not candidate.backend.local:
                continue
            if candidate.backend.task is not None and candidate.backend.task != task:
                continue
            holds = candidate.backend.context_tokens
            if holds is not None and tokens + answer > holds:
                skipped, largest = "context_too_long", max(largest, holds)
                house_only = house_only or (candidate.backend.local and "TooLong" not in route.failover.to_cloud_on)
            else:
                candidates.append(candidate)
    if not candidates and not largest:
        tasks = sorted({c.backend.task for tier in route.tiers for c, _ in tier if c.backend.task is not None})
        return error(
            "policy_model_not_found",
            f"no backend of route {route.config.name} is there for task {task}: they are there for {' and '.join(tasks)}; ask "
            "another path of the API, or another model",
        )
    if not candidates:
        room = f", and its answer needs room for {answer}" if tokens <= largest else ""
        return error(  # OpenAI's words: clients recognise them, and shorten what they sent
            "policy_context_too_long",
            f"This model's maximum context length is {largest} tokens. However, your request has about {tokens} input "
            f"tokens{room}. Please reduce the length of the messages.",
        )
    return Plan(route, candidates, skipped if candidates[0].tier > 0 else "")


def _shuffle(tier: tuple[tuple[Candidate, int], ...], random: Callable[[], float]) -> Sequence[Candidate]:
    """Orders a tier by weighted chance, weight 0 last: by u^(1/w) (Efraimidis and Spirakis, 2006)."""
    if len(tier) == 1:
        return (tier[0][0],)
    keyed = [(random() ** (1.0 / weight) if weight else -1.0, candidate) for candidate, weight in tier]
    keyed.sort(key=lambda pair: -pair[0])
    return [candidate for _, candidate in keyed]


def estimate_tokens(request: dict[str, Any]) -> int:
    """Estimates the tokens of the prompt: bytes of its text / 4, with tool definitions, without images and audio."""
    size = 0
    messages = request.get("messages")
    if type(messages) is list:
        for message in messages:
            if type(message) is dict:
                content = message.get("content")
                if type(content) is str and content.isascii():  # almost always
                    size += len(content)
                else:
                    size += _text_bytes(content)
                if "tool_calls" in message:
                    size += _json_bytes(message["tool_calls"])
    if "prompt" in request:
        size += _text_bytes(request["prompt"])
    if "input" in request:
        size += _longest_bytes(request["input"])
    if "documents" in request:
        size += _text_bytes(request.get("query")) + _longest_bytes(request["documents"])
    if "suffix" in request:
        size += _text_bytes(request["suffix"])
    if "tools" in request:
        size += _json_bytes(request["tools"])
    return size // BYTES_PER_TOKEN


def _longest_bytes(value: Any) -> int:
    """Counts the bytes of one text, or of the longest one of a batch: each goes through the model by itself."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return max(_text_bytes(part.get("text") if isinstance(part, dict) else part) for part in value)
    return _text_bytes(value)


def _json_bytes(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # integers beyond 64 bits, halves of characters
        return len(repr(value))


def _text_bytes(value: Any, depth: int = 3) -> int:
    """Counts the bytes of text in a string, in content parts or in a batch.

    It looks no deeper than the API nests, because hostile bodies nest deeper.
    """
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list) and depth:
        if value and isinstance(value[0], int):  # already tokens
            return BYTES_PER_TOKEN * len(value)
        return sum(_text_bytes(part.get("text") if isinstance(part, dict) else part, depth - 1) for part in value)
    return 0


def answer_tokens(request: dict[str, Any]) -> int:
    """Returns for how many tokens of answer a backend must have room to be asked.

    That is the client's limit, but at most SMALL_ANSWER_TOKENS, because few answers come near their limit; 0 if the
    client sets none.
    """
    return min(limit_of(request), SMALL_ANSWER_TOKENS)
