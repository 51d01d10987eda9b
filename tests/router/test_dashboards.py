"""Dashboards and alerts, by a real Prometheus that scrapes a real router: what people see is what there is.

Requests go well, are limited, fail over, break and are continued; of the operator there is its page of metrics, with what its
parts tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import start_http_server

from genset.kube.metrics import Metrics
from genset.kube.told_conditions import ToldConditions
from testbed.router import RunningRouter, cloud, config, free_port, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status
from tests.support.router.consumers import access, bearer, consumer, keys

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "genset" / "files"
PRICE = {"source": "policy", "currency": "USD", "rates": {"inputPerMillion": "1", "outputPerMillion": "2"}}
CUT = Answer(words=20, brk=Break("rst", after_chunks=4), interval=0.01)
SCRIPT = [Answer(), CUT, CUT, Status(503)] * 3
#: Panels that are empty while all is well, and why this test cannot fill them.
EMPTY = {
    "Requests that stand in line for an endpoint": "scripted servers are never full",
    "Attempts whose price nobody knows": "each cloud of this test has a price",
}


def queries() -> Iterator[tuple[str, str, str]]:
    """Yields dashboard, panel and query, as Grafana asks it with everything chosen."""
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"].replace("$__rate_interval", "30s").replace("$__range", "1m")
                yield path.stem, panel["title"], re.sub(r"\$\w+", ".*", query)


@contextmanager
def operator() -> Iterator[int]:
    """The operator's page of metrics, with what it tells of one model and one policy."""
    metrics = Metrics()
    told = ToldConditions(metrics.conditions)
    told.tell(("law", "ModelDeployment", "small"), [{"type": "Ready", "status": "False", "reason": "Starting"}])
    told.tell(("law", "RoutePolicy", "assistant"), [{"type": "Ready", "status": "True", "reason": "Ready"}])
    metrics.model_deployments.labels("llamacpp", "Small", "Fast", "false").set(1)
    metrics.house_cost.labels("law", "small", "EUR").set(0.2)
    metrics.local_share.labels("law", "assistant", "route").set(0.5)
    metrics.local_share_target.labels("law", "assistant", "route").set(0.4)
    metrics.coverage.labels("law", "assistant", "route", "Survives").set(3)
    metrics.leader.set(1)
    metrics.serving.set(1)
    metrics.resyncs.labels("ok").inc()
    metrics.reconciles.labels("RoutePolicy", "ok").inc()
    metrics.api_requests.labels("GET", "200").inc()
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def prometheus(folder: Path, scraped: list[dict[str, Any]]) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus with the chart's rules, which scrapes each second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not here; Debian: apt-get install prometheus")
    groups = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "rules").glob("*.yaml"))]
    (folder / "rules.yaml").write_text(json.dumps({"groups": groups}))
    asked = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "prometheus.yaml").write_text(
        json.dumps({"global": asked, "rule_files": ["rules.yaml"], "scrape_configs": scraped})
    )
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


def target(name: str, port: int, **labels: str) -> dict[str, Any]:
    return {
        "job_name": name,
        "honor_labels": name == "operator",  # as the chart's ServiceMonitor does
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
    }


async def found(client: httpx.AsyncClient, query: str) -> list[Any] | str:
    """What the query finds, or why it is none."""
    try:
        answer = await client.get("/query", params={"query": query})
    except httpx.TransportError as problem:
        return f"Prometheus does not answer yet: {problem}"
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return "Prometheus is not ready yet"
    content = answer.json()
    if content["status"] == "success":
        return list(content["data"]["result"])
    assert content["errorType"] != "bad_data", f"{query}: {content['error']}"
    return str(content["error"])


async def traffic(router: RunningRouter) -> None:
    """Asks until it is cancelled."""
    number = 0
    while True:
        number += 1
        await router.ask(chat(stream=number % 2 == 1), headers=bearer("invoices" if number % 3 else "lab"))
        await asyncio.sleep(0.05)


async def test_every_panel_has_an_answer_and_nothing_alarms(tmp_path: Path) -> None:
    told = access(consumer("invoices", team="books"), consumer("lab", requestsPerMinute=10))
    with operator() as operator_port:
        async with ScriptedUpstream(SCRIPT) as near, ScriptedUpstream() as far:
            backends = house(near.base_url), cloud(far.base_url, continuation="Prefill", price=PRICE)
            content = {
                **config(*backends),
                "access": told,
                "usage": {"spoolBytes": 4 * 1024 * 1024},
                "egress": {"required": False},
            }
            async with RunningRouter(tmp_path, content, keys(), spool=tmp_path / "spool") as router:
                scraped = [
                    target(
                        "router", router.router.admin_port, namespace="law", pod="a", genset_dev_routepolicy="assistant"
                    ),
                    target("operator", operator_port, namespace="genset", pod="o"),
                ]
                (tmp_path / "prometheus").mkdir()
                async with prometheus(tmp_path / "prometheus", scraped) as client:
                    asks = asyncio.create_task(traffic(router))
                    empty: dict[str, Any] = {}

                    async def all_answered() -> bool:
                        empty.clear()
                        for board, panel, query in queries():
                            got = await found(client, query)
                            if isinstance(got, str) or not got:
                                empty[f"{board}: {panel}: {query}"] = got
                        return not [one for one in empty if one.split(": ")[1] not in EMPTY]

                    try:
                        with contextlib.suppress(AssertionError):  # which panels are empty says more
                            await until(all_answered, within=60)
                        assert {one for one in empty if one.split(": ")[1] not in EMPTY} == set()
                        alerts = await found(client, 'ALERTS{alertstate="firing"}')
                        assert alerts == [], "an hour of such traffic alarms nobody"
                        (told_of,) = await found(client, 'genset_resource_condition{condition="Ready",status="False"}')
                        assert told_of["metric"]["namespace"] == "law", "the resource's, not the operator's"
                    finally:
                        asks.cancel()
