"""The pages: what each needs, who may see it, and which template shows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from genset.console import continuity, cost, egress, fleet, request_trail, routes
from genset.console.heard import Sees
from genset.console.ledger_asked import LedgerAway
from genset.console.paging import AskedPage
from genset.console.reviews import Reviews, Right
from genset.console.shown import Shown
from genset.console.visits import ConsoleVisit
from genset.console.watchtower import Watchtower
from genset.contracts.usage import EgressEntry
from genset.ledger.report import UsageRow
from genset.usage.show import as_csv as egress_csv

Handler = Callable[[Request, ConsoleVisit], Awaitable[Response]]


class Pages:
    """The pages of one console."""

    def __init__(self, tower: Watchtower, reviews: Reviews, shown: Shown) -> None:
        self._tower = tower
        self._reviews = reviews
        self._shown = shown

    def handlers(self) -> Mapping[str, Handler]:
        """Returns what answers which path."""
        return {
            "/fleet": self.fleet,
            "/routes": self.routes,
            "/routes/{namespace}/{name}": self.policy,
            "/routes/{namespace}/{name}/series.json": self.series,
            "/continuity": self.continuity,
            "/cost": self.cost,
            "/cost.csv": self.cost_csv,
            "/data": self.data,
            "/data.csv": self.data_csv,
            "/request": self.request,
        }

    async def fleet(self, request: Request, visit: ConsoleVisit) -> Response:
        heard = self._tower.heard()
        sees = await self._sees(visit, Right.FLEET, (one.line.namespace for one in heard.models))
        page = fleet.page(heard, sees, AskedPage.read(request.query_params))
        return self._shown.page(request, visit, "fleet.html", heard, page=page)

    async def routes(self, request: Request, visit: ConsoleVisit) -> Response:
        heard = self._tower.heard()
        sees = await self._sees(visit, Right.ROUTES, (one.line.namespace for one in heard.policies))
        page = routes.listing(heard, sees, AskedPage.read(request.query_params))
        for row in page.rows:
            self._tower.look(f"{row.namespace}/{row.name}")
        return self._shown.page(request, visit, "routes.html", heard, page=page)

    async def policy(self, request: Request, visit: ConsoleVisit) -> Response:
        namespace, name = await self._own_policy(request, visit)
        heard = self._tower.heard()
        page = routes.one(heard, namespace, name)
        if page is None:
            raise HTTPException(404)
        return self._shown.page(request, visit, "policy.html", heard, page=page)

    async def series(self, request: Request, visit: ConsoleVisit) -> Response:
        namespace, name = await self._own_policy(request, visit)
        return JSONResponse(routes.series(self._tower.heard(), namespace, name))

    async def continuity(self, request: Request, visit: ConsoleVisit) -> Response:
        heard = self._tower.heard()
        sees = await self._sees(visit, Right.ROUTES, (one.line.namespace for one in heard.policies))
        page = continuity.page(heard, sees, AskedPage.read(request.query_params))
        return self._shown.page(request, visit, "continuity.html", heard, page=page)

    async def cost(self, request: Request, visit: ConsoleVisit) -> Response:
        heard = self._tower.heard()
        span, part = _one_of(request, "span", cost.SPANS), _one_of(request, "by", cost.PARTS)
        rows, sees, problem = await self._used(visit, span)
        page = cost.page(rows, heard, sees, span, part)
        more = {"page": page, "problem": problem, "spans": cost.SPANS, "kinds": cost.PARTS}
        return self._shown.page(request, visit, "cost.html", heard, **more)

    async def cost_csv(self, request: Request, visit: ConsoleVisit) -> Response:
        rows, _, problem = await self._used(visit, _one_of(request, "span", cost.SPANS))
        if problem:
            raise HTTPException(503, problem)
        return _csv(cost.as_csv(rows), "cost.csv")

    async def data(self, request: Request, visit: ConsoleVisit) -> Response:
        heard, span = self._tower.heard(), _one_of(request, "span", egress.SPANS)
        entries, sees, problem, more = await self._left(visit, span)
        page = egress.page(entries, heard, sees, AskedPage.read(request.query_params))
        shown = {"page": page, "problem": problem, "more": more, "choices": _names(egress.SPANS), "span": span}
        return self._shown.page(request, visit, "data.html", heard, **shown)

    async def data_csv(self, request: Request, visit: ConsoleVisit) -> Response:
        entries, sees, problem, _ = await self._left(visit, _one_of(request, "span", egress.SPANS))
        if problem:
            raise HTTPException(503, problem)
        return _csv(egress_csv([one for one in entries if sees(one.policy.partition("/")[0])]) + "\n", "egress.csv")

    async def request(self, request: Request, visit: ConsoleVisit) -> Response:
        given, found, problem = request.query_params.get("id", "").strip(), [], ""
        if given and not request_trail.is_id(given):
            problem = "This is no request id: copy the value of an answer's header x-request-id."
        elif given:
            try:
                told = await self._tower.ledger.request(given)
                of = {policy.partition("/")[0] for policy in request_trail.policies(told)}
                found = request_trail.trails(told, await self._sees(visit, Right.USAGE, of))
            except LedgerAway as away:
                problem = _sentence(str(away))
        heard = self._tower.heard()
        return self._shown.page(request, visit, "request.html", heard, given=given, trails=found, problem=problem)

    async def _sees(self, visit: ConsoleVisit, right: Right, of: Iterable[str]) -> Sees:
        """Returns which namespaces somebody sees, of those that there are."""
        return (await self._reviews.namespaces(visit.person, right, of)).__contains__

    async def _own_policy(self, request: Request, visit: ConsoleVisit) -> tuple[str, str]:
        """Returns the policy that the path names; one that somebody may not see is as one that is not there."""
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        if self._tower.knows(namespace, name):
            sees = await self._sees(visit, Right.ROUTES, [namespace])
            if sees(namespace):
                self._tower.look(f"{namespace}/{name}")
                return namespace, name
        raise HTTPException(404)

    async def _used(self, visit: ConsoleVisit, span: str) -> tuple[list[UsageRow], Sees, str]:
        """Returns what was used in a span as far as somebody sees it, what he sees, and why nothing is known."""
        heard = self._tower.heard()
        of = {one.line.namespace for one in heard.policies}
        try:
            report = await self._tower.ledger.usage(cost.question(span, heard.now))
        except LedgerAway as away:
            return [], await self._sees(visit, Right.USAGE, of), _sentence(str(away))
        sees = await self._sees(visit, Right.USAGE, of | {row.key[0].partition("/")[0] for row in report.rows})
        return cost.seen(report, sees), sees, ""

    async def _left(self, visit: ConsoleVisit, span: str) -> tuple[list[EgressEntry], Sees, str, bool]:
        """Returns what left the house in a span, what somebody sees, why nothing is known, and whether there is more."""
        heard = self._tower.heard()
        of = {one.line.namespace for one in heard.policies}
        try:
            answer = await self._tower.ledger.egress(heard.now - egress.SPANS[span][1])
        except LedgerAway as away:
            return [], await self._sees(visit, Right.USAGE, of), _sentence(str(away)), False
        entries = answer.reading.found()
        sees = await self._sees(visit, Right.USAGE, of | {one.policy.partition("/")[0] for one in entries})
        return entries, sees, "", answer.more


def _one_of(request: Request, name: str, known: Mapping[str, Any]) -> str:
    given = request.query_params.get(name, "")
    return given if given in known else next(iter(known))


def _csv(text: str, name: str) -> Response:
    return Response(text, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _names(spans: Mapping[str, tuple[str, int]]) -> Mapping[str, str]:
    return {word: name for word, (name, _) in spans.items()}
