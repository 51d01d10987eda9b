"""A verifier has the router itself ask a backend: whether what callers met is true, and whether it is back.

A suspicion is settled at once, by one request without a byte of any client: the smallest answer there is, which costs nothing
as long as it is refused. A list of models would not do: gateways refuse it to keys that may ask, and providers give it to
accounts that may not. While a breaker is open, a cloud is asked for its list of models every few seconds, and a backend that
refuses the router is asked for the smallest answer every ten seconds. Nothing runs while nothing is suspected or down.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from genset.router.backends.account import Accounts
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause, State
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.outcomes import Failure, Mark, Outcome
from genset.router.dialects.base import Untranslatable
from genset.router.dialects.openai.api import api_for
from genset.router.dialects.openai.events import begins_stream
from genset.router.dialects.openai.in_band import INSIDE
from genset.router.dialects.openai.whole_answer import fault_of
from genset.router.http.connect import ConnectFailed, Connector, NothingLeft
from genset.router.machine.classify import ERROR_BODY_BYTES, classify, classify_in_band
from genset.router.watch.own_request import APIS, LEAST, OwnAnswer, get, least_answer

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0  # between two free probes of a cloud whose breaker is open
UNLISTED_SECONDS: Final = 15.0  # of failing lists of models, after which the cloud is asked for the smallest answer
LEAST_SECONDS: Final = 3.0  # which a request of the router's own may always take, however fast the backend usually is
USUAL_FACTOR: Final = 2.0  # times the 99th percentile of recent times to the first token
_NO_LIST: Final = (404, 405, 501)  # the server has no list of models, so no probe is free
#: A restricted key may ask for answers but not for the list (OpenAI: 401, "Missing scopes: api.model.read").
_LACKS_SCOPE: Final = re.compile(r"scope|permission", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VerifyTimeouts:
    """The times are seconds between the router's own requests to a cloud whose breaker is open.

    `look`: between two requests for the list of models. `unlisted`: of lists that fail, before it asks for an answer.
    """

    look: float = LOOK_SECONDS
    unlisted: float = UNLISTED_SECONDS


DEFAULT: Final = VerifyTimeouts()


class Verifier:
    """A verifier makes the router's own requests to one backend.

    `now` gives monotonic seconds of the router's clock; `random` is uniform in [0, 1).
    """

    def __init__(
        self,
        backend: Backend,
        connector: Connector,
        now: Callable[[], float],
        random: Callable[[], float],
        timeouts: VerifyTimeouts = DEFAULT,
        paid: Callable[[Backend, str, bytes], None] | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """`paid` hears of each answer that a cloud has made for the router itself: the backend, the path, the body.
        `accounts` hear of each refusal that the router itself has met."""
        self._backend = backend
        self._accounts = accounts or Accounts()
        self._paid = paid
        self._connector = connector
        self._now = now
        self._random = random
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering = False
        self._lists_models = backend.config.url is not None
        self._timeouts = timeouts
        self._asked_at = -timeouts.unlisted  # when it was last asked for an answer because its list of models failed

    def start(self) -> None:
        self._backend.standing.attend(self._begin_verification, self._begin_recovery)

    def stop(self) -> None:
        self._backend.standing.attend(None)
        for task in list(self._tasks):
            task.cancel()

    def _begin_verification(self, endpoint: Endpoint, path: str) -> None:
        self._run(self._verify(endpoint, path))

    def _begin_recovery(self) -> None:
        if not self._recovering:
            self._recovering = True
            self._run(self._recover())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Suspicions

    async def _verify(self, endpoint: Endpoint, path: str) -> None:
        backend, began = self._backend, self._now()
        failure: Failure | None = Failure(Outcome.EXHAUSTED, "the router could not ask")
        only_here = False
        elsewhere = backend.standing.suspicion.elsewhere(path, began)
        try:
            if elsewhere:
                failure, other = await asyncio.gather(self._least(endpoint, path), self._least(endpoint, elsewhere))
                only_here = other is None
            else:
                failure = await self._least(endpoint, path)
        except Exception:
            log.exception("Failed to ask backend %s about a suspicion", backend.name)
        finally:
            backend.verified(endpoint, path, failure, self._now(), began, only_here=only_here)
            if failure is not None or path in LEAST:  # a list of models says nothing of who has paid
                self._accounts.told(backend, failure, self._now())
        if failure is None:
            log.info("Asked backend %s about a suspicion: it answers", backend.name)
        else:
            log.warning("Asked backend %s about a suspicion: %s", backend.name, failure.detail)

    def _list(self, endpoint: Endpoint) -> Coroutine[Any, Any, OwnAnswer]:
        target = self._backend.target
        return get(self._connector, target, endpoint, target.probe_path)

    async def _least(self, endpoint: Endpoint, path: str) -> Failure | None:
        if path not in LEAST:  # nothing small can be asked for there: an answer is a picture, or needs a file
            listed = await self._asked(self._list(endpoint))
            return None if listed is not None and _LACKS_SCOPE.search(listed.words) else listed
        return await self._asked(self._least_answer(endpoint, path), APIS[path].part)

    async def _least_answer(self, endpoint: Endpoint, path: str) -> OwnAnswer:
        answer = await least_answer(self._connector, self._backend, endpoint, path)
        if self._paid is not None and not self._backend.local and 200 <= answer.status < 300:
            self._paid(self._backend, path, answer.body)
        return answer

    async def _asked(
        self, asking: Coroutine[Any, Any, OwnAnswer], part: str = "", within: float | None = None
    ) -> Failure | None:
        """Returns what a request of the router's own met; None if it was answered.

        `part` names the list that the answer has to hold; "" if any 2xx will do. `within`: seconds, if not the usual patience.
        """
        try:
            async with asyncio.timeout(self._patience() if within is None else within):
                answer = await asking
        except TimeoutError:
            return Failure(Outcome.TOO_LATE, "did not answer the router's own request in time")
        except Untranslatable as missing:
            return Failure(Outcome.UNSUPPORTED, str(missing))
        except NothingLeft as problem:
            return Failure(Outcome.EXHAUSTED, problem.detail)
        except ConnectFailed as problem:
            return Failure(Outcome.UNREACHABLE, problem.detail)
        except OSError as problem:
            return Failure(Outcome.UNREACHABLE, str(problem))
        if 200 <= answer.status < 300:
            return self._fault(answer.body, part) if part else None
        return classify(
            answer.status, answer.headers, answer.body, self._backend.target.model, wall=time.time(), may_wait=0.0
        )

    def _fault(self, body: bytes, part: str) -> Failure | None:
        """Returns why a 200 is no answer; None if it is one."""
        if len(body) >= ERROR_BODY_BYTES or begins_stream(body):
            return None  # longer than any refusal, or a server that streams unasked
        fault = fault_of(body, True, part=part)
        if isinstance(fault, dict):
            return classify_in_band(fault, f"{INSIDE} a 200", self._backend.target.model)
        return Failure(Outcome.INVALID_RESPONSE, fault, 200) if fault is not None else None

    def _patience(self) -> float:
        usual = self._backend.deadlines.first_tokens.p99
        longest = self._backend.deadlines.first_token_seconds(1)
        return (
            min(longest, self._backend.target.connect_seconds + max(LEAST_SECONDS, USUAL_FACTOR * usual))
            if usual
            else longest
        )

    # Recovery

    async def _recover(self) -> None:
        backend = self._backend
        share = 0.7  # a breaker's first pause lasts 4 s at least: the first probe is under way by then
        try:
            while backend.breaker.view(self._now()) is not State.CLOSED or backend.refusals.known:
                await asyncio.sleep(share * self._timeouts.look * (0.9 + 0.2 * self._random()))
                share = 1.0
                try:
                    await self._look()
                except Exception:
                    log.exception("Failed to ask whether backend %s is back", backend.name)
                finally:
                    backend.breaker.looked()
        finally:
            self._recovering = False

    async def _look(self) -> None:
        backend, now = self._backend, self._now()
        if not backend.endpoints:
            return
        endpoint = backend.endpoints[0]
        for refusal in backend.refusals.all(now):
            account = self._accounts.of(backend) if refusal.cause is Cause.AUTH else None
            if account is not None and not account.asks(backend, now):
                continue
            if now >= refusal.probe_at and backend.standing.suspicion.may_ask(now):
                refusal.probed(now)
                await self._verify(endpoint, refusal.met_on)
        if (
            not self._lists_models
            or backend.target.health_path is not None
            or backend.breaker.cause is not Cause.FAILURES
        ):
            return
        within = min(self._patience(), backend.target.connect_seconds + LEAST_SECONDS)
        backend.breaker.looks(now, now + within + self._timeouts.look)
        met = await self._asked(self._list(endpoint), within=within)
        if met is not None and met.status in _NO_LIST:
            self._lists_models = False
            return
        backend.breaker.look_often()
        now = self._now()
        if met is None or (met.status and met.row.mark is not Mark.BACKEND and met.row.mark is not Mark.ENDPOINT):
            backend.breaker.hope(now)
        elif met.outcome is not Outcome.EXHAUSTED and not await self._answers_without_list(endpoint):
            until_next = 1.2 * self._timeouts.look
            backend.breaker.despair(self._now(), self._now() + until_next)

    async def _answers_without_list(self, endpoint: Endpoint) -> bool:
        """Returns whether a backend answers although its list of models fails.

        It is asked rarely, because an answer may cost money.
        """
        backend, now = self._backend, self._now()
        if now - max(self._asked_at, backend.breaker.opened_at) < self._timeouts.unlisted:
            return False
        self._asked_at = now
        path = backend.standing.suspicion.latest or api_for(backend.task).path
        if await self._least(endpoint, path) is not None:
            return False
        self._lists_models = False  # its list says nothing about its answers
        backend.verified(endpoint, path, None, self._now(), now)
        return True
