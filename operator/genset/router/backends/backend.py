"""The state of a backend: which of its endpoints may be asked, and what its breaker has learnt.

No IO: the wire tells outcomes, `endpoints` tells addresses and probe results, the state machine asks. One `Backend`
lives as long as its configuration and credentials stay the same, across reloads of everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from genset.contracts.router_config import BackendConfig
from genset.router.backends.balance import STRATEGIES
from genset.router.backends.breaker import (
    HARD_DOWN_AUTH_SECONDS,
    HARD_DOWN_MODEL_SECONDS,
    PATH_DOWN_SECONDS,
    Breaker,
    Cause,
    RetryBudget,
    State,
    Verdict,
)
from genset.router.backends.credentials import Credentials, MissingCredential, ResumingContext, tls_context
from genset.router.backends.demand import Demand
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.forwarded import HOUSE_REQUEST_HEADERS, REQUEST_HEADERS
from genset.router.backends.histograms import BackendNumbers
from genset.router.backends.latency import Recent
from genset.router.backends.line import Line
from genset.router.backends.outage import Scope, Switch
from genset.router.backends.outcomes import Failure, Mark, Outcome, met
from genset.router.backends.suspicion import SPEAKS_SECONDS, Refusal, Refusals, Suspicion, Witness
from genset.router.backends.use import Asked, Use
from genset.router.dialects.openai.shortcuts.frames import Frames
from genset.router.providers import PROVIDERS, Provider

#: Time for one SYN that is lost, and sent again after 1 s (RFC 6298, 2.1). A server drops those that come while its
#: queue of connections is full: for some (cpp-httplib's default, Python's) that is the sixth of a burst.
CONNECT_LOCAL_SECONDS: Final = 1.5
CONNECT_CLOUD_SECONDS: Final = 2.0
HANDSHAKE_SECONDS: Final = 2.0  # more for TLS or a proxy: further round trips
FIRST_TOKEN_SECONDS = 15.0
FIRST_TOKEN_FACTOR: Final = 2.0  # times the slowest hundredth of the recent answers
FIRST_TOKEN_MOST_SECONDS = 120.0  # that recent answers can ask for: a backend that gets slower and slower must be left
PREFILL_TOKENS_PER_SECOND: Final = 500.0  # slowest prefill that a local backend is given time for
STALL_LOCAL_SECONDS = 10.0
STALL_CLOUD_SECONDS = 15.0

#: What a failed request of the router's own proves, by its row's mark.
CAUSES: Final = {
    Mark.AUTH: Cause.AUTH,
    Mark.MODEL: Cause.MODEL,
    Mark.COOL: Cause.RATE_LIMITED,
    Mark.ENDPOINT: Cause.FAILURES,
    Mark.BACKEND: Cause.FAILURES,
}
LIMITED_SECONDS: Final = 20.0  # that one path is left in peace if it asks for a pause and says not how long
#: How long a refusal holds that nothing ends before: the pause that a server asks for stands in its answer.
DOWN_SECONDS: Final = {
    Cause.AUTH: HARD_DOWN_AUTH_SECONDS,
    Cause.MODEL: HARD_DOWN_MODEL_SECONDS,
    Cause.FAILURES: PATH_DOWN_SECONDS,
}

_CLOSED: Final = State.CLOSED  # an enumeration's member is looked up slowly, and `admit` runs for every request


class Backend:
    """One backend's state. Times are monotonic seconds; `random` is uniform in [0, 1)."""

    def __init__(
        self,
        config: BackendConfig,
        credentials: Credentials,
        random: Callable[[], float],
        numbers: BackendNumbers | None = None,
        switch: Switch | None = None,
        demand: Demand | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.numbers = numbers or BackendNumbers()  # they outlive this state
        self.switch = switch or Switch(Scope.BACKEND, "")  # of its side of the world; shared, outlives this state, too
        self.model = config.model
        self.local = config.kind == "local"
        self.context_tokens = config.context_tokens
        self.continuation = config.continuation
        self.refused_fields: dict[str, list[frozenset[str]]] = {}  # of those that the router adds: see `added_fields`
        self.refuses_limits = False  # said that prompt and max_tokens together are more than its context
        self._random = random
        url = config.url
        self.provider: Provider = PROVIDERS[url.provider if url else "openAICompatible"]
        self.asked = Asked(config.name, "genset" if self.local else self.provider.telemetry_name, config.model)
        self.uses: dict[tuple[str, str], Use] = {}  # of `metrics`, by operation and model
        self.health_path = config.local.health_path if config.local else (url.health_path if url else None)
        self.breaker = Breaker(random, probed=self.health_path is not None)
        self.retries = RetryBudget()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.suspicion = Suspicion()
        self.refusals = Refusals()
        self.ask: Callable[[Endpoint, str], None] | None = (
            None  # has the router ask this endpoint for itself, on a path
        )
        self.fell: Callable[[], None] | None = None  # told that the breaker opened, or that a refusal is proved
        self.broken_by = ""  # what toCloudOn calls the failure that opened a breaker
        self.unreached = False  # the last attempt found no way to it
        self.first_tokens = Recent()
        self.frames: defaultdict[tuple[str, bool], Frames] = defaultdict(Frames)  # by operation; True: rebuilt answers
        balancing = config.balancing
        strategy = STRATEGIES[balancing.strategy]
        self._choose = strategy.choose
        self.prefix_tokens = balancing.prefix_tokens if strategy.reads_prompt else 0
        self._most = balancing.max_in_flight_per_endpoint
        self.line = Line(balancing.max_queued if self._most is not None else 0, balancing.queue_seconds)
        self._turn = 0
        self._many = config.local is not None
        self.wakes = config.local.wakes if config.local else None
        self.demand = (demand or Demand()) if self.wakes else None  # shared, outlives this state
        self.tls = False
        self.server_name = ""
        chosen = (url.forward_headers if url is not None else None) or ()
        self.forwarded = HOUSE_REQUEST_HEADERS if self.local else tuple(h for c in chosen for h in REQUEST_HEADERS[c])
        self.may_be_router = url is not None and url.provider == "openAICompatible"
        self.base_path = "/v1"
        self.continuation_path: str | None = None  # base path of a continuation by prefix, where it is another
        self.key = b""
        self.ca: bytes | None = None
        self.tls_context: ResumingContext | None = None
        self.proxy: tuple[str, int] | None = None
        self.proxy_credentials = b""
        if url is not None:
            self._read_url(credentials)
        slow_link = self.tls or (url is not None and url.proxy_url is not None)
        self.connect_seconds = (CONNECT_LOCAL_SECONDS if self.local else CONNECT_CLOUD_SECONDS) + (
            HANDSHAKE_SECONDS if slow_link else 0.0
        )
        self.stall_seconds = STALL_LOCAL_SECONDS if self.local else STALL_CLOUD_SECONDS

    def _read_url(self, credentials: Credentials) -> None:
        url = self.config.url
        assert url is not None
        parts = urlsplit(url.base_url)
        self.tls = parts.scheme == "https"
        self.server_name = parts.hostname or ""
        port = parts.port or (443 if self.tls else 80)
        self.base_path = parts.path.rstrip("/")
        if url.base_url == self.provider.base_url:
            self.continuation_path = self.provider.continuation_path
        if url.key_file:
            self.key = credentials.read(url.key_file, self.name).strip()
            if any(byte <= 32 or byte >= 127 for byte in self.key):
                raise MissingCredential(
                    f"backend {self.name}: credential file {url.key_file} holds more than one word or strange bytes; "
                    "put the key alone there"
                )
        if url.ca_file:
            self.ca = credentials.read(url.ca_file, self.name)
        if url.proxy_url:
            proxy = urlsplit(url.proxy_url)
            self.proxy = (proxy.hostname or "", proxy.port or 3128)
        if url.proxy_credentials_file:
            self.proxy_credentials = credentials.read(url.proxy_credentials_file, self.name).strip()
        self.endpoints = (self.make_endpoint(self.server_name, port),)
        if self.tls:
            self.tls_context = tls_context(self.ca, self.name)  # now, so that a bad CA file refuses the configuration

    def make_endpoint(self, host: str, port: int) -> Endpoint:
        breaker = Breaker(self._random, probed=self.health_path is not None, failback_seconds=0.0)
        return Endpoint(host, port, breaker, self.line if self._most is not None else None, self.demand)

    def set_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """A new set of addresses. Those that left finish what they work on."""
        for old in self.endpoints:
            old.gone = old not in endpoints
        self.endpoints = endpoints
        self.line.wake()

    # What the state machine asks

    @property
    def rests(self) -> bool:
        """Nobody is there, and a request wakes it. A backend that wakes and lost its endpoints looks the same."""
        return self.demand is not None and not any(e.healthy for e in self.endpoints)

    def first_token_seconds(self, input_tokens: int) -> float:
        """How long the first token may take, counted from the sent request: by the prompt, and by recent answers."""
        least = FIRST_TOKEN_SECONDS + (input_tokens / PREFILL_TOKENS_PER_SECOND if self.local else 0.0)
        return max(least, min(FIRST_TOKEN_FACTOR * self.first_tokens.p99, FIRST_TOKEN_MOST_SECONDS))

    def is_slow(self, seconds: float, input_tokens: int) -> bool:
        """Whether a first token that is not there after so long is late, as recent answers go. Unknown: no."""
        usual = FIRST_TOKEN_FACTOR * self.first_tokens.p99
        prefill = input_tokens / PREFILL_TOKENS_PER_SECOND if self.local else 0.0
        return 0.0 < usual < seconds and seconds > prefill

    def admits(self, now: float) -> bool:
        """Whether a request may go here without being a last resort and without waiting."""
        if self.switch.down or not self.breaker.admits(now):
            return False
        return any(self._usable(endpoint, now) for endpoint in self._with_place())

    def admit(self, now: float, key: int | None = None, *, first: bool = False) -> Endpoint | None:
        """The endpoint for a request, if `admits`. `key`: of its prompt, where `prefix_tokens`. `first`: in the line."""
        if self.switch.down or (self.breaker.state is not _CLOSED and not self.breaker.admits(now)):
            return None
        endpoints: Sequence[Endpoint] = self.endpoints
        if self._most is not None:
            endpoints = self._with_place(first=first)
        elif len(endpoints) == 1:
            endpoint = endpoints[0]
            well = endpoint.breaker.state is _CLOSED and endpoint.healthy is not False
            return endpoint if well or self._usable(endpoint, now) else None
        usable = [
            endpoint
            for endpoint in endpoints
            if (endpoint.healthy and endpoint.breaker.state is _CLOSED) or self._usable(endpoint, now)
        ]
        self._turn += 1
        return self._choose(usable, self._turn, key, self.numbers) if usable else None

    def is_full(self, now: float) -> bool:
        """Whether it would admit a request if its endpoints had fewer of them, or nobody waited already."""
        if self._most is None or self.switch.down or not self.breaker.admits(now):
            return False
        well = [endpoint for endpoint in self.endpoints if self._usable(endpoint, now)]
        return bool(well) and (len(self.line) > 0 or all(endpoint.in_flight >= self._most for endpoint in well))

    def _with_place(self, *, first: bool = False) -> Sequence[Endpoint]:
        """Endpoints below their bound; none while others wait, but for the `first` of these."""
        most = self._most
        if most is None:
            return self.endpoints
        if self.line and not first:
            return ()
        return [endpoint for endpoint in self.endpoints if endpoint.in_flight < most]

    def why_not(self, now: float, path: str = "") -> str:
        """The word for evidence: why `admits` says no, or why no request on this path may go there."""
        if self.rests:
            return "cold"
        if (refusal := self.refusals.of(path, now)) is not None:
            return "breaker_open" if refusal.cause is Cause.FAILURES else str(refusal.cause)
        state = self.breaker.view(now)
        if self.switch.down:
            return self.switch.word
        if not self.endpoints:
            return "no_endpoint"
        if self.is_full(now):
            return "full"
        if state is State.CLOSED:
            return "no_healthy_endpoint"
        if self.breaker.cause is Cause.FAILURES:
            return "breaker_" + state.replace("-", "_")
        return str(self.breaker.cause)

    def is_last_resort(self, now: float, path: str = "") -> bool:
        """Whether it may be tried although `admits` says no: broken, perhaps, but neither refusing us nor cooling."""
        cause = self.breaker.cause if self.breaker.view(now) is not State.CLOSED else Cause.NONE
        refusal = self.refusals.of(path, now)
        if self.is_full(now) or (refusal is not None and refusal.cause is not Cause.FAILURES):
            return False
        return bool(self._with_place(first=True)) and cause in (Cause.NONE, Cause.FAILURES, Cause.NO_ENDPOINT)

    def pick(self, now: float, key: int | None = None) -> Endpoint | None:
        """The endpoint for a last resort: one that is well, else any; None where there is none at all."""
        there = self._with_place(first=True)
        well = [endpoint for endpoint in there if self._usable(endpoint, now)] or there
        self._turn += 1
        return self._choose(well, self._turn, key, self.numbers) if well else None

    def sibling(self, now: float, avoid: Collection[Endpoint], key: int | None = None) -> Endpoint | None:
        """Another endpoint that is well and has a place; None if there is none."""
        well = [e for e in self._with_place(first=True) if e not in avoid and self._usable(e, now)]
        self._turn += 1
        return self._choose(well, self._turn, key, self.numbers) if well else None

    def has_sibling(self, now: float, avoid: Collection[Endpoint]) -> bool:
        """Whether `sibling` would find one."""
        return any(e not in avoid and self._usable(e, now) for e in self._with_place(first=True))

    def _usable(self, endpoint: Endpoint, now: float) -> bool:
        if endpoint.healthy:
            return endpoint.breaker.admits(now)
        if endpoint.healthy is None:  # unknown: at the very start, or where nothing is probed
            if self.health_path is not None and any(other.healthy for other in self.endpoints):
                return False
            return endpoint.breaker.admits(now)
        return False

    @property
    def fault(self) -> str:
        """What `failover.toCloudOn` calls the reason for which it is passed over, if a fault is the reason."""
        there = any(endpoint.healthy is not False for endpoint in self.endpoints)
        return self.broken_by if self.broken_by and there and not self.switch.down else "Unreachable"

    def is_down(self, now: float) -> bool:
        """Whether nobody is there who could answer: what the switch of the house asks."""
        if self.endpoints and self.health_path is None:  # not probed: the breaker and how the last attempt ended
            return self.unreached and self.breaker.view(now) is State.OPEN
        return not any(endpoint.healthy is not False for endpoint in self.endpoints)

    # What the state machine tells

    def succeeded(self, endpoint: Endpoint, now: float, began: float, token: bool, path: str) -> None:
        self.unreached = False
        if self.switch.alarmed:
            self.switch.answered(now, began)
        self.spoke(endpoint, now, path)
        if self._many:
            endpoint.breaker.success(now, began)
        self.breaker.success(now, began, token)

    def spoke(self, endpoint: Endpoint, now: float, path: str) -> None:
        """An answer has begun, on this path of the API: that speaks for the backend."""
        endpoint.last_success = self.suspicion.paths[path] = now
        if self.suspicion.heard:
            self.suspicion.answered(now)

    def failed(
        self,
        endpoint: Endpoint,
        failure: Failure,
        now: float,
        began: float,
        token: bool,
        *,
        reached: bool = True,
        witness: Witness | None = None,
    ) -> None:
        """Books a failed attempt by its row of the table.

        `reached`: a connection was made. Only one that could not be made tells of the way there, and is no testimony:
        nothing of the request had any part in it. `witness`: whose request it was; None: the router's own.
        """
        self.unreached = not reached and failure.outcome is Outcome.UNREACHABLE
        if self.unreached:
            self.switch.unreachable(self.server_name, now, began, failure.detail)
        elif failure.status and self.switch.alarmed:
            self.switch.answered(now, began)
        mark = failure.rule.mark
        if mark is Mark.ENDPOINT or mark is Mark.BACKEND:
            endpoint_only = mark is Mark.ENDPOINT
            met_by = witness if reached else None
            self.broke(endpoint, now, began, token, endpoint_only=endpoint_only, witness=met_by, word=met(failure))
            return
        if mark is Mark.COOL and self._is_limited(endpoint, now, witness):
            self.breaker.cool(now, failure.retry_after)
            return
        if token:
            self.breaker.release()
        if mark is Mark.AUTH or mark is Mark.MODEL:
            self._refused(endpoint, failure, now, witness)

    def _refused(self, endpoint: Endpoint, failure: Failure, now: float, witness: Witness | None) -> None:
        """The key or the model was refused: proved by the router's own request, or by callers who agree."""
        cause = CAUSES[failure.rule.mark]
        path = witness.path if witness is not None else ""
        about = "" if cause is Cause.AUTH else path
        if witness is not None and not self._proves(cause, about, witness, now):
            self._doubt(endpoint, path, now)
            return
        self._refuse(cause, path, about, failure, now)

    def _is_limited(self, endpoint: Endpoint, now: float, witness: Witness | None) -> bool:
        """Whether a pause that one request was asked for is everybody's: one may be too much by itself, while others go well."""
        if witness is None or now - endpoint.last_success >= SPEAKS_SECONDS:
            return True
        if self._proves(Cause.RATE_LIMITED, "", witness, now):
            return True
        self._doubt(endpoint, witness.path, now)
        return False

    def _proves(self, cause: Cause, about: str, witness: Witness, now: float) -> bool:
        """Adds a testimony. Whether it is proved: not where it may be of one path, while another is answered."""
        return self.suspicion.hear(cause, about, witness, now) and not self.suspicion.elsewhere(witness.path, now)

    def _refuse(self, cause: Cause, met_on: str, path: str, failure: Failure, now: float) -> None:
        seconds = DOWN_SECONDS.get(cause, 0.0) or failure.retry_after or LIMITED_SECONDS
        self.refusals.mark(Refusal(cause, met_on, path, now, now + seconds, failure.detail))
        self._fell()

    def broke(
        self,
        endpoint: Endpoint,
        now: float,
        began: float,
        token: bool,
        *,
        endpoint_only: bool,
        word: str = "",
        witness: Witness | None = None,
    ) -> None:
        """+1 on the endpoint; on the backend as well, unless the fault is one address' and a sibling is well.

        `word`: what `failover.toCloudOn` calls it.
        """
        proved = witness is None or self._proves(Cause.FAILURES, "", witness, now)
        verdict = Verdict.NOTHING
        counts = True
        if self._many:
            verdict = endpoint.breaker.failure(now, began, proved=proved)
            if endpoint_only and self.demand is not None:
                endpoint.doubt()  # likely put to rest under the request's feet: the next one waits, or goes elsewhere
            counts = not (endpoint_only and self._has_other(endpoint, now))
        if counts:
            verdict = max(verdict, self.breaker.failure(now, began, token, proved=proved))
        elif token:
            self.breaker.release()
        if verdict == Verdict.DOUBT and witness is not None:
            self._doubt(endpoint, witness.path, now)
        elif verdict == Verdict.OPENED:
            self.broken_by = word
            self._fell()

    def withdraw(self, endpoint: Endpoint, witness: Witness) -> None:
        """Takes a testimony back: the same body failed at another backend, too."""
        self.suspicion.withdraw(witness)
        self.breaker.withdraw()
        if self._many:
            endpoint.breaker.withdraw()

    def verified(
        self,
        endpoint: Endpoint,
        path: str,
        failure: Failure | None,
        now: float,
        began: float,
        *,
        only_here: bool = False,
    ) -> None:
        """Books a request of the router's own, without a byte of any client. `failure`: None if it was answered.

        `only_here`: another path of the same server is answered with the same key, so it is about this path.
        """
        self.suspicion.asked(now)
        mark = failure.rule.mark if failure is not None else Mark.NONE
        if failure is None or (mark is Mark.NONE and failure.status):
            self.refusals.clear(path)
            self.suspicion.answered(now)
            endpoint.breaker.acquit(now, began)
            self.breaker.acquit(now, began)
        elif mark is not Mark.NONE and (only_here or mark is Mark.AUTH or mark is Mark.MODEL):
            everywhere = mark is Mark.AUTH and not only_here
            self._refuse(CAUSES[mark], path, "" if everywhere else path, failure, now)
        elif mark is Mark.COOL:
            self.breaker.cool(now, failure.retry_after)
        elif mark is not Mark.NONE:
            self.broken_by = met(failure)
            endpoint.breaker.convict(now)
            if not self._has_other(endpoint, now):
                self.breaker.convict(now)
            self._fell()

    def _doubt(self, endpoint: Endpoint, path: str, now: float) -> None:
        if self.ask is not None and self.suspicion.may_ask(now):
            self.ask(endpoint, path)

    def _fell(self) -> None:
        if self.fell is not None:
            self.fell()

    def _has_other(self, endpoint: Endpoint, now: float) -> bool:
        return any(e is not endpoint and self._usable(e, now) for e in self.endpoints)

    def probed(self, endpoint: Endpoint, good: bool, now: float, *, late: bool = False) -> None:
        """Books an active probe of one endpoint."""
        rested = self.rests
        endpoint.probe(good, now, late=late)
        if good:
            if endpoint.healthy:
                self.switch.reached(self.name)
            if rested and not self.rests:
                self.breaker.forget(now)  # it was gone by intent: its return needs no proof
            if endpoint.breaker.state is not State.CLOSED:
                endpoint.breaker.success(now, now)
            if self.breaker.state is not State.CLOSED:
                self.breaker.success(now, now)
            self.line.wake()
        elif self.demand is None and not any(e.healthy or e.healthy is None for e in self.endpoints):
            if self.breaker.view(now) is State.CLOSED:
                self.breaker.trip(now, Cause.NO_ENDPOINT)
            else:
                self.breaker.probe_failed()
