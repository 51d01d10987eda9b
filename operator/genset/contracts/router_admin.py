"""The routers' contract is what the operator asks on their admin port: what they serve and see (`/-/config`), who asks
for what (`/-/demand`).

A router renders these types and the operator reads them. Reading is tolerant: what is unknown is ignored, what is absent
or of another type counts as not told, and a page without its first fields is of no use. See docs/adr/0012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from genset.contracts.drill import DrillReport
from genset.contracts.reading import count, duration, items, parsed, text

CONFIG_PATH: Final = "/-/config"
DEMAND_PATH: Final = "/-/demand"
LIMITS_PATH: Final = "/-/limits/"  # behind it a number of the router that asks: see router.access.sharing


@dataclass(frozen=True)
class OutageReport:
    """An outage is something that one router sees as down.

    `scope`: Cloud, House, Provider or Backend. `backend`: its name, with the breaker's cause; of a Provider's account `backends`
    names all, each of which is told by itself, too, for operators that know no accounts. `why`: key, denied, unpaid or suspended;
    of a model that is not known: retired, if it worked before.
    """

    scope: str
    since: str = ""  # RFC 3339
    detail: str = ""
    backend: str = ""
    cause: str = ""  # auth, model_not_found
    why: str = ""
    backends: tuple[str, ...] = ()
    ends: str = ""  # RFC 3339; when the model has ended, as its server has told

    def to_document(self) -> dict[str, Any]:
        told: dict[str, Any] = {"scope": self.scope, "since": self.since, "detail": self.detail}
        if self.backend:
            told |= {"backend": self.backend, "cause": self.cause}
        if self.why:
            told["why"] = self.why
        if self.backends:
            told["backends"] = list(self.backends)
        if self.ends:
            told["ends"] = self.ends
        return told

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OutageReport:
        told = (text(document.get(name)) for name in ("scope", "since", "detail", "backend", "cause", "why"))
        scope, since, detail, backend, cause, why = told
        backends = tuple(name for name in items(document.get("backends")) if isinstance(name, str))
        return cls(scope, since, detail, backend, cause, why, backends, text(document.get("ends")))


@dataclass(frozen=True)
class ServerReport:
    """A report is what one router knows of a server elsewhere, by its backend: does it complete? Of a cloud it is told only when
    its answers announce the end of its model: `sunset`, `deprecated` (RFC 3339; "": not told).

    `status` and `words` are what it said if it refused as an OpenAI API does. 0 and "": no such API has answered, and why
    is not told, so that nobody can look around the network through a resource.
    """

    backend: str
    answers: bool
    status: int = 0
    words: str = ""
    sunset: str = ""
    deprecated: str = ""

    def to_document(self) -> dict[str, Any]:
        told = {"backend": self.backend, "answers": self.answers, "status": self.status, "words": self.words}
        ends = {"sunset": self.sunset, "deprecated": self.deprecated}
        return told | ends if self.sunset or self.deprecated else told

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ServerReport:
        words, sunset, deprecated = (text(document.get(name)) for name in ("words", "sunset", "deprecated"))
        status = count(document.get("status"))
        return cls(text(document.get("backend")), document.get("answers") is True, status, words, sunset, deprecated)


@dataclass(frozen=True)
class ShareReport:
    """A report is how many whole answers a route has given in its window, as one router remembers, and the house of these."""

    route: str
    answers: int = 0
    house: int = 0

    def to_document(self) -> dict[str, Any]:
        return {"route": self.route, "answers": self.answers, "house": self.house}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ShareReport:
        answers = count(document.get("answers"))
        return cls(text(document.get("route")), answers, min(answers, count(document.get("house"))))


@dataclass(frozen=True)
class BudgetReport:
    """A report is what one router knows that was spent of a budget, by all routers, in the window from `begin` to `end`.

    `spent` is a decimal string, `percent` its part of the amount. `short`: what is left is less than a request
    usually costs, or nothing is. `uncounted`: attempts since its start whose cost nobody knows.
    """

    name: str
    currency: str = ""
    begin: int = 0
    end: int = 0
    spent: str = "0"
    percent: int = 0
    short: bool = False
    uncounted: int = 0

    def to_document(self) -> dict[str, Any]:
        told = {"name": self.name, "currency": self.currency, "begin": self.begin, "end": self.end}
        return {**told, "spent": self.spent, "percent": self.percent, "short": self.short, "uncounted": self.uncounted}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> BudgetReport:
        name, currency, spent = (text(document.get(name)) for name in ("name", "currency", "spent"))
        begin, end, percent, uncounted = (
            count(document.get(name)) for name in ("begin", "end", "percent", "uncounted")
        )
        return cls(name, currency, begin, end, spent, percent, document.get("short") is True, uncounted)


@dataclass(frozen=True)
class ConfigReport:
    """A report is what a router serves and of which policy, and what it sees as down.

    `error`: why it refused a newer configuration.
    """

    hash: str
    credentials_hash: str = ""
    generation: int = 0
    namespace: str = ""
    name: str = ""
    site: str = ""
    loaded_at: str = ""  # RFC 3339; empty: never
    error: str | None = None
    outages: tuple[OutageReport, ...] = ()
    unknown: frozenset[str] = frozenset()  # scopes of which it cannot tell: never seen up since it started
    servers: tuple[ServerReport, ...] = ()  # elsewhere, that it has asked; clouds whose models end
    drill: DrillReport | None = None  # that is ordered, or was last
    shares: tuple[ShareReport, ...] = ()  # of routes whose local share somebody wants to know
    budgets: tuple[BudgetReport, ...] = ()

    def to_json(self) -> bytes:
        return orjson.dumps(
            {
                "hash": self.hash,
                "credentialsHash": self.credentials_hash,
                "generation": self.generation,
                "namespace": self.namespace,
                "name": self.name,
                "site": self.site,
                "loadedAt": self.loaded_at,
                "error": self.error,
                "outages": [outage.to_document() for outage in self.outages],
                "unknown": sorted(self.unknown),
                "servers": [server.to_document() for server in self.servers],
                **({"drill": self.drill.to_document()} if self.drill is not None else {}),
                **({"shares": [share.to_document() for share in self.shares]} if self.shares else {}),
                **({"budgets": [budget.to_document() for budget in self.budgets]} if self.budgets else {}),
            }
        )

    @classmethod
    def from_json(cls, body: bytes) -> ConfigReport | None:
        """Reads a report; None for anything else."""
        document = parsed(body)
        if not isinstance(document.get("hash"), str):
            return None
        outages, unknown = items(document.get("outages")), items(document.get("unknown"))
        return cls(
            hash=document["hash"],
            credentials_hash=text(document.get("credentialsHash")),
            generation=count(document.get("generation")),
            namespace=text(document.get("namespace")),
            name=text(document.get("name")),
            site=text(document.get("site")),
            loaded_at=text(document.get("loadedAt")),
            error=text(document.get("error")) or None,
            outages=tuple(OutageReport.from_document(item) for item in outages if isinstance(item, dict)),
            unknown=frozenset(item for item in unknown if isinstance(item, str)),
            servers=tuple(
                ServerReport.from_document(item) for item in items(document.get("servers")) if isinstance(item, dict)
            ),
            drill=DrillReport.from_document(document.get("drill")),
            shares=tuple(
                ShareReport.from_document(item) for item in items(document.get("shares")) if isinstance(item, dict)
            ),
            budgets=tuple(
                BudgetReport.from_document(item) for item in items(document.get("budgets")) if isinstance(item, dict)
            ),
        )


@dataclass(frozen=True)
class DeploymentDemand:
    """This is the demand for one deployment. `last_request_seconds`: how long ago; None: never."""

    last_request_seconds: float | None = None
    in_flight: int = 0
    waiting: int = 0  # for it to wake


@dataclass(frozen=True)
class DemandReport:
    """A report is who asks a router for deployments that can rest, by their names.

    `up_seconds`: how far back its memory reaches.
    """

    up_seconds: float
    deployments: Mapping[str, DeploymentDemand] = field(default_factory=dict)

    def to_json(self) -> bytes:
        deployments = {
            name: {
                "lastRequestSeconds": demand.last_request_seconds,
                "inFlight": demand.in_flight,
                "waiting": demand.waiting,
            }
            for name, demand in self.deployments.items()
        }
        return orjson.dumps({"upSeconds": self.up_seconds, "deployments": deployments})

    @classmethod
    def from_json(cls, body: bytes) -> DemandReport | None:
        """Reads a report; None for anything else: a router that cannot be understood must not be taken for one that
        nobody asks."""
        document = parsed(body)
        up, told = duration(document.get("upSeconds")), document.get("deployments")
        if up is None or not isinstance(told, dict) or not all(isinstance(item, dict) for item in told.values()):
            return None
        return cls(
            up,
            {
                name: DeploymentDemand(
                    duration(item.get("lastRequestSeconds")), count(item.get("inFlight")), count(item.get("waiting"))
                )
                for name, item in told.items()
            },
        )
