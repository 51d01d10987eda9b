"""An upstream request is the client's request as a backend gets it, and how it is asked otherwise after a refusal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, final

from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.backends.target import Target
from genset.router.continuation import APPEND, FALLBACK, RULES, Rule, why_not
from genset.router.continuation.ask import ask, length_event, tokens_left
from genset.router.continuation.splice import Splice
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.counting import question_for_engines
from genset.router.dialects.marks import without_marks, without_thoughts
from genset.router.dialects.openai.aggregate import can_rebuild
from genset.router.dialects.openai.api import Api
from genset.router.dialects.openai.forward import Forward
from genset.router.dialects.openai.rebuild import Rebuild
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.dialects.openai.stream_reader import StreamReader
from genset.router.dialects.openai.transcript import Transcript
from genset.router.dialects.openai.whole_answer import choices_of
from genset.router.exchange.payload import body_for, bound_names, form_for, head_for
from genset.router.exchange.spoken import Spoken
from genset.router.http.bodies import again
from genset.router.http.multipart import form_of
from genset.router.http.request import Request, deadline_line
from genset.router.machine.added_fields import (
    PREFILL,
    STREAM,
    THOUGHTS,
    added_to,
    features_of,
    refused_field,
    refused_for,
    refuses_prefill,
    remember,
    speaks_of_prefill,
)
from genset.router.machine.answer_room import limit_of, limit_that_fits, lower_limit, with_limit
from genset.router.machine.machine import RequestMachine
from genset.router.routing.hops import HOPS_HEADER, header_for

MOST_COUNTED_BYTES: Final = 4 * 1024 * 1024  # that an engine is sent to be counted, twice: no house holds as much
_OF_LIMITS: Final = (Outcome.CONTEXT_EXCEEDED, Outcome.REJECTED, Outcome.UNSUPPORTED)  # may be those of max_tokens


class Unsendable(ValueError):
    """The request cannot be written for a backend, whichever it is. The message says why, in words for the client."""


@final
class UpstreamRequest:
    """An upstream request writes each attempt, and remembers what backends have refused of the earlier ones.

    `stream`: the client wants a stream. `sent`: what it had of the stream when that broke, None before a break. `dropped`:
    fields of the request that the running attempt does not hold, because its backend has nothing like them. `spoken`: in
    which API, if not in OpenAI's.
    """

    __slots__ = (
        "_identity",
        "_lowered",
        "_machine",
        "_refused_rules",
        "_request",
        "_rule",
        "_tree",
        "_want_usage",
        "_without",
        "api",
        "dropped",
        "sent",
        "spoken",
        "stream",
    )

    def __init__(
        self,
        request: Request,
        identity: bytes,
        api: Api,
        parsed: dict[str, Any],
        machine: RequestMachine,
        spoken: Spoken,
        *,
        stream: bool,
    ) -> None:
        self._request = request
        self._identity = identity
        self._machine = machine
        self._tree: dict[str, Any] | None = parsed
        self.api = api
        self.stream = stream
        self.sent: Transcript | None = None
        self.spoken = spoken
        self.dropped: tuple[str, ...] = ()
        self._rule: Rule | None = None  # by which the running attempt writes on
        self._refused_rules: list[Backend] | None = None
        #: Fields of ours that a backend has just refused, and the features of the request that they stood in.
        self._without: tuple[Backend, set[str], frozenset[str]] | None = None
        #: A backend with less room for the answer than the client's limit: how much, and whether that is the second guess.
        self._lowered: tuple[Backend, int, bool] | None = None
        options = parsed.get("stream_options") if stream else None
        self._want_usage = isinstance(options, dict) and bool(options.get("include_usage"))

    @property
    def _json(self) -> dict[str, Any]:
        """The request's JSON. If it was let go of, it is parsed anew and not kept: a tree can be many times as large."""
        tree = self._tree
        if tree is None and self.api.form:
            tree = self._tree = {"model": form_of(self._request.headers[b"content-type"], self._request.body).model}
        if tree is None:
            tree = again(self._request.body)
        return tree

    def forget_tree(self) -> None:
        """The tree is not needed for now: what is kept of the request is its text."""
        self._tree = None

    # An attempt

    def prepare(
        self, backend: Backend, endpoint: Endpoint, site: bytes, left: float
    ) -> tuple[bytes, StreamReader | None, Splice | None]:
        """Returns what goes to the endpoint (head and body), who reads the stream that it was asked for, and what joins a
        continuation to what the client has.

        `site` names this router to other routers, which are told that `left` seconds are left. Raises Unsendable, Untranslatable,
        or NoTokenError.
        """
        request = parsed = self._tree = self._json  # kept until it is sent
        raw = self._request.body
        spoken = self.spoken
        spoken.begin(backend.target, continues=self.sent is not None)
        if spoken.is_marked():
            request, raw = without_marks(parsed, seals_calls=backend.target.provider.seals_calls), b""
            parsed = request
        if (fitted := spoken.fitted(parsed)) is not parsed:
            request, raw = fitted, b""
            parsed = request
        left_out = self._left_out(backend)
        if THOUGHTS in left_out and (bare := without_thoughts(parsed)) is not parsed:
            request, raw = bare, b""
            parsed = request
        reader: StreamReader | None = None
        splice: Splice | None = None
        if self.stream:
            sent = self.sent
            if sent is not None:
                rule, house = self._rule_of(backend, left_out), backend.config.local is not None
                request, splice, self._rule = ask(parsed, sent, rule, of_the_house=house, want_usage=self._want_usage)
                raw = b""
            reader = Forward(
                hide_usage=splice is None and not self._want_usage,
                choices=choices_of(parsed),
                bad_finishes=backend.target.provider.bad_finishes,
                frames=backend.learned.frames[self.api.operation, False],
                shortcuts=backend.learned.shortcuts,
            )
        elif self._rebuilds(parsed, left_out) and spoken.rebuilds():
            reader = self.rebuilder(backend, backend.learned.frames[self.api.operation, True])
        if self._lowered is not None or backend.learned.refuses_limits:
            fitting = self._with_fitting_limit(request, backend)
            if fitting is not request:
                request, raw = fitting, b""
        text = self._written(request, raw, backend, endpoint, (site, left), left_out, streamed=reader is not None)
        self._tree = None
        return text, reader, splice

    def _written(
        self,
        request: dict[str, Any],
        raw: bytes,
        backend: Backend,
        endpoint: Endpoint,
        others: tuple[bytes, float],
        left_out: Collection[str],
        *,
        streamed: bool,
    ) -> bytes:
        client, target, api = self._request, backend.target, self.api
        headers = client.headers
        more = b""
        if target.may_be_router:
            site, left = others
            more = header_for(headers.get(HOPS_HEADER), site) + deadline_line(left) + self._machine.facts.zones_line
        if target.identity is not None:
            more += target.identity.line()
        if api.form:
            return self._form(target, endpoint, more)
        path: str | None = None
        try:
            self.dropped = self.spoken.dropped()
            if target.shape is not None:
                shaped, dropped = target.shape.of(request, endpoint.loaded)
                self.dropped += dropped
                if shaped is not request:
                    request, raw = shaped, b""
            dialect = self.spoken.dialect
            if api.of_engines and dialect is None:
                if api is Api.COUNT and len(client.body) > MOST_COUNTED_BYTES:
                    raise Untranslatable(f"a prompt of more than {MOST_COUNTED_BYTES >> 20} MiB is estimated")
                request, raw = _for_engines(backend, api, request), b""
            if dialect is None:
                body = body_for(target, api, request, raw, streamed, left_out, (client.body, self._json))
            else:
                form = form_for(target, api, request, streamed, left_out)
                path, own_headers, body, dropped = dialect.request(api, form)
                self.dropped += dropped
                more += own_headers
        except TypeError:  # orjson reads deeper than it writes
            raise Unsendable("the body is nested too deeply (more than 250 levels)") from None
        base_path = target.continuation_path if self._rule is not None and self._rule.name == "Prefix" else None
        if api.of_engines and path is None:
            base_path = target.base_path.removesuffix("/v1")
        head = head_for(target, endpoint, api, headers, self._identity, len(body), streamed, base_path, more, path)
        return head + body

    def _form(self, target: Target, endpoint: Endpoint, more: bytes) -> bytes:
        """Returns the client's form with the backend's model. `more` are header lines. Raises Untranslatable."""
        client, api = self._request, self.api
        if self.spoken.dialect is not None:
            raise Untranslatable(f"the API of this backend has no {api.path}")
        content_type = client.headers.get(b"content-type", b"")
        form = form_of(content_type, client.body)
        body = form.with_model(client.body, target.model)
        more += b"content-type: %b\r\n" % content_type
        return head_for(target, endpoint, api, client.headers, self._identity, len(body), False, more=more) + body

    def rebuilder(self, backend: Backend, frames: Frames | None = None) -> Rebuild:
        """Returns what makes a whole answer of a stream of this backend."""
        return Rebuild(
            self.api,
            choices=choices_of(self._json),
            bad_finishes=backend.target.provider.bad_finishes,
            frames=frames,
            shortcuts=backend.learned.shortcuts,
        )

    def _rebuilds(self, parsed: dict[str, Any], left_out: Collection[str]) -> bool:
        """Returns whether a whole answer is asked for as a stream."""
        if not self._machine.settings.rebuild_answers:
            return False
        return STREAM not in left_out and can_rebuild(self.api, parsed)

    # After a break

    def broke_off(self, sent: Transcript, *, told_usage: bool) -> None:
        """The client's stream broke for the first time, with this part of the answer in the client's hands."""
        self.sent = sent
        self._want_usage = self._want_usage and not told_usage

    def why_not_continued(self, sent: Transcript) -> str:
        """Returns why nobody else may write on; "limit_reached" if nothing is missing but the end, "" if somebody may."""
        parsed = self._json
        reason = why_not(parsed, sent, chat=self.api.chat)
        if not reason and not self.spoken.may_go_on():
            reason = "untranslatable"
        left = tokens_left(parsed, sent.tokens)
        return "limit_reached" if not reason and left is not None and left <= 0 else reason

    def length_event(self) -> bytes:
        """Returns the end of an answer that has reached the client's limit of tokens."""
        assert self.sent is not None
        return length_event(self.sent, chat=self.api.chat)

    def _rule_of(self, backend: Backend, left_out: Collection[str]) -> Rule:
        if not self.api.chat:
            return APPEND
        if PREFILL in left_out or (self._refused_rules and backend in self._refused_rules):
            return RULES[FALLBACK]
        return RULES[backend.target.continuation]

    # After a refusal

    def otherwise(self, backend: Backend, failure: Failure, *, streamed: bool) -> str:
        """Returns in which other way the backend is asked next, as a word for the trail; "" if it refused the client.

        `streamed`: it was asked for a stream.
        """
        if failure.outcome in _OF_LIMITS and self._lowers_limit(backend, failure):
            word = "lower_max_tokens"
        elif field := self._refused_field(backend, failure, streamed=streamed):
            self._leave_out(backend, field)
            word = f"no_{field}"
        elif failure.outcome in _OF_LIMITS and (other := self.spoken.relents(failure.words, self._json)):
            word = other
        elif self._rule is not None and self._rule.refusable and self.sent is not None and refuses_prefill(failure):
            if speaks_of_prefill(failure.body):
                self._leave_out(backend, PREFILL)
            self._refused_rules = [*(self._refused_rules or ()), backend]
            word = "no_prefill"
        else:
            return ""
        self._rule = None
        return word

    def answered_by(self, backend: Backend) -> None:
        """The backend has answered what it got without the fields that it had refused: so it was they."""
        without = self._without
        if without is not None:
            if without[0] is backend:
                remember(backend.learned.refused_fields, without[1], without[2])
            self._without = None

    def _left_out(self, backend: Backend) -> Collection[str]:
        """Fields that this backend does not take in such a request."""
        now = self._just_refused(backend)
        if not backend.learned.refused_fields:
            return now
        return {*now, *refused_for(self._json, backend.learned.refused_fields)}

    def _just_refused(self, backend: Backend) -> Collection[str]:
        return self._without[1] if self._without is not None and self._without[0] is backend else ()

    def _leave_out(self, backend: Backend, field: str) -> None:
        """The next attempt at this backend goes without the field."""
        self._without = (backend, {*self._just_refused(backend), field}, features_of(self._json))

    def _refused_field(self, backend: Backend, failure: Failure, *, streamed: bool) -> str:
        """The field of ours that a refusal names; "" if it means the client's own request."""
        refused, parsed = self._left_out(backend), self._json
        names = bound_names(backend.target, self.api, parsed, refused)
        usage = streamed and backend.target.provider.usage_option
        return refused_field(failure, added_to(parsed, names, streamed=streamed, usage=usage, refused=refused))

    # Limits of the answer

    def _with_fitting_limit(self, request: dict[str, Any], backend: Backend) -> dict[str, Any]:
        """The request with a limit of the answer for which the backend has room."""
        if self._lowered is not None and self._lowered[0] is backend:
            return with_limit(request, self._lowered[1])
        asked = limit_of(request)
        if not asked or not backend.learned.refuses_limits or backend.context_tokens is None:
            return request
        fitting = limit_that_fits(asked, self._estimate(), backend.context_tokens)
        return request if fitting is None else with_limit(request, fitting)

    def _lowers_limit(self, backend: Backend, failure: Failure) -> bool:
        """Returns whether only the limit of the answer was too much, so that the next attempt asks with a lower one."""
        asked, before = limit_of(self._json), self._lowered
        if not asked:
            return False
        if self._rule is not None:
            asked += self._rule.surplus_tokens
        again = before is not None and before[0] is backend
        if before is not None and again:
            if before[2]:
                return False
            asked = min(asked, before[1])
        elif backend.learned.refuses_limits and backend.context_tokens is not None:
            asked = limit_that_fits(asked, self._estimate(), backend.context_tokens) or asked
        lower = lower_limit(asked, failure.words, self._estimate(), backend.context_tokens, again=again)
        if lower is None:
            return False
        backend.learned.limit_refused()
        self._lowered = (backend, lower, again)
        return True

    def _estimate(self) -> int:
        """Tokens of the prompt, and of the answer that is to be written on."""
        return self._machine.input_tokens + (self.sent.tokens if self.sent is not None else 0)


def _for_engines(backend: Backend, api: Api, request: dict[str, Any]) -> dict[str, Any]:
    """Returns a request about tokens as each engine takes it: llama-server calls `content` what vLLM calls `prompt`.

    Raises Untranslatable.
    """
    if not backend.local:
        raise Untranslatable("only models of the house tell their tokens")
    if api is Api.COUNT:
        return question_for_engines(request)
    text = request.get("prompt", request.get("content"))
    return {**request, "prompt": text, "content": text} if isinstance(text, str) else request
