"""The alerts and dashboards for Prometheus and Grafana: what they ask for exists, and each alert fires when due."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from tests.documents.pages import ROOT, RUNBOOK, anchors
from vitrina import metrics
from vitrina.cli.api import declared_routes

FOLDER = ROOT / "scripts" / "deploy" / "observability"
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARDS = sorted((FOLDER / "grafana/dashboards").glob("*.json"))
QUERIES = {
    f"{path.stem}: {panel['title']} {target['refId']}": target["expr"]
    for path in DASHBOARDS
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
}
EXPRESSIONS = QUERIES | {f"alert: {alert['alert']}": alert["expr"] for alert in ALERTS}
SAMPLES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
LABELS = {
    f"{metric._name}{suffix}": {*metric._labelnames, "le"} if suffix == "_bucket" else set(metric._labelnames)
    for metric in vars(metrics).values()
    if isinstance(metric, MetricWrapperBase)
    for suffix in SAMPLES[type(metric)]
}
"""The labels of each sample that the service exports."""


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_the_samples_and_labels_of_a_query_are_exported(name: str) -> None:
    expression = EXPRESSIONS[name]
    used = set(re.findall(r"\b(?:vitrina_\w+|up\b)", expression))
    assert used
    assert used <= LABELS.keys() | {"up"}
    allowed = {"job"}.union(*(LABELS.get(sample, set()) for sample in used))
    matched = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|ignoring) \(([^)]*)\)", expression))))
    assert matched | grouped <= allowed


def test_a_route_that_a_query_selects_is_served() -> None:
    served = {route.path for route in declared_routes()}
    selected = [found for query in EXPRESSIONS.values() for found in re.findall(r'route(=~|!~|=)"([^"]+)"', query)]
    assert selected
    for operator, route in selected:
        assert any(re.fullmatch(route, path) for path in served) if "~" in operator else route in served


def test_each_alert_says_what_to_do() -> None:
    sections = anchors(ROOT / RUNBOOK)
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] in sections, alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_what_an_alert_selects_by_its_value_is_exported_before_it_happens() -> None:
    """`increase` of a series that begins with 1 is 0, so the first dead letter of a process would raise no alert."""
    code = "import prometheus_client, vitrina.metrics; print(prometheus_client.generate_latest().decode())"
    exported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    selected = {
        found for alert in ALERTS for found in re.findall(r'increase\((vitrina_\w+\{\w+="\w+"\})', alert["expr"])
    }
    assert len(selected) >= 3
    for series in selected - {
        'vitrina_stream_records_total{result="relayed"}'
    }:  # Which is common, and no alert by itself.
        assert f"\n{series} 0.0\n" in exported


def test_grafana_finds_dashboards_and_source() -> None:
    source = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yml").read_text())["datasources"][0]["uid"]
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert [board["title"] for board in boards] == ["Vitrina: business", "Vitrina: operations"]
    assert {panel["datasource"]["uid"] for board in boards for panel in board["panels"]} == {source}
    [provider] = yaml.safe_load((FOLDER / "grafana/dashboards/vitrina.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_takes_rules_and_queries_and_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    """`promtool test rules` runs alerts.test.yml, in which every alert fires once and rests once."""
    tests = FOLDER / "prometheus/alerts.test.yml"
    rules = [{"record": "query", "expr": query.replace("$__rate_interval", "1m")} for query in QUERIES.values()]
    groups = {"groups": [{"name": f"query {number}", "rules": [rule]} for number, rule in enumerate(rules)]}
    (tmp_path / "queries.yml").write_text(yaml.safe_dump(groups))
    for command in (
        ("check", "config", FOLDER / "prometheus/prometheus.yml"),
        ("check", "rules", tmp_path / "queries.yml"),
        ("test", "rules", tests),
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert all(f'alertname="{alert["alert"]}"' in tests.read_text() for alert in ALERTS)
