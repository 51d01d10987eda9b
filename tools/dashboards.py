"""Writes the chart's Grafana dashboards of the tables here: `python tools/generated.py dashboards`.

A table says what is asked; grafana-foundation-sdk, whose types are Grafana's own, makes the JSON of it. A real Prometheus answers
every query in tests/router/test_dashboards.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard as Builder
from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).resolve().parents[1] / "charts" / "genset" / "files" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
#: What the variables on top of a dashboard choose: of routers' samples, and of the operator's.
ROUTERS = 'namespace=~"$namespace", genset_dev_routepolicy=~"$policy"'
POLICIES = 'namespace=~"$namespace", policy=~"$policy"'
NAMESPACE = 'namespace=~"$namespace"'
WIDTH = 24  # columns of a dashboard
MADE = {"graph": timeseries.Panel, "number": stat.Panel, "table": table.Panel, "bars": bargauge.Panel}


@dataclass(frozen=True)
class Panel:
    """A panel is a question and what answers it. `queries`: legend -> PromQL; of a table the legend says nothing."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "graph"
    width: int = 12
    height: int = 8
    about: str = ""


@dataclass(frozen=True)
class Board:
    """A dashboard has rows of panels. `policy`: it can be narrowed to one RoutePolicy."""

    title: str
    rows: dict[str, tuple[Panel, ...]]
    policy: bool = True


def _quantile(quantile: float, metric: str, by: str) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{{{ROUTERS}}}[$__rate_interval])))"


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{ROUTERS}{more}}}[$__rate_interval]))"


FLEET = Board(
    "genset: fleet",
    {
        "Models": (
            Panel(
                "Models by whether they are ready",
                {"{{ready}}": "sum by (ready) (genset_model_deployments)"},
                kind="number",
                width=6,
            ),
            Panel(
                "Models by size class",
                {"{{size_class}}": "sum by (size_class) (genset_model_deployments)"},
                kind="bars",
                width=6,
            ),
            Panel(
                "What is not as it should be",
                {
                    "": f'genset_resource_condition{{{NAMESPACE}, condition=~"Accepted|Ready|WeightsReady|Programmed", '
                    'status!="True"} == 1'
                },
                kind="table",
                about="Conditions of models and policies that are not True, with their reason.",
            ),
            Panel(
                "What the house costs for an hour",
                {
                    "{{namespace}}, {{currency}}": f"sum by (namespace, currency) (genset_house_cost_per_hour{{{NAMESPACE}}})"
                },
                unit="none",
                about="By spec.price of each ModelDeployment, asked or not.",
            ),
            Panel(
                "Endpoints by what their probes say",
                {"{{backend}} {{state}}": f"sum by (backend, state) (genset_router_endpoints{{{NAMESPACE}}})"},
                about="As routers see them: with two routers each endpoint counts twice.",
            ),
        ),
        "Work": (
            Panel(
                "Tokens made per second",
                {
                    "{{backend}}": f'sum by (backend) (rate(genset_router_tokens_total{{{NAMESPACE}, direction="output"}}'
                    "[$__rate_interval]))"
                },
                unit="none",
            ),
            Panel(
                "Requests that stand in line for an endpoint",
                {"{{backend}}": f"sum by (backend) (genset_router_backend_waiting{{{NAMESPACE}}})"},
            ),
        ),
        "Operator": (
            Panel("Leads", {"{{pod}}": "genset_leader"}, kind="number", width=4),
            Panel("Serves", {"{{pod}}": "genset_serving"}, kind="number", width=4),
            Panel(
                "Passes over resources per second",
                {"{{kind}} {{result}}": "sum by (kind, result) (rate(genset_reconcile_total[$__rate_interval]))"},
                width=8,
            ),
            Panel(
                "Requests to the API server per second",
                {"{{method}} {{code}}": "sum by (method, code) (rate(genset_api_requests_total[$__rate_interval]))"},
                width=8,
            ),
        ),
    },
    policy=False,
)
ROUTES = Board(
    "genset: routes",
    {
        "Requests": (
            Panel("Requests per second", {"{{route}}": _rate("genset_router_requests_total", "route")}, unit="reqps"),
            Panel(
                "Errors per second, by word",
                {"{{error}}": _rate("genset_router_requests_total", "error", ', error!=""')},
                unit="reqps",
                about="caller_ and policy_: what a caller asked for; provider_ and router_: what nobody could answer.",
            ),
            Panel(
                "First token by backend",
                {
                    "{{backend}} p50": _quantile(0.5, "genset_router_first_token_seconds", "backend"),
                    "{{backend}} p99": _quantile(0.99, "genset_router_first_token_seconds", "backend"),
                },
                unit="s",
            ),
            Panel(
                "Whole answer by backend",
                {
                    "{{backend}} p50": _quantile(0.5, "genset_router_duration_seconds", "backend"),
                    "{{backend}} p99": _quantile(0.99, "genset_router_duration_seconds", "backend"),
                },
                unit="s",
            ),
            Panel(
                "Answered by another backend, and why",
                {"{{backend}}: {{reason}}": _rate("genset_router_failovers_total", "backend, reason")},
                unit="reqps",
            ),
            Panel(
                "Attempts by outcome",
                {"{{backend}} {{outcome}}": _rate("genset_router_attempts_total", "backend, outcome")},
                unit="reqps",
            ),
        ),
        "Callers": (
            Panel(
                "By consumer",
                {"{{consumer}}": _rate("genset_router_consumer_requests_total", "consumer")},
                unit="reqps",
            ),
            Panel(
                "Limited",
                {"{{consumer}}: {{limit}}": _rate("genset_router_consumer_limited_total", "consumer, limit")},
                unit="reqps",
            ),
        ),
        "Routers": (
            Panel("In work", {"{{pod}}": f"genset_router_in_flight{{{ROUTERS}}}"}, width=6),
            Panel("Wait for a place", {"{{pod}}": f"genset_router_queued{{{ROUTERS}}}"}, width=6),
            Panel(
                "What a router adds, p99",
                {"{{stage}}": _quantile(0.99, "genset_router_added_seconds", "stage")},
                unit="s",
                width=6,
            ),
            Panel(
                "Lag of a router's loop, p99",
                {"{{pod}}": _quantile(0.99, "genset_router_loop_lag_seconds", "pod")},
                unit="s",
                width=6,
                about="Above 10 ms a router is short of CPU: add replicas.",
            ),
        ),
    },
)
CONTINUITY = Board(
    "genset: continuity",
    {
        "Now": (
            Panel(
                "Outages",
                {"{{scope}}": f"max by (scope) (genset_router_outage{{{ROUTERS}}})"},
                kind="number",
                width=6,
                about="1 while a side is left out.",
            ),
            Panel(
                "Breakers",
                {"{{backend}}": f"max by (backend) (genset_router_breaker_state{{{ROUTERS}}})"},
                kind="bars",
                width=6,
                about="0 closed, 1 half-open, 2 open.",
            ),
            Panel(
                "Single losses by what they would do",
                {"{{route}} {{outcome}}": f"sum by (route, outcome) (genset_coverage_losses{{{POLICIES}}})"},
                kind="bars",
            ),
        ),
        "Over time": (
            Panel("Outages", {"{{scope}}": f"max by (scope) (genset_router_outage{{{ROUTERS}}})"}),
            Panel(
                "What the house answers of a route, and should",
                {
                    "{{route}}": f"genset_local_share_ratio{{{POLICIES}}}",
                    "{{route}} target": f"genset_local_share_target_ratio{{{POLICIES}}}",
                },
                unit="percentunit",
            ),
            Panel(
                "Broken streams by what became of them",
                {"{{outcome}}": _rate("genset_router_continuations_total", "outcome")},
                unit="reqps",
            ),
            Panel(
                "Records that cannot be kept",
                {
                    "ledger: {{pod}}": f"genset_router_ledger_failing{{{ROUTERS}}}",
                    "egress: {{pod}}": f"genset_router_egress_failing{{{ROUTERS}}}",
                    "log: {{pod}}": f"genset_router_log_failing{{{ROUTERS}}}",
                },
            ),
        ),
    },
)
COST = Board(
    "genset: cost",
    {
        "Paid": (
            Panel(
                "Paid in the time shown",
                {"{{currency}}": f"sum by (currency) (increase(genset_cost_total{{{ROUTERS}}}[$__range]))"},
                unit="none",
                kind="number",
                width=8,
            ),
            Panel(
                "Avoided in the time shown",
                {"{{currency}}": f"sum by (currency) (increase(genset_avoided_total{{{ROUTERS}}}[$__range]))"},
                unit="none",
                kind="number",
                width=8,
                about="What answers of the house would have cost at the first cloud tier of their route.",
            ),
            Panel(
                "Attempts whose price nobody knows",
                {"{{backend}}": f"sum by (backend) (increase(genset_cost_unknown_total{{{ROUTERS}}}[$__range]))"},
                kind="number",
                width=8,
            ),
            Panel(
                "Paid per hour, by backend",
                {"{{backend}} {{currency}}": f"3600 * {_rate('genset_cost_total', 'backend, currency')}"},
                unit="none",
            ),
            Panel(
                "Paid per hour, by route",
                {"{{route}} {{currency}}": f"3600 * {_rate('genset_cost_total', 'route, currency')}"},
                unit="none",
            ),
        ),
        "Used": (
            Panel(
                "Tokens per second by backend",
                {"{{backend}} {{direction}}": _rate("genset_router_tokens_total", "backend, direction")},
                unit="none",
            ),
            Panel(
                "Tokens per second by consumer",
                {"{{consumer}} {{direction}}": _rate("genset_router_consumer_tokens_total", "consumer, direction")},
                unit="none",
            ),
        ),
    },
)
BOARDS = {"fleet": FLEET, "routes": ROUTES, "continuity": CONTINUITY, "cost": COST}


def files() -> dict[Path, str]:
    """Returns each dashboard's JSON by its path."""
    return {FOLDER / f"{name}.json": text(name, board) for name, board in BOARDS.items()}


def text(name: str, board: Board) -> str:
    """Returns the JSON of a dashboard."""
    made = Builder(board.title).uid(f"genset-{name}").tags(["genset"]).refresh("30s").time("now-3h", "now").readonly()
    made = made.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for variable in _variables(board):
        made = made.with_variable(variable)
    for title, panels in board.rows.items():
        made = made.with_row(Row(title))
        for panel in panels:
            made = made.with_panel(_built(panel))
    content = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    for number, panel in enumerate(content["panels"]):
        panel["id"] = number + 1
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _variables(board: Board) -> Iterator[QueryVariable]:
    yield _variable("namespace", "label_values(genset_router_in_flight, namespace)")
    if board.policy:
        yield _variable(
            "policy", 'label_values(genset_router_in_flight{namespace=~"$namespace"}, genset_dev_routepolicy)'
        )


def _variable(name: str, query: str) -> QueryVariable:
    made = QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(query)
    return made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(True).all_value(".*").multi(True)


def _built(panel: Panel) -> timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel:
    made = (
        MADE[panel.kind]().title(panel.title).unit(panel.unit).datasource(SOURCE).span(panel.width).height(panel.height)
    )
    if panel.about:
        made = made.description(panel.about)
    for number, (legend, query) in enumerate(panel.queries.items()):
        target = Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        if panel.kind == "table":
            target = target.instant().format(PromQueryFormat.TABLE)
        made = made.with_target(target)
    return made
