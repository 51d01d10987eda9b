"""The chart's alerts, by Prometheus' own promtool: when each goes off, and what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from genset.kube.metrics import Metrics
from tests.chart.conftest import Object, one, render

RULE: Object = {"metrics": {"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}}
ROUTE = 'namespace="law",policy="assistant",route="files"'
SHARE = {"namespace": "law", "policy": "assistant", "route": "files", "severity": "warning"}


def rules() -> Object:
    return dict(one(render(RULE), "PrometheusRule")["spec"])


def alert(name: str, minute: int, *labels: Object) -> Object:
    return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [{"exp_labels": each} for each in labels]}


CASES: list[Object] = [
    {  # below its target from the beginning, and after half an hour no more
        "interval": "1m",
        "input_series": [
            {"series": f"genset_local_share_ratio{{{ROUTE}}}", "values": "0.72x30 0.91x30"},
            {"series": f"genset_local_share_target_ratio{{{ROUTE}}}", "values": "0.8x60"},
        ],
        "alert_rule_test": [
            alert("GensetLocalShareBelow", 10),
            alert("GensetLocalShareBelow", 20, SHARE),
            alert("GensetLocalShareBelow", 40),
        ],
    },
    {  # a route whose share nobody can tell yet
        "interval": "1m",
        "input_series": [{"series": f"genset_local_share_target_ratio{{{ROUTE}}}", "values": "0.8x60"}],
        "alert_rule_test": [alert("GensetLocalShareBelow", 40)],
    },
    {
        "interval": "1m",
        "input_series": [
            {"series": 'genset_router_ledger_failing{pod="a"}', "values": "1x60"},
            {"series": 'genset_router_ledger_failing{pod="b"}', "values": "0x60"},
            {"series": 'genset_router_usage_lost_segments_total{pod="a"}', "values": "0x30 1x30"},
            {"series": 'genset_router_usage_unrecorded_total{pod="b"}', "values": "0x60"},
        ],
        "alert_rule_test": [
            alert("GensetLedgerAway", 10),
            alert("GensetLedgerAway", 20, {"pod": "a", "severity": "warning"}),
            alert("GensetUsageLost", 20),
            alert("GensetUsageLost", 40, {"pod": "a", "severity": "critical"}),
        ],
    },
]


@pytest.mark.parametrize("case", CASES, ids=["share", "unknown share", "records"])
def test_an_alert_goes_off_when_it_should(tmp_path: Path, case: Object) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; Debian: apt-get install prometheus")
    made = rules()
    words = {rule["alert"]: rule["annotations"] for group in made["groups"] for rule in group["rules"]}
    for group in made["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]  # their words are looked at below
    (tmp_path / "rules.yaml").write_text(json.dumps(made))
    (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": [case]}))
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all({"summary", "description"} == set(one) for one in words.values())


def test_their_words_are_templates_of_prometheus(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; Debian: apt-get install prometheus")
    (tmp_path / "rules.yaml").write_text(json.dumps(rules()))
    done = subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True)
    assert done.returncode == 0 and "3 rules found" in done.stdout, done.stdout + done.stderr


def test_the_operator_has_these_metrics() -> None:
    known = {family.name for family in Metrics().registry.collect()}
    assert {"genset_local_share_ratio", "genset_local_share_target_ratio"} <= known
    assert not [item for item in render() if item["kind"] == "PrometheusRule"]
