"""A backend decides whether it may be asked, and learns from how each attempt ends.

No IO: the exchange reports outcomes, `watch.endpoint_watch` reports addresses and probe results, and the state machine
asks. A `Backend` lives for as long as its configuration and credentials stay the same, across reloads of everything
else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from genset.contracts.backend_config import BackendConfig
from genset.router.backends.abilities import senses_untold
from genset.router.backends.breaker import Breaker, Cause, Effect, State
from genset.router.backends.credentials import Credentials
from genset.router.backends.deadlines import DEFAULT, AnswerTimeouts, Deadlines
from genset.router.backends.demand import Demand
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.histograms import BackendNumbers
from genset.router.backends.learned import Learned
from genset.router.backends.line import Line
from genset.router.backends.outage import Scope, Switch
from genset.router.backends.outcomes import Failure, Mark, Outcome, met
from genset.router.backends.pool import Pool
from genset.router.backends.retry_budget import RetryBudget
from genset.router.backends.standing import Standing
from genset.router.backends.suspicion import SPEAKS_SECONDS, ProvedRefusals, Witness
from genset.router.backends.target import Target
from genset.router.backends.use import BackendLabels, Uses

#: What a failed request of the router's own proves, by the mark of its row in the outcome table.
CAUSES: Final = {
    Mark.AUTH: Cause.AUTH,
    Mark.MODEL: Cause.MODEL,
    Mark.COOL: Cause.RATE_LIMITED,
    Mark.ENDPOINT: Cause.FAILURES,
    Mark.BACKEND: Cause.FAILURES,
}
_CLOSED: Final = State.CLOSED  # looking up an enumeration's member is slow, and `admit` runs for every request


@final
class Backend:
    """A backend is a server, or a group of equal servers, that requests are sent to, with all that is known of it.

    Times are monotonic seconds; `random` is uniform in [0, 1). `numbers`, `switch` (the outage switch of its side,
    cloud or house) and `demand` are shared with others and outlive this object.
    """

    __slots__ = (
        "breaker",
        "config",
        "context_tokens",
        "deadlines",
        "learned",
        "local",
        "name",
        "numbers",
        "pool",
        "retries",
        "standing",
        "switch",
        "target",
        "uses",
    )

    def __init__(
        self,
        config: BackendConfig,
        credentials: Credentials,
        random: Callable[[], float],
        numbers: BackendNumbers | None = None,
        switch: Switch | None = None,
        demand: Demand | None = None,
        *,
        shortcuts: bool = True,
        timeouts: AnswerTimeouts = DEFAULT,
        whole: Backend | None = None,
    ) -> None:
        """`whole` is the backend of which this one is an adapter: its endpoints are among that one's."""
        self.config = config
        self.name = config.name
        self.local = config.kind == "local"
        self.context_tokens = config.context_tokens
        self.target = target = Target(config, credentials)
        self.numbers = numbers or BackendNumbers()
        provider = "genset" if self.local else target.provider.telemetry_name
        known = config.model_class
        size, speed = (known.size, known.speed) if known is not None else ("", "")
        self.uses = Uses(BackendLabels(config.name, provider, config.model, size, speed))
        self.switch = switch or Switch(Scope.BACKEND, "")
        self.learned = Learned(shortcuts=shortcuts)
        self.deadlines = Deadlines(self.local, timeouts)
        probed = target.health_path is not None
        self.breaker = Breaker(random, probed=probed)
        self.retries = RetryBudget()
        self.standing = Standing()
        self.pool: Pool = (
            whole.pool.parts[config.model]
            if whole is not None
            else Pool(
                config.balancing,
                random,
                self.numbers,
                many=config.local is not None,
                probed=probed,
                demand=(demand or Demand()) if self.wakes else None,
                adapters=config.adapters or (),
                told=config.adapter_list is not None,
            )
        )
        if whole is None and config.url is not None:
            self.pool.take((self.pool.make(target.host, target.port),))

    @property
    def task(self) -> str | None:
        """Names the one thing that the backend is there for; None if it may be asked for anything."""
        return self.config.task

    @property
    def is_adapter(self) -> bool:
        """An adapter is a model beside another one on the same servers, with a standing of its own."""
        return self.config.model in (self.config.adapters or ())

    @property
    def wakes(self) -> str | None:
        """Names the deployment that a request to this backend wakes; None if it never rests."""
        return self.config.local.wakes if self.config.local is not None else None

    @property
    def lacks(self) -> frozenset[str]:
        """Returns what it cannot do: of senses that the configuration leaves open, its servers say."""
        lacks: frozenset[str] = self.target.lacks
        senses = self.pool.senses
        return lacks - (senses & senses_untold(self.config)) if senses else lacks

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self.pool.endpoints

    @property
    def line(self) -> Line:
        return self.pool.line

    @property
    def refusals(self) -> ProvedRefusals:
        return self.standing.refusals

    # What the state machine asks

    def admits(self, now: float) -> bool:
        """Returns whether a request may go here at once, without being a last resort."""
        return not self.switch.down and self.breaker.admits(now) and self.pool.admits(now)

    def admit(self, now: float, key: int | None = None, *, first: bool = False) -> Endpoint | None:
        """Returns the endpoint for a request, or None if `admits` says no. `key` and `first` are those of `Pool.admit`."""
        if self.switch.down or (self.breaker.state is not _CLOSED and not self.breaker.admits(now)):
            return None
        return self.pool.admit(now, key, first=first)

    def is_full(self, now: float) -> bool:
        """Returns whether only a lack of places keeps a request from this backend."""
        return not self.switch.down and self.breaker.admits(now) and self.pool.is_full(now)

    def why_not(self, now: float, path: str = "") -> str:
        """Returns the word that answer headers show: why `admits` says no, or no request on this path may go here."""
        if self.pool.rests:
            return "cold"
        if (refusal := self.refusals.of(path, now)) is not None:
            return "breaker_open" if refusal.cause is Cause.FAILURES else str(refusal.cause)
        state = self.breaker.view(now)
        if self.switch.down:
            return self.switch.word
        if not self.pool.endpoints:
            return "not_loaded" if self.is_adapter else "no_endpoint"
        if self.is_full(now):
            return "full"
        if state is State.CLOSED:
            return "no_healthy_endpoint"
        if self.breaker.cause is Cause.FAILURES:
            return "breaker_" + state.replace("-", "_")
        return str(self.breaker.cause)

    def is_last_resort(self, now: float, path: str) -> bool:
        """Returns whether a request may be tried here although `admits` says no.

        That is so if the backend may be broken, but neither refuses the router nor asked for a pause, and has a place.
        """
        cause = self.breaker.cause if self.breaker.view(now) is not State.CLOSED else Cause.NONE
        refusal = self.refusals.of(path, now)
        if self.is_full(now) or (refusal is not None and refusal.cause is not Cause.FAILURES):
            return False
        return self.pool.has_place() and cause in (Cause.NONE, Cause.FAILURES, Cause.NO_ENDPOINT)

    @property
    def fault(self) -> str:
        """Names the fault for which the backend is passed over, in the words of `failover.toCloudOn`."""
        word = self.standing.broken_by
        return word if word and self.pool.may_answer and not self.switch.down else "Unreachable"

    def is_down(self, now: float) -> bool:
        """Returns whether nobody could answer here, which is what the house's outage switch asks."""
        if self.pool.endpoints and self.target.health_path is None:
            # It is not probed, so the breaker and the end of the last attempt decide.
            return self.standing.unreached and self.breaker.view(now) is State.OPEN
        return not self.pool.may_answer

    # What the state machine tells

    def succeeded(self, endpoint: Endpoint, now: float, began: float, permit: bool, path: str) -> None:
        """Books an answer that is complete. `permit`: the request carried the breaker's half-open permit."""
        self.standing.unreached = False
        if self.switch.alarmed:
            self.switch.answered(now, began)
        self.spoke(endpoint, now, path)
        if self.pool.many:
            endpoint.breaker.success(now, began)
        self.breaker.success(now, began, permit)

    def spoke(self, endpoint: Endpoint, now: float, path: str) -> None:
        """Notes that an answer has begun on this path of the API, which speaks for the backend."""
        suspicion = self.standing.suspicion
        endpoint.last_success = suspicion.paths[path] = now
        if suspicion.heard:
            suspicion.answered(now)

    def failed(
        self,
        endpoint: Endpoint,
        failure: Failure,
        now: float,
        began: float,
        permit: bool,
        *,
        reached: bool = True,
        witness: Witness | None = None,
    ) -> None:
        """Books a failed attempt as its row of the outcome table says.

        `reached`: a connection was made. If none could be made, only the way to the backend is in question: nothing of
        the request had a part in it, so it needs no testimony. `witness` is whose request it was; None if it was the
        router's own.
        """
        self.standing.unreached = not reached and failure.outcome is Outcome.UNREACHABLE
        if self.standing.unreached:
            self.switch.unreachable(self.target.host, now, began, failure.detail)
        elif failure.status and self.switch.alarmed:
            self.switch.answered(now, began)
        mark = failure.row.mark
        if mark is Mark.ENDPOINT or mark is Mark.BACKEND:
            endpoint_only = mark is Mark.ENDPOINT
            met_by = witness if reached else None
            self.broke(endpoint, now, began, permit, endpoint_only=endpoint_only, witness=met_by, word=met(failure))
            return
        if mark is Mark.COOL and self._is_limited(endpoint, now, witness):
            self.breaker.cool(now, failure.retry_after)
            return
        if permit:
            self.breaker.release()
        if mark is Mark.AUTH or mark is Mark.MODEL:
            self._refused(endpoint, failure, now, witness)

    def _refused(self, endpoint: Endpoint, failure: Failure, now: float, witness: Witness | None) -> None:
        """Takes a refusal of the key or the model for true if the router's own request met it, or if callers agree."""
        cause = CAUSES[failure.row.mark]
        path = witness.path if witness is not None else ""
        about = "" if cause is Cause.AUTH else path
        if witness is None or self.standing.proves(cause, about, witness, now):
            self.standing.refuse(cause, path, about, failure, now)
        if witness is not None:
            self.standing.doubt(endpoint, path, now)  # callers who agree may do so on purpose

    def _is_limited(self, endpoint: Endpoint, now: float, witness: Witness | None) -> bool:
        """Returns whether a pause that one request was told to make holds for all requests.

        One request may be too much by itself, while others are answered.
        """
        if witness is None or now - endpoint.last_success >= SPEAKS_SECONDS:
            return True
        if self.standing.proves(Cause.RATE_LIMITED, "", witness, now):
            return True
        self.standing.doubt(endpoint, witness.path, now)
        return False

    def broke(
        self,
        endpoint: Endpoint,
        now: float,
        began: float,
        permit: bool,
        *,
        endpoint_only: bool,
        word: str = "",
        witness: Witness | None = None,
    ) -> None:
        """Counts a failure against the endpoint and, as a rule, against the backend.

        The backend is spared if only the endpoint is at fault and a sibling is usable. `word` is what
        `failover.toCloudOn` calls the failure.
        """
        proved = witness is None or self.standing.proves(Cause.FAILURES, "", witness, now)
        effect = Effect.NOTHING
        counts = True
        if self.pool.many:
            effect = endpoint.breaker.failure(now, began, proved=proved)
            if endpoint_only and self.pool.demand is not None:
                endpoint.doubt()  # perhaps it was put to rest during the request: the next one waits, or goes elsewhere
            counts = not (endpoint_only and self.pool.has_other(endpoint, now))
        if counts:
            effect = max(effect, self.breaker.failure(now, began, permit, proved=proved))
        elif permit:
            self.breaker.release()
        if effect == Effect.DOUBT and witness is not None:
            self.standing.doubt(endpoint, witness.path, now)
        elif effect == Effect.OPENED:
            self.standing.broken(word)

    def withdraw(self, endpoint: Endpoint, witness: Witness) -> None:
        """Takes a testimony back, because the same body failed at another backend, too."""
        self.standing.suspicion.withdraw(witness)
        self.breaker.withdraw()
        if self.pool.many:
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
        """Books a request of the router's own, in which there is not a byte of any client.

        `failure` is None if it was answered. `only_here`: the same server answers on another path with the same key, so
        the failure is about this path.
        """
        self.standing.suspicion.asked(now)
        mark = failure.row.mark if failure is not None else Mark.NONE
        if failure is None or (mark is Mark.NONE and failure.status):
            self.refusals.clear(path)
            self.standing.suspicion.answered(now)
            endpoint.breaker.acquit(now, began)
            self.breaker.acquit(now, began)
        elif mark is not Mark.NONE and (only_here or mark is Mark.AUTH or mark is Mark.MODEL):
            everywhere = mark is Mark.AUTH and not only_here
            self.standing.refuse(CAUSES[mark], path, "" if everywhere else path, failure, now)
        elif mark is Mark.COOL:
            self.breaker.cool(now, failure.retry_after)
        elif mark is not Mark.NONE:
            endpoint.breaker.convict(now)
            if not self.pool.has_other(endpoint, now):
                self.breaker.convict(now)
            self.standing.broken(met(failure))

    def vouched(self, endpoint: Endpoint, now: float) -> None:
        """Books a good probe of an endpoint for an adapter that is loaded there."""
        if self.breaker.state is not State.CLOSED and endpoint in self.pool.endpoints:
            self.breaker.success(now, now)

    def returned(self) -> None:
        """Forgets refusals of an adapter that has just been loaded somewhere: it was not there when it was asked for."""
        self.refusals.forget()

    def probed(self, endpoint: Endpoint, good: bool, now: float, *, late: bool = False) -> None:
        """Books an active probe of one endpoint."""
        rested = self.pool.rests
        endpoint.probe(good, now, late=late)
        if good:
            if endpoint.healthy:
                self.switch.reached(self.name)
            if rested and not self.pool.rests:
                self.breaker.forget(now)  # it rested on purpose: its return needs no proof
            if endpoint.breaker.state is not State.CLOSED:
                endpoint.breaker.success(now, now)
            if self.breaker.state is not State.CLOSED:
                self.breaker.success(now, now)
            self.pool.line.wake()
        elif self.pool.demand is None and not self.pool.may_answer:
            if self.breaker.view(now) is State.CLOSED:
                self.breaker.trip(now, Cause.NO_ENDPOINT)
            else:
                self.breaker.probe_failed()
