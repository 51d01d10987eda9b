"""A backend: whether it may be asked, and what the end of each attempt says of it.

No IO: the exchange tells outcomes, `endpoint_watch` tells addresses and probe results, the state machine asks. One
`Backend` lives as long as its configuration and credentials stay the same, across reloads of everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from genset.contracts.router_config import BackendConfig
from genset.router.backends.breaker import Breaker, Cause, State, Verdict
from genset.router.backends.credentials import Credentials
from genset.router.backends.deadlines import Deadlines
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
from genset.router.backends.suspicion import SPEAKS_SECONDS, Refusals, Witness
from genset.router.backends.target import Target
from genset.router.backends.use import Asked, Uses

#: What a failed request of the router's own proves, by its row's mark.
CAUSES: Final = {
    Mark.AUTH: Cause.AUTH,
    Mark.MODEL: Cause.MODEL,
    Mark.COOL: Cause.RATE_LIMITED,
    Mark.ENDPOINT: Cause.FAILURES,
    Mark.BACKEND: Cause.FAILURES,
}
_CLOSED: Final = State.CLOSED  # an enumeration's member is looked up slowly, and `admit` runs for every request


@final
class Backend:
    """One backend: the way there, its endpoints, and what is known of it.

    Times are monotonic seconds; `random` is uniform in [0, 1). `numbers`, `switch` (of its side of the world) and `demand`
    are shared and outlive this state.
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
    ) -> None:
        self.config = config
        self.name = config.name
        self.local = config.kind == "local"
        self.context_tokens = config.context_tokens
        self.target = target = Target(config, credentials)
        self.numbers = numbers or BackendNumbers()
        self.uses = Uses(Asked(config.name, "genset" if self.local else target.provider.telemetry_name, config.model))
        self.switch = switch or Switch(Scope.BACKEND, "")
        self.learned = Learned(shortcuts=shortcuts)
        self.deadlines = Deadlines(self.local)
        probed = target.health_path is not None
        self.breaker = Breaker(random, probed=probed)
        self.retries = RetryBudget()
        self.standing = Standing()
        demand = (demand or Demand()) if self.wakes else None
        self.pool = Pool(
            config.balancing, random, self.numbers, many=config.local is not None, probed=probed, demand=demand
        )
        if config.url is not None:
            self.pool.take((self.pool.make(target.host, target.port),))

    @property
    def wakes(self) -> str | None:
        """The deployment that a request wakes."""
        return self.config.local.wakes if self.config.local is not None else None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self.pool.endpoints

    @property
    def line(self) -> Line:
        return self.pool.line

    @property
    def refusals(self) -> Refusals:
        return self.standing.refusals

    # What the state machine asks

    def admits(self, now: float) -> bool:
        """Whether a request may go here without being a last resort and without waiting."""
        return not self.switch.down and self.breaker.admits(now) and self.pool.admits(now)

    def admit(self, now: float, key: int | None = None, *, first: bool = False) -> Endpoint | None:
        """The endpoint for a request, if `admits`. `key` and `first` as the pool's."""
        if self.switch.down or (self.breaker.state is not _CLOSED and not self.breaker.admits(now)):
            return None
        return self.pool.admit(now, key, first=first)

    def is_full(self, now: float) -> bool:
        """Whether it would admit a request if its endpoints had fewer of them, or nobody waited already."""
        return not self.switch.down and self.breaker.admits(now) and self.pool.is_full(now)

    def why_not(self, now: float, path: str = "") -> str:
        """The word for evidence: why `admits` says no, or why no request on this path may go there."""
        if self.pool.rests:
            return "cold"
        if (refusal := self.refusals.of(path, now)) is not None:
            return "breaker_open" if refusal.cause is Cause.FAILURES else str(refusal.cause)
        state = self.breaker.view(now)
        if self.switch.down:
            return self.switch.word
        if not self.pool.endpoints:
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
        return self.pool.has_place() and cause in (Cause.NONE, Cause.FAILURES, Cause.NO_ENDPOINT)

    @property
    def fault(self) -> str:
        """What `failover.toCloudOn` calls the reason for which it is passed over, if a fault is the reason."""
        word = self.standing.broken_by
        return word if word and self.pool.may_answer and not self.switch.down else "Unreachable"

    def is_down(self, now: float) -> bool:
        """Whether nobody is there who could answer: what the switch of the house asks."""
        if self.pool.endpoints and self.target.health_path is None:
            # Not probed: the breaker and how the last attempt ended.
            return self.standing.unreached and self.breaker.view(now) is State.OPEN
        return not self.pool.may_answer

    # What the state machine tells

    def succeeded(self, endpoint: Endpoint, now: float, began: float, permit: bool, path: str) -> None:
        self.standing.unreached = False
        if self.switch.alarmed:
            self.switch.answered(now, began)
        self.spoke(endpoint, now, path)
        if self.pool.many:
            endpoint.breaker.success(now, began)
        self.breaker.success(now, began, permit)

    def spoke(self, endpoint: Endpoint, now: float, path: str) -> None:
        """An answer has begun, on this path of the API: that speaks for the backend."""
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
        """Books a failed attempt by its row of the table.

        `reached`: a connection was made. Only one that could not be made tells of the way there, and is no testimony:
        nothing of the request had any part in it. `witness`: whose request it was; None: the router's own.
        """
        self.standing.unreached = not reached and failure.outcome is Outcome.UNREACHABLE
        if self.standing.unreached:
            self.switch.unreachable(self.target.host, now, began, failure.detail)
        elif failure.status and self.switch.alarmed:
            self.switch.answered(now, began)
        mark = failure.rule.mark
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
        """The key or the model was refused: proved by the router's own request, or by callers who agree."""
        cause = CAUSES[failure.rule.mark]
        path = witness.path if witness is not None else ""
        about = "" if cause is Cause.AUTH else path
        if witness is not None and not self.standing.proves(cause, about, witness, now):
            self.standing.doubt(endpoint, path, now)
            return
        self.standing.refuse(cause, path, about, failure, now)

    def _is_limited(self, endpoint: Endpoint, now: float, witness: Witness | None) -> bool:
        """Whether a pause that one request was asked for is everybody's: one may be too much by itself, while others go well."""
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
        """+1 on the endpoint; on the backend as well, unless the fault is one address' and a sibling is well.

        `word`: what `failover.toCloudOn` calls it.
        """
        proved = witness is None or self.standing.proves(Cause.FAILURES, "", witness, now)
        verdict = Verdict.NOTHING
        counts = True
        if self.pool.many:
            verdict = endpoint.breaker.failure(now, began, proved=proved)
            if endpoint_only and self.pool.demand is not None:
                endpoint.doubt()  # likely put to rest under the request's feet: the next one waits, or goes elsewhere
            counts = not (endpoint_only and self.pool.has_other(endpoint, now))
        if counts:
            verdict = max(verdict, self.breaker.failure(now, began, permit, proved=proved))
        elif permit:
            self.breaker.release()
        if verdict == Verdict.DOUBT and witness is not None:
            self.standing.doubt(endpoint, witness.path, now)
        elif verdict == Verdict.OPENED:
            self.standing.broken(word)

    def withdraw(self, endpoint: Endpoint, witness: Witness) -> None:
        """Takes a testimony back: the same body failed at another backend, too."""
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
        """Books a request of the router's own, without a byte of any client. `failure`: None if it was answered.

        `only_here`: another path of the same server is answered with the same key, so it is about this path.
        """
        self.standing.suspicion.asked(now)
        mark = failure.rule.mark if failure is not None else Mark.NONE
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

    def probed(self, endpoint: Endpoint, good: bool, now: float, *, late: bool = False) -> None:
        """Books an active probe of one endpoint."""
        rested = self.pool.rests
        endpoint.probe(good, now, late=late)
        if good:
            if endpoint.healthy:
                self.switch.reached(self.name)
            if rested and not self.pool.rests:
                self.breaker.forget(now)  # it was gone by intent: its return needs no proof
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
