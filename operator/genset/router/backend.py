"""The state of a backend and of its endpoints: who may be asked, and what the breakers have learnt.

No IO: the wire tells outcomes, `endpoints` tells addresses and probe results, the state machine asks. One `Backend`
lives as long as its configuration and credentials stay the same, across reloads of everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from genset.router.balance import DEFAULT, STRATEGIES
from genset.router.breaker import (
    HARD_DOWN_AUTH_SECONDS,
    HARD_DOWN_MODEL_SECONDS,
    Breaker,
    Cause,
    RetryBudget,
    State,
)
from genset.router.config import BackendConfig
from genset.router.credentials import Credentials, MissingCredential, ResumingContext, tls_context
from genset.router.numbers import BackendNumbers
from genset.router.outcome import Failure, Mark
from genset.router.providers import PROVIDERS, Provider

CONNECT_LOCAL_SECONDS = 1.0
CONNECT_CLOUD_SECONDS = 2.0
HANDSHAKE_SECONDS = 2.0  # more for TLS or a proxy: further round trips
FIRST_TOKEN_SECONDS = 15.0
PREFILL_TOKENS_PER_SECOND = 500.0  # slowest prefill that a local backend is given time for
STALL_LOCAL_SECONDS = 10.0
STALL_CLOUD_SECONDS = 15.0
GOOD_PROBES = 2  # that bring an endpoint back
BAD_PROBES = 2  # refused or not 2xx
LATE_PROBES = 3  # timed out: a busy server may be slow to answer a probe
BUSY_SECONDS = 10.0  # a server that answered a request so recently is not ill because a probe was late


class Endpoint:
    """One address of a backend. `healthy` is what the probes say; None: not probed yet, or never."""

    __slots__ = (
        "_bad",
        "_good",
        "_late",
        "breaker",
        "gone",
        "heads",
        "healthy",
        "host",
        "idle",
        "in_flight",
        "last_good",
        "last_success",
        "name",
        "port",
    )

    def __init__(self, host: str, port: int, breaker: Breaker) -> None:
        self.host = host
        self.port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.breaker = breaker
        self.in_flight = 0
        self.idle: list[Any] = []  # keep-alive connections, newest last; the wire's own
        self.heads: dict[Any, bytes] = {}  # fixed parts of request heads; the wire's own
        self.healthy: bool | None = None
        self.gone = False  # no longer an address of the backend: drains
        self.last_success = -BUSY_SECONDS
        self.last_good = 0.0
        self._good = 0
        self._bad = 0
        self._late = 0

    def probe(self, good: bool, now: float, *, late: bool = False) -> None:
        """Books one probe."""
        if good:
            self._bad = self._late = 0
            self._good += 1
            self.last_good = now
            if self.healthy is None or self._good >= GOOD_PROBES:
                self.healthy = True
            return
        if late and now - self.last_success < BUSY_SECONDS:
            return
        self._good = 0
        self._late += late
        self._bad += not late
        if self.healthy is None or self._bad >= BAD_PROBES or self._late >= LATE_PROBES:
            self.healthy = False


class Backend:
    """One backend's state. Times are monotonic seconds; `random` is uniform in [0, 1)."""

    def __init__(
        self,
        config: BackendConfig,
        credentials: Credentials,
        random: Callable[[], float],
        numbers: BackendNumbers | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.numbers = numbers or BackendNumbers()  # they outlive this state
        self.model = config.model
        self.local = config.kind == "local"
        self.context_tokens = config.context_tokens
        self._random = random
        url = config.url
        self.provider: Provider = PROVIDERS[url.provider if url else "openAICompatible"]
        self.health_path = config.local.health_path if config.local else (url.health_path if url else None)
        self.breaker = Breaker(random, probed=self.health_path is not None)
        self.retries = RetryBudget()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.hard_down_detail = ""
        self._choose = STRATEGIES[DEFAULT]
        self._turn = 0
        self._many = config.local is not None
        self.tls = False
        self.server_name = ""
        self.base_path = "/v1"
        self.key = b""
        self.ca: bytes | None = None
        self.tls_context: ResumingContext | None = None
        self.proxy: tuple[str, int] | None = None
        self.proxy_credentials = b""
        if url is not None:
            self._read_url(credentials)
        slow_link = self.tls or self.proxy is not None
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
        return Endpoint(host, port, breaker)

    def set_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        """A new set of addresses. Those that left finish what they work on."""
        for old in self.endpoints:
            old.gone = old not in endpoints
        self.endpoints = endpoints

    # What the state machine asks

    def first_token_seconds(self, input_tokens: int) -> float:
        """How long the first token may take, counted from the sent request."""
        return FIRST_TOKEN_SECONDS + (input_tokens / PREFILL_TOKENS_PER_SECOND if self.local else 0.0)

    def admits(self, now: float) -> bool:
        """Whether a request may go here without being a last resort."""
        if not self.breaker.admits(now):
            return False
        return any(self._usable(endpoint, now) for endpoint in self.endpoints)

    def admit(self, now: float) -> Endpoint | None:
        """The endpoint for a request, if `admits`."""
        if self.breaker.state is not State.CLOSED and not self.breaker.admits(now):
            return None
        endpoints = self.endpoints
        if len(endpoints) == 1:
            endpoint = endpoints[0]
            well = endpoint.breaker.state is State.CLOSED and endpoint.healthy is not False
            return endpoint if well or self._usable(endpoint, now) else None
        usable = [endpoint for endpoint in endpoints if self._usable(endpoint, now)]
        self._turn += 1
        return self._choose(usable, self._turn) if usable else None

    def why_not(self, now: float) -> str:
        """The word for evidence: why `admits` says no."""
        state = self.breaker.view(now)
        if not self.endpoints:
            return "no_endpoint"
        if state is State.CLOSED:
            return "no_healthy_endpoint"
        if self.breaker.cause is Cause.FAILURES:
            return "breaker_" + state.replace("-", "_")
        return str(self.breaker.cause)

    def is_last_resort(self, now: float) -> bool:
        """Whether it may be tried although `admits` says no: broken, perhaps, but neither refusing us nor cooling."""
        cause = self.breaker.cause if self.breaker.view(now) is not State.CLOSED else Cause.NONE
        return bool(self.endpoints) and cause in (Cause.NONE, Cause.FAILURES, Cause.NO_ENDPOINT)

    def pick(self, now: float) -> Endpoint | None:
        """The endpoint for a last resort: one that is well, else any; None where there is none at all."""
        well = [endpoint for endpoint in self.endpoints if self._usable(endpoint, now)] or self.endpoints
        self._turn += 1
        return self._choose(well, self._turn) if well else None

    def sibling(self, now: float, avoid: Collection[Endpoint]) -> Endpoint | None:
        """Another endpoint that is well; None if there is none."""
        well = [e for e in self.endpoints if e not in avoid and self._usable(e, now)]
        self._turn += 1
        return self._choose(well, self._turn) if well else None

    def _usable(self, endpoint: Endpoint, now: float) -> bool:
        if endpoint.healthy:
            return endpoint.breaker.admits(now)
        if endpoint.healthy is None:  # unknown: at the very start, or where nothing is probed
            if self.health_path is not None and any(other.healthy for other in self.endpoints):
                return False
            return endpoint.breaker.admits(now)
        return False

    # What the state machine tells

    def succeeded(self, endpoint: Endpoint, now: float, began: float, token: bool) -> None:
        endpoint.last_success = now
        if self._many:
            endpoint.breaker.success(now, began)
        self.breaker.success(now, began, token)

    def failed(self, endpoint: Endpoint, failure: Failure, now: float, began: float, token: bool) -> bool:
        """Books a failed attempt by its row of the table. True when the backend's breaker opened."""
        mark = failure.rule.mark
        if mark is Mark.NONE:
            if token:
                self.breaker.release()
            return False
        if mark is Mark.COOL:
            self.breaker.cool(now, failure.retry_after)
            return True
        if mark is Mark.AUTH or mark is Mark.MODEL:
            auth = mark is Mark.AUTH
            seconds = HARD_DOWN_AUTH_SECONDS if auth else HARD_DOWN_MODEL_SECONDS
            self.breaker.trip(now, Cause.AUTH if auth else Cause.MODEL, seconds)
            self.hard_down_detail = failure.detail
            return True
        return self.broke(endpoint, now, began, token, endpoint_only=mark is Mark.ENDPOINT)

    def broke(self, endpoint: Endpoint, now: float, began: float, token: bool, *, endpoint_only: bool) -> bool:
        """+1 on the endpoint; on the backend as well, unless the fault is one address' and a sibling is well."""
        if not self._many:  # one endpoint: its breaker would say the same
            return self.breaker.failure(now, began, token)
        endpoint.breaker.failure(now, began)
        if endpoint_only and self.sibling(now, (endpoint,)) is not None:
            if token:
                self.breaker.release()
            return False
        return self.breaker.failure(now, began, token)

    def probed(self, endpoint: Endpoint, good: bool, now: float, *, late: bool = False) -> None:
        """Books an active probe of one endpoint."""
        endpoint.probe(good, now, late=late)
        if good:
            if endpoint.breaker.state is not State.CLOSED:
                endpoint.breaker.success(now, now)
            if self.breaker.state is not State.CLOSED:
                self.breaker.success(now, now)
        elif not any(e.healthy or e.healthy is None for e in self.endpoints):
            if self.breaker.view(now) is State.CLOSED:
                self.breaker.trip(now, Cause.NO_ENDPOINT)
            else:
                self.breaker.probe_failed()
