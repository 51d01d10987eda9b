"""The table says which route takes a request, and in which order its backends are candidates.

It is built from a RouterConfig and the backends' states, and replaced as a whole by one assignment. A request keeps the
table that it began with. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import orjson

from genset.contracts.router_config import RouterConfig
from genset.router.backends.backend import Backend
from genset.router.dialects.client import NativeCall
from genset.router.errors import BROKEN_SECONDS, ErrorAnswer, error
from genset.router.machine.answer_room import SMALL_ANSWER_TOKENS, limit_of
from genset.router.machine.decisions import Candidate
from genset.router.routing.catalogue import catalogue, moderating, some_names
from genset.router.routing.model_names import ModelNames
from genset.router.routing.needs import NO_NEEDS
from genset.router.routing.plan import Plan
from genset.router.routing.route import Route, route_for, route_of
from genset.router.shapes.request_shape import RequestShape, read_by

_NOTHING: Final[dict[str, Any]] = {}
MODEL_BYTES: Final = 256  # longest name of a model; nothing has a longer one
MODELS_KEPT: Final = 1024  # model names whose routes are remembered
BYTES_PER_TOKEN: Final = 4  # of UTF-8 text; the estimate that `maxInputTokens` documents


class LeftOut(NamedTuple):
    """Something left out is a route, or a backend of the one that was taken (`backend` is "" for a route). `why`: the reason."""

    route: str
    backend: str
    why: str


class Table:
    """A table is everything that a request looks up.

    `adapters` are backends of their own for the adapters of a backend, by its name and theirs.
    """

    def __init__(
        self,
        config: RouterConfig,
        backends: Mapping[str, Backend],
        config_hash: str,
        adapters: Mapping[str, Mapping[str, Backend]] | None = None,
    ) -> None:
        self.config = config
        self.backends = dict(backends)
        self.adapters = dict(adapters or {})
        self.hash = config_hash
        above = [said.rule for said in config.data_zones or ()]
        self.routes = tuple(route_of(route, backends, above) for route in config.routes)
        shapes = [route.match.shape for route in config.routes if route.match.shape is not None]
        self._reads = read_by(shapes) if shapes else None  # of the shape of requests; None: nobody looks
        self._by_model: dict[str, tuple[Route, ...]] = {}
        self._others = self.routes  # of models that no backend with adapters knows
        self.models = tuple(
            dict.fromkeys(m for route in config.routes for m in route.match.models if not m.endswith("*"))
        )
        self.named = frozenset(self.models)
        #: APIs other than OpenAI's chat that some backend speaks, by their names.
        self.wires = frozenset(backend.target.wire for backend in backends.values() if backend.target.wire)
        self.catalogue = catalogue(self.routes, self.adapters)
        self._perceiving: dict[str, frozenset[str]] = {}  # what servers had told when the catalogue was written
        if self.adapters:
            self._know_adapters()

    def listed(self) -> Mapping[str, dict[str, Any]]:
        """Returns the models that are told of: the catalogue without adapters that no endpoint has loaded yet."""
        perceiving = {name: senses for name, backend in self.backends.items() if (senses := backend.pool.senses)}
        if perceiving != self._perceiving:
            self._perceiving = perceiving
            self.catalogue = catalogue(self.routes, self.adapters)
        if not self.adapters:
            return self.catalogue
        parts: dict[str, bool] = {}
        for named in self.adapters.values():
            for name, backend in named.items():
                parts[name] = parts.get(name, False) or bool(backend.endpoints)
        return {name: entry for name, entry in self.catalogue.items() if parts.get(name, True)}

    def shape_of(
        self, request: dict[str, Any], tokens: int, now: Callable[[], float], *, generates: bool = True
    ) -> RequestShape | None:
        """Returns the shape of a request that has come `now` (seconds since 1970); None if no route reads it.

        `generates`: text is asked for.
        """
        if self._reads is None:
            return None
        return RequestShape(self._reads, request, tokens, now(), generates=generates)

    def _know_adapters(self) -> None:
        """Prepares the routes of every name that a configuration knows: to all others they are the same."""
        known = dict.fromkeys(self.models)
        for name, named in self.adapters.items():
            known.update(dict.fromkeys((self.backends[name].target.model, *named)))
        for model in known:
            taking = [r for r in self.routes if r.any_model or model in r.exact or model.startswith(r.prefixes)]
            self._by_model[model] = self._as_asked(taking, model)
        self._others = self._as_asked(self.routes, "")

    def _as_asked(self, routes: Iterable[Route], model: str) -> tuple[Route, ...]:
        found = (route_for(route, model, self.adapters) for route in routes)
        return tuple(route for route in found if route is not None)

    def plan(
        self,
        model: str,
        tokens: int,
        answer_tokens: int,
        headers: Mapping[bytes, bytes],
        random: Callable[[], float],
        task: str = "Chat",
        request: dict[str, Any] = _NOTHING,
        native: NativeCall | None = None,
        may_name: ModelNames | None = None,
        left_out: list[LeftOut] | None = None,
        shape: RequestShape | None = None,
    ) -> Plan | ErrorAnswer:
        """Returns the first route that takes the request, with its candidates, or the error if there is none.

        `task`: what a backend has to be there for, if it is there for one thing alone. `request`: what it has to be able to do.
        `native`: what the client has asked for in another API, which it may have to speak itself. `may_name`: the only models
        that its caller may name. `left_out` gets what is passed over, with the reason. `shape`: see `shape_of`.
        """
        if is_too_long(model):
            return error(
                "policy_model_not_found",
                f"no route takes model {model[:128]!r}…: its name is longer than {MODEL_BYTES} bytes",
            )
        routes = self._routes_of(model) if may_name is None or may_name.holds(model) else ()
        if left_out is not None:
            left_out += _passed_over(
                self.routes, model, tokens, headers, shape, allowed=may_name is None or may_name.holds(model)
            )
        for route in routes:
            if route.plain or route.takes(model, tokens, headers, shape):
                needs = route.needed.of(request) if route.needed is not None else NO_NEEDS
                missing = _Missing(needs, native) if needs or native is not None else _NOTHING_MISSING
                return _order(route, tokens, answer_tokens, random, task, missing, left_out)
        shaped = " in this shape" if shape is not None else ""
        return error(
            "policy_model_not_found",
            f"no route takes model {model[:128]!r} with these headers and {tokens} input tokens{shaped}; "
            f"models: {some_names(self.listed() if may_name is None else may_name.those_of(self.listed()))}",
        )

    def moderating(self, may_name: ModelNames | None) -> str | ErrorAnswer:
        """Returns the model of a moderation that names none; an error if that is not clear. `may_name`: see `plan`."""
        listed = self.listed()
        names = listed if may_name is None else may_name.those_of(listed)
        return moderating({name: self._answering(name) for name in names})

    def _answering(self, model: str) -> list[Backend]:
        tiers = [tier for route in self._routes_of(model)[:1] for tier in route.tiers]
        return [candidate.backend for tier in tiers for candidate, _ in tier]

    def _routes_of(self, model: str) -> tuple[Route, ...]:
        routes = self._by_model.get(model)
        if routes is None:
            routes = tuple(r for r in self._others if r.any_model or model in r.exact or model.startswith(r.prefixes))
            if len(self._by_model) < MODELS_KEPT:  # clients choose the names
                self._by_model[model] = routes
        return routes


@final
class _Missing:
    """A _Missing knows what a request needs, and which backends lack it. `confined`: no cloud may be asked for that reason."""

    __slots__ = ("_native", "_needs", "backends", "confined", "nothing")

    def __init__(self, needs: frozenset[str], native: NativeCall | None) -> None:
        self._needs = needs
        self._native = native if native is not None and native.bound is not None else None
        self.nothing = not needs and self._native is None
        self.backends: dict[str, frozenset[str]] = {}
        self.confined = False

    def excludes(self, backend: Backend) -> bool:
        """Returns whether the backend cannot do what is asked, and keeps that in mind."""
        lacks = self._needs & backend.lacks
        foreign = self._native is not None and backend.target.wire != self._native.wire
        if lacks or foreign:
            self.backends[backend.name] = lacks
        return bool(lacks) or foreign

    def answer(self, route: str) -> ErrorAnswer:
        """Returns the error for a request that no backend can do."""
        lacking = {name: lacks for name, lacks in self.backends.items() if lacks}
        if self._native is not None and self._native.bound is not None and not lacking:
            return self._native.bound.answer()
        wanted = ", ".join(sorted(frozenset().union(*lacking.values())))
        story = "; ".join(f"{name} lacks {', '.join(sorted(lacks))}" for name, lacks in lacking.items())
        cloud = "let failover.toCloudOn hold Unsupported, so that a cloud may be asked, " if self.confined else ""
        return error(
            "policy_capability",
            f"the request needs {wanted}, and no backend of route {route} that may answer it has that ({story}); leave it out, "
            f"ask another model, {cloud}or set capabilities of a backend in the RoutePolicy if it can",
        )


_NOTHING_MISSING: Final = _Missing(NO_NEEDS, None)  # of most requests


def is_too_long(model: str) -> bool:
    """Returns whether a model's name is too long to be looked up."""
    size = len(model)
    return size > MODEL_BYTES or (4 * size > MODEL_BYTES and len(model.encode()) > MODEL_BYTES)


def _passed_over(
    routes: Sequence[Route],
    model: str,
    tokens: int,
    headers: Mapping[bytes, bytes],
    shape: RequestShape | None,
    *,
    allowed: bool,
) -> Iterator[LeftOut]:
    """Yields why each route before the first that takes the request does not take it."""
    for route in routes:
        why = (
            route.why_not(model, tokens, headers, shape) if allowed else "the consumer may not name this model (models)"
        )
        if not why:
            return
        yield LeftOut(route.name, "", why)


def _order(
    route: Route,
    tokens: int,
    answer: int,
    random: Callable[[], float],
    task: str,
    missing: _Missing,
    left_out: list[LeftOut] | None = None,
) -> Plan | ErrorAnswer:
    if left_out is not None:
        left_out += [
            LeftOut(route.name, name, f"its data zone {zone} is outside of the route's")
            for name, zone in route.zones.left_out.items()
        ]
    if route.fixed is not None and missing.nothing and (route.holds is None or tokens + answer <= route.holds):
        return Plan(route, route.fixed)
    if not route.tiers:
        return route.zones.refusal(route.name) or error(
            "policy_no_backend",
            f"route {route.config.name} has no backend: none of the deployments that its tiers name is known; the operator of "
            "this router must create one, or correct the tiers",
            retry_after=BROKEN_SECONDS,
        )
    candidates: list[Candidate] = []
    skipped, largest = "", 0
    house_only = False  # it is too much for a model of the house, and may not go to a cloud for that reason
    for tier in route.tiers:
        for candidate in _shuffle(tier, random):
            why = _unfit(candidate.backend, task, missing, house_only=house_only)
            if why:
                if candidate.backend.name in missing.backends:
                    confined = candidate.backend.local and "Unsupported" not in route.failover.to_cloud_on
                    missing.confined = house_only = house_only or confined
                if left_out is not None:
                    left_out.append(LeftOut(route.name, candidate.backend.name, why))
                continue
            holds = candidate.backend.context_tokens
            if holds is not None and tokens + answer > holds:
                skipped, largest = "context_too_long", max(largest, holds)
                if left_out is not None:
                    room = f"its context holds {holds} tokens, and the request needs about {tokens + answer}"
                    left_out.append(LeftOut(route.name, candidate.backend.name, room))
                house_only = house_only or (candidate.backend.local and "TooLong" not in route.failover.to_cloud_on)
            else:
                candidates.append(candidate)
    if not candidates and not largest and missing.backends:
        return missing.answer(route.name)
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


def _unfit(backend: Backend, task: str, missing: _Missing, *, house_only: bool) -> str:
    """Says why a backend of the route cannot be asked, whatever the size of the request; "" if it can."""
    if house_only and not backend.local:
        return "it is a cloud, and what is too much for the house may go to none for that reason (failover.toCloudOn)"
    if backend.task is not None and backend.task != task:
        return f"it is there for task {backend.task} alone"
    if not missing.nothing and missing.excludes(backend):
        lacks = ", ".join(sorted(missing.backends[backend.name]))
        return f"it lacks {lacks}" if lacks else "it does not speak the client's API, which the request needs"
    return ""


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
