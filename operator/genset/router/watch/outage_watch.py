"""The outage watch drives the outage switches and reports on them.

It looks at the house on each sweep, probes the cloud while that is down, and logs what has changed. The decisions are
made in `outage`; here are the connection attempts, the log, and the views for /-/state, /-/config and /metrics. The
switches outlive configurations, as an outage does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from genset.contracts.router_admin import OutageReport
from genset.router.backends.account import Accounts
from genset.router.backends.account_words import RETIRED, why_refused
from genset.router.backends.backend import Backend
from genset.router.backends.breaker import Cause
from genset.router.backends.outage import PROBE_SECONDS, CloudSwitch, HouseSwitch, Scope, Switch
from genset.router.backends.suspicion import Refusal
from genset.router.http.connect import ConnectFailed, Connector
from genset.times import rfc3339

log = logging.getLogger(__name__)

_OUTAGES = (Cause.AUTH, Cause.MODEL)  # refusals that only a person can end; others pass by themselves


class OutageWatch:
    """The two switches of one router are driven here. `now` is monotonic, `wall` the time of day; both in seconds."""

    def __init__(
        self, now: Callable[[], float], wall: Callable[[], float], probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self.cloud = CloudSwitch(probe_seconds)
        self.house = HouseSwitch()
        self.accounts = Accounts()
        self._now = now
        self._wall = wall
        self._backends: Mapping[str, Backend] = {}
        self._probe: asyncio.Task[None] | None = None

    def switch_of(self, kind: str) -> Switch:
        """Returns the switch of a backend's side."""
        return self.cloud if kind == "cloud" else self.house

    def take(self, backends: Mapping[str, Backend]) -> None:
        """Takes the backends of a new configuration."""
        self._backends = backends
        self.cloud.set_hosts([backend.target.host for backend in backends.values() if not backend.local])
        self.accounts.take(backends.values(), self._now())
        self._look(self._now())

    def sweep(self, connector: Connector) -> None:
        """Does what is due; called ten times a second."""
        now = self._now()
        self._look(now)
        host = self.cloud.due(now) if self._probe is None else None
        if host is not None:
            backend = next(b for b in self._backends.values() if not b.local and b.target.host == host)
            self._probe = asyncio.get_running_loop().create_task(self._reach(connector, backend))
        for switch in (self.cloud, self.house):
            for flip in switch.news:
                if flip.down:
                    log.warning("Opened the %s switch: %s", switch.word.replace("_", "-"), flip.detail)
                else:
                    log.info("Closed the %s switch: %s", switch.word.replace("_", "-"), flip.detail)
            switch.news.clear()

    def _look(self, now: float) -> None:
        house = (backend for backend in self._backends.values() if backend.local and not backend.pool.rests)
        self.house.look(now, [(backend.name, backend.is_down(now)) for backend in house])

    def stop(self) -> None:
        if self._probe is not None:
            self._probe.cancel()

    async def _reach(self, connector: Connector, backend: Backend) -> None:
        """Probes the cloud by a real connection, TLS and proxy included, in the time that an attempt has for it.

        Nothing is asked on it.
        """
        target, good = backend.target, False
        try:
            async with asyncio.timeout(target.connect_seconds):
                connection = await connector.open(target, backend.endpoints[0])
            connection.drop()
            good = True
        except (ConnectFailed, OSError) as problem:  # includes TimeoutError
            log.debug("Probed %s in vain: %s", target.host, problem)
        except Exception:
            log.exception("Failed to probe %s", target.host)
        finally:
            self._probe = None
        self.cloud.probed(target.host, good)

    # Reports

    def down(self) -> Iterator[OutageReport]:
        """Yields what is down, worst first: sides, accounts, then backends that refuse the router, by name."""
        for switch in (self.cloud, self.house):
            if switch.down:
                yield OutageReport(switch.scope, self._since(switch.opened_at), switch.detail)
        for account in self.accounts.suspended(self._now()):
            suspension = account.suspension
            if suspension is not None:
                names = tuple(backend.name for backend in account.members)
                since, failure = self._since(suspension.since), suspension.failure
                why = str(why_refused(failure))
                yield OutageReport(Scope.PROVIDER, since, failure.detail, why=why, backends=names)
        for backend, refusal in self._refused():
            since = self._since(refusal.since)
            ends = backend.learned.retirement
            at = rfc3339(ends.sunset) if ends is not None and ends.sunset is not None and refusal.why == RETIRED else ""
            yield OutageReport(Scope.BACKEND, since, refusal.detail, backend.name, refusal.cause, refusal.why, ends=at)

    def told(self) -> Iterator[OutageReport]:
        """Yields what of it the operator is told: of a server that a user chose, no refusal that is not in OpenAI's form.

        What listens where is no business of whoever can read a resource's status.
        """
        silent = {
            backend.name
            for backend, refusal in self._refused()
            if not refusal.in_form and not _is_providers_own(backend)
        }
        return (outage for outage in self.down() if silent.isdisjoint((outage.backend, *outage.backends)))

    def unknown(self) -> list[str]:
        """Lists the sides that may be down or up, because this process has never seen them up."""
        return [switch.scope for switch in (self.cloud, self.house) if not switch.known]

    def metrics(self, *, ledger: bool) -> Iterator[Metric]:
        """Yields what is down as numbers. `ledger`: it is away, which others see."""
        gauge = GaugeMetricFamily(
            "genset_router_outage",
            "1 while the side is passed over (scope Cloud, House); accounts that are suspended (Provider); backends that refuse "
            "the key or model (Backend); 1 while the ledger takes no records (Ledger).",
            labels=["scope"],
        )
        flips = CounterMetricFamily(
            "genset_router_outage_flips", "Times that an outage switch opened or closed.", labels=["scope"]
        )
        for switch in (self.cloud, self.house):
            gauge.add_metric([switch.scope], int(switch.down))
            flips.add_metric([switch.scope], switch.flips)
        gauge.add_metric([Scope.PROVIDER], len(self.accounts.suspended(self._now())))
        gauge.add_metric([Scope.BACKEND], sum(1 for _ in self._refused()))
        gauge.add_metric([Scope.LEDGER], int(ledger))
        yield gauge
        yield flips

    def _refused(self) -> Iterator[tuple[Backend, Refusal]]:
        """Yields the backends that refuse the router, by name, each with the first of its refusals."""
        now = self._now()
        for _, backend in sorted(self._backends.items()):
            refusals = [found for found in backend.refusals.all(now) if found.cause in _OUTAGES]
            if refusals:
                yield backend, refusals[0]

    def _since(self, at: float) -> str:
        return rfc3339(self._wall() - (self._now() - at))


def _is_providers_own(backend: Backend) -> bool:
    """Returns whether its URL is the provider's, and nobody's choice."""
    url = backend.config.url
    return url is not None and url.base_url == backend.target.provider.base_url
