"""The chart's alerts, by Prometheus' own promtool: when each goes off, and what it says; each has a page that helps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from genset.api import routepolicy
from genset.api.event_reasons import EventReason
from genset.api.modeldeployment import ConditionType, Reason
from genset.api.routepolicy_status import OutageScope
from genset.kube.metrics import Metrics
from tests.chart.conftest import ROOT, Object, one, render

RUNBOOKS = ROOT / "docs" / "runbooks"
ROUTE = 'namespace="law",policy="assistant",route="files"'
SHARE = {"namespace": "law", "policy": "assistant", "route": "files", "severity": "warning"}


def rules(**more: str) -> Object:
    values: Object = {"metrics": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, **more}}}
    return dict(one(render(values), "PrometheusRule")["spec"])


def every_rule(made: Object) -> Iterator[Object]:
    return (rule for group in made["groups"] for rule in group["rules"])


def promtool_of_debian() -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; Debian: apt-get install prometheus")
    return promtool


def alert(name: str, minute: int, *labels: Object) -> Object:
    return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [{"exp_labels": each} for each in labels]}


def series(metric: str, values: str, /, **labels: str) -> Object:
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{metric}{{{told}}}", "values": values}


def condition(values: str, kind: str, name: str, **labels: str) -> Object:
    return series("genset_resource_condition", values, namespace="law", kind=kind, name=name, **labels)


def told(severity: str, **labels: str) -> Object:
    return {"severity": severity, **labels}


MODEL = {"namespace": "law", "kind": "ModelDeployment", "name": "small"}
POLICY = {"namespace": "law", "kind": "RoutePolicy", "name": "assistant"}
ROUTERS = {"namespace": "law", "genset_dev_routepolicy": "assistant"}
A, B = {"namespace": "law", "pod": "a"}, {"namespace": "law", "pod": "b"}


#: What is seen each minute, and which alerts then say what: (minute, alert, what they are told of).
CASES: dict[str, tuple[list[Object], list[Object]]] = {
    "below its share from the beginning, and after half an hour no more": (
        [
            {"series": f"genset_local_share_ratio{{{ROUTE}}}", "values": "0.72x30 0.91x30"},
            {"series": f"genset_local_share_target_ratio{{{ROUTE}}}", "values": "0.8x60"},
        ],
        [
            alert("GensetLocalShareBelow", 10),
            alert("GensetLocalShareBelow", 20, SHARE),
            alert("GensetLocalShareBelow", 50),
        ],
    ),
    "a route whose share nobody can tell yet": (
        [{"series": f"genset_local_share_target_ratio{{{ROUTE}}}", "values": "0.8x60"}],
        [alert("GensetLocalShareBelow", 40)],
    ),
    "records": (
        [
            series("genset_ledger_failing", "0x10 1x50", pod="ledger"),
            series("genset_router_ledger_failing", "1x60", pod="a"),
            series("genset_router_ledger_failing", "0x60", pod="b"),
            series("genset_router_usage_lost_segments_total", "0x30 1x30", pod="a"),
            series("genset_router_usage_unrecorded_total", "0x60", pod="b"),
        ],
        [
            alert("GensetLedgerFailing", 3),
            alert("GensetLedgerFailing", 20, told("critical", pod="ledger")),
            alert("GensetLedgerAway", 10),
            alert("GensetLedgerAway", 20, told("warning", pod="a")),
            alert("GensetUsageLost", 20),
            alert("GensetUsageLost", 40, told("critical", pod="a")),
        ],
    ),
    "records of what leaves, and the log": (
        [
            series("genset_router_egress_failing", "0x20 1x20", **A),
            series("genset_router_egress_unrecorded_total", "0x20 5x20", **B),
            series("genset_router_log_failing", "0x20 1x20", **A),
            series("genset_router_log_lines_dropped_total", "7x60", **B),
        ],
        [
            alert("GensetEgressUnrecorded", 19),
            alert("GensetEgressUnrecorded", 25, told("critical", **A), told("critical", **B)),
            alert("GensetAccessLogFailing", 19),
            alert("GensetAccessLogFailing", 25, told("warning", **A)),
        ],
    ),
    "a model that does not come up": (
        [condition("1x60", "ModelDeployment", "small", condition="Ready", status="False", reason="CrashLoop")],
        [
            alert("GensetModelNotReady", 15),
            alert(
                "GensetModelNotReady",
                30,
                told("warning", **MODEL, condition="Ready", status="False", reason="CrashLoop"),
            ),
        ],
    ),
    "models at rest, ready, and one that went away": (
        [
            condition("1x60", "ModelDeployment", "a", condition="Ready", status="True", reason="Ready"),
            condition("1x60", "ModelDeployment", "b", condition="Ready", status="Unknown", reason="AtRest"),
            condition("1x10", "ModelDeployment", "c", condition="Ready", status="False", reason="Starting"),
        ],
        [
            alert("GensetModelNotReady", 40),
            alert("GensetRoutersNotReady", 40),
            alert("GensetNeedsPerson", 40),
            alert("GensetConfigurationRejected", 40),
        ],
    ),
    "a policy that is refused": (
        [
            condition("1x60", "RoutePolicy", "assistant", condition="Ready", status="False", reason="ConfigRejected"),
            condition(
                "1x60", "RoutePolicy", "assistant", condition="Programmed", status="False", reason="ConfigRejected"
            ),
            condition("1x60", "RoutePolicy", "assistant", condition="Stalled", status="True", reason="ConfigRejected"),
            condition(
                "1x60", "RoutePolicy", "assistant", condition="PricesKnown", status="False", reason="PriceUnknown"
            ),
        ],
        [
            alert("GensetRoutersNotReady", 5),
            alert(
                "GensetRoutersNotReady",
                15,
                told("critical", **POLICY, condition="Ready", status="False", reason="ConfigRejected"),
            ),
            alert(
                "GensetConfigurationRejected",
                15,
                told("critical", **POLICY, condition="Programmed", status="False", reason="ConfigRejected"),
            ),
            alert(
                "GensetNeedsPerson",
                15,
                told("warning", **POLICY, condition="Stalled", status="True", reason="ConfigRejected"),
            ),
            alert("GensetPriceUnknown", 55),
            alert(
                "GensetPriceUnknown",
                60,
                told("info", **POLICY, condition="PricesKnown", status="False", reason="PriceUnknown"),
            ),
        ],
    ),
    "a route that one loss ends": (
        [condition("1x60", "RoutePolicy", "assistant", condition="Covered", status="False", reason="NotCovered")],
        [
            alert("GensetNotCovered", 10),
            alert(
                "GensetNotCovered",
                20,
                told("warning", **POLICY, condition="Covered", status="False", reason="NotCovered"),
            ),
        ],
    ),
    "a drill that was not passed for too long": (
        [condition("1x60", "RoutePolicy", "assistant", condition="ProofStale", status="True", reason="ProofTooOld")],
        [
            alert("GensetProofStale", 10),
            alert(
                "GensetProofStale",
                20,
                told("warning", **POLICY, condition="ProofStale", status="True", reason="ProofTooOld"),
            ),
        ],
    ),
    "weights": (
        [
            condition("1x400", "ModelDeployment", "small", condition="WeightsReady", status="False", reason="DiskFull"),
            condition(
                "1x400", "ModelDeployment", "large", condition="WeightsReady", status="False", reason="Downloading"
            ),
        ],
        [
            alert("GensetWeightsMissing", 10),
            alert(
                "GensetWeightsMissing",
                20,
                told("warning", **MODEL, condition="WeightsReady", status="False", reason="DiskFull"),
            ),
            alert("GensetDownloadSlow", 350),
            alert(
                "GensetDownloadSlow",
                365,
                told(
                    "warning",
                    **MODEL | {"name": "large"},
                    condition="WeightsReady",
                    status="False",
                    reason="Downloading",
                ),
            ),
        ],
    ),
    "one in ten fails, and what callers got wrong is theirs": (
        [
            series("genset_router_requests_total", "0+90x60", **ROUTERS, pod="a", status="200", error=""),
            series(
                "genset_router_requests_total",
                "0+10x60",
                **ROUTERS,
                pod="a",
                status="503",
                error="provider_unavailable",
            ),
            series("genset_router_requests_total", "0+500x60", namespace="other", status="200", error=""),
            series(
                "genset_router_requests_total", "0+500x60", namespace="other", status="400", error="caller_bad_request"
            ),
            series(
                "genset_router_requests_total", "0+500x60", namespace="other", status="429", error="policy_rate_limited"
            ),
            series(
                "genset_router_requests_total",
                "0+9x60",
                namespace="other",
                status="400",
                error="provider_context_exceeded",
            ),
        ],
        [alert("GensetRequestsFailing", 8), alert("GensetRequestsFailing", 20, told("critical", **ROUTERS))],
    ),
    "routers that are full": (
        [
            series("genset_router_refused_total", "0+5x60", **A, error="router_overloaded"),
            series("genset_router_refused_total", "0+5x60", **B, error="caller_bad_request"),
            series("genset_router_queued", "0 3x60", namespace="law", pod="c"),
            series("genset_router_queued", "3 0x60", namespace="law", pod="d"),
        ],
        [
            alert("GensetRouterFull", 4),
            alert("GensetRouterFull", 40, told("warning", **A), told("warning", namespace="law", pod="c")),
        ],
    ),
    "outages": (
        [
            series("genset_router_outage", "0x10 1x30", **ROUTERS, pod="a", scope="House"),
            series("genset_router_outage", "0x60", **ROUTERS, pod="b", scope="House"),
            series("genset_router_outage", "1x40", **ROUTERS, pod="b", scope="Cloud"),
            series("genset_router_outage", "0x10 2x30", **ROUTERS, pod="a", scope="Provider"),
            series("genset_outages", "_x10 1x30 _x20", namespace="law", policy="assistant", scope="Node"),
            series("genset_outages", "1x40", namespace="law", policy="other", scope="House"),
            series("genset_router_breaker_state", "2x40", **ROUTERS, pod="a", backend="frontier"),
            series("genset_router_breaker_state", "2x40", **ROUTERS, pod="b", backend="frontier"),
            series("genset_router_breaker_state", "2x40", **ROUTERS, pod="a", backend="seen by one alone"),
            series("genset_router_breaker_state", "0x40", **ROUTERS, pod="b", backend="seen by one alone"),
        ],
        [
            alert("GensetHouseDown", 9),
            alert("GensetCloudDown", 50),
            alert("GensetHouseDown", 15, told("critical", **ROUTERS)),
            alert("GensetCloudDown", 15, told("critical", **ROUTERS)),
            alert("GensetNodeDown", 9),
            alert("GensetNodeDown", 15, told("warning", namespace="law", policy="assistant")),
            alert("GensetNodeDown", 50),
            alert("GensetProviderSuspended", 9),
            alert("GensetProviderSuspended", 15, told("critical", **ROUTERS)),
            alert("GensetBackendDown", 8),
            alert("GensetBackendDown", 15, told("warning", **ROUTERS, backend="frontier")),
        ],
    ),
    "an operator at rest": (
        [
            series("genset_leader", "1x60", pod="a"),
            series("genset_leader", "0x60", pod="b"),
            series("genset_serving", "1x60", pod="a"),
            series("genset_serving", "0x60", pod="b"),
            series("genset_unserved_namespaces", "0x60", pod="a"),
            series("genset_resync_total", "0+1x60", pod="a", result="ok"),
            series("genset_resync_total", "5x60", pod="b", result="ok"),
            series("genset_reconcile_total", "0+60x60", pod="a", kind="RoutePolicy", result="ok"),
        ],
        [
            alert(name, 50)
            for name in (
                "GensetNobodyLeads",
                "GensetOperatorServesNothing",
                "GensetNamespaceLeftOut",
                "GensetResyncsFail",
                "GensetReconcilesFail",
            )
        ],
    ),
    "an operator that cannot do its work": (
        [
            series("genset_leader", "1x60", pod="a"),
            series("genset_serving", "0x60", pod="a"),
            series("genset_unserved_namespaces", "2x60", pod="a"),
            series("genset_resync_total", "5x60", pod="a", result="ok"),
            series("genset_reconcile_total", "0+60x60", pod="a", kind="RoutePolicy", result="error"),
        ],
        [
            alert("GensetNobodyLeads", 50),
            alert("GensetOperatorServesNothing", 50, told("critical")),
            alert("GensetNamespaceLeftOut", 50, told("warning")),
            alert("GensetResyncsFail", 50, told("warning", pod="a", result="ok")),
            alert("GensetReconcilesFail", 50, told("warning", kind="RoutePolicy")),
        ],
    ),
    "a bundle that gets 90 days old after half an hour; the clock begins at 0 here": (
        [series("genset_bundle_created_timestamp_seconds", f"{1800 - 90 * 86400}x60", digest="d")],
        [alert("GensetBundleOld", 30), alert("GensetBundleOld", 40, told("warning", digest="d"))],
    ),
    "no operator": ([series("up", "1x60")], [alert("GensetNobodyLeads", 10, told("critical"))]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_alert_goes_off_when_it_should(case: tuple[list[Object], list[Object]], tmp_path: Path) -> None:
    promtool = promtool_of_debian()
    made = rules()
    for rule in every_rule(made):
        del rule["annotations"]  # their words are looked at below
    (tmp_path / "rules.yaml").write_text(json.dumps(made))
    seen, expected = case
    test = {"interval": "1m", "input_series": seen, "alert_rule_test": expected}
    (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_in_its_fault_and_at_rest() -> None:
    tried = [one for _, expected in CASES.values() for one in expected]
    for goes_off in (True, False):
        seen = {one["alertname"] for one in tried if bool(one["exp_alerts"]) == goes_off}
        missing = {rule["alert"] for rule in every_rule(rules())} - seen
        assert not missing, f"{'in its fault' if goes_off else 'at rest'}: {missing}"


def test_their_words_are_templates_of_prometheus(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps(rules()))
    done = subprocess.run(
        [promtool_of_debian(), "check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in every_rule(rules()):
        assert set(rule["annotations"]) == {"summary", "description"}, rule
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule


def test_each_alert_has_a_page_that_says_what_to_do() -> None:
    names = {rule["alert"] for rule in every_rule(rules())}
    assert {page.stem for page in RUNBOOKS.glob("Genset*.md")} == names
    index = (RUNBOOKS / "README.md").read_text()
    for name in names:
        text = (RUNBOOKS / f"{name}.md").read_text()
        heads = [line for line in text.splitlines() if line.startswith("#")]
        assert heads == [f"# {name}", "## What it means", "## What to look at", "## What to do"], name
        assert f"({name}.md)" in index, f"{name} is missing in docs/runbooks/README.md"


def test_an_alert_leads_to_its_page_where_the_site_has_them() -> None:
    (group, *_) = rules(runbooks="https://wiki.example/genset/")["groups"]
    (rule, *_) = group["rules"]
    assert rule["annotations"]["runbook_url"] == f"https://wiki.example/genset/{rule['alert']}.md"


def test_pages_and_alerts_name_metrics_that_exist() -> None:
    known = {family.name for family in Metrics().registry.collect()}
    for page in ("observability.md", "ledger.md"):
        known |= set(re.findall(r"`(genset_[a-z_]+)`", (ROOT / "docs" / page).read_text()))
    texts = [
        path.read_text() for path in (*RUNBOOKS.glob("*.md"), *(ROOT / "charts/genset/files/rules").glob("*.yaml"))
    ]
    said = {name for text in texts for name in re.findall(r"\bgenset_(?!dev_)[a-z_]+", text)}
    assert {name for name in said if name not in known and name.removesuffix("_total") not in known} == set()


def test_scopes_in_alerts_are_those_that_metrics_have() -> None:
    """An alert on a value that no series has is at rest for ever, whatever promtool says of made-up series."""
    said = {scope for rule in every_rule(rules()) for scope in re.findall(r'scope="([^"]*)"', rule["expr"])}
    assert said and said <= {scope.value for scope in OutageScope}


def test_pages_name_reasons_that_exist() -> None:
    known = {
        *Reason,
        *EventReason,
        *ConditionType,
        *routepolicy.Reason,
        *routepolicy.ConditionType,
        *routepolicy.ToCloudOn,
    }
    pages = [page.read_text() for page in RUNBOOKS.glob("Genset*.md")]
    said = {word for text in pages for word in re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", text)}
    assert said - known == {"BestEffort"}


def test_nothing_is_made_unless_it_is_wanted() -> None:
    assert not [item for item in render() if item["kind"] == "PrometheusRule"]
