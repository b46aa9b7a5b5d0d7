"""The dashboard and the alerts: they speak of metrics and labels that there are, and the alerts fire when they should.

    python metrics.py
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from checks import Checks, output

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "src/telemetry/metrics/families.rs"
DASHBOARD = ROOT / "deploy/grafana/apig-proxy.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
UNIT_TESTS = ROOT / "tests/deploy/alerts_test.yaml"
# What Prometheus adds to what it scrapes.
SCRAPED = {"job", "instance", "namespace", "pod"}
FAMILY = re.compile(r"^(?P<name>apig_proxy_\w+)\|(?P<labels>[\w,]*)\|", re.M)
USE = re.compile(r"(?P<name>apig_proxy_\w+)(?:\{(?P<labels>[^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|without) \((?P<labels>[^)]*)\)")
# Metrics that need no panel, and why.
NOT_SHOWN = {"apig_proxy_credentials_last_refresh_successful": "the count of renewals says it too"}
HISTOGRAM = ("_bucket", "_sum", "_count")


def families() -> dict[str, set[str]]:
    """The names of all series, with their labels, as the program has them."""
    found = {}
    for family in FAMILY.finditer(FAMILIES.read_text()):
        labels = set(re.findall(r"\w+", family["labels"])) | SCRAPED
        for suffix in HISTOGRAM if family["name"].endswith("_duration_seconds") else ("",):
            found[family["name"] + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def unknown(expression: str, known: dict[str, set[str]]) -> list[str]:
    """What of an expression there is not."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    uses = [(use["name"], re.findall(r"(\w+)\s*[=!]", use["labels"] or "")) for use in USE.finditer(plain)]
    wrong = [name for name, _ in uses if name not in known]
    labels = set().union(*(known.get(name, set()) for name, _ in uses))
    wrong += [f"{name}{{{label}}}" for name, selected in uses for label in selected if label not in known.get(name, {label})]
    grouped = {label for found in GROUPING.finditer(plain) for label in re.findall(r"\w+", found["labels"])}
    if not wrong:
        wrong += sorted(grouped - labels)
    return wrong if uses else ["it uses no metric"]


def with_values(expression: str) -> str:
    """An expression of the dashboard as Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")


def dashboard(checks: Checks) -> list[tuple[str, str, str]]:
    """Title, expression and legend of all queries."""
    board = json.loads(DASHBOARD.read_text())
    identifiers = [panel["id"] for panel in board["panels"]]
    checks.equal(len(set(identifiers)), len(identifiers), "dashboard: each panel has an id of its own")
    taken = [(x, y) for panel in board["panels"] for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    checks.check(len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24, "dashboard: no panel lies over another")
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    checks.check(all(panel["description"] for panel in shown), "dashboard: each panel says what it shows")
    sources = {target["datasource"]["uid"] for panel in shown for target in panel["targets"]}
    checks.equal(sources, {"${datasource}"}, "dashboard: the data source can be chosen")
    return [(panel["title"], target["expr"], target["legendFormat"]) for panel in shown for target in panel["targets"]]


def main() -> int:
    checks = Checks("metrics")
    known = families()
    checks.check(known.get("apig_proxy_requests_total", set()) >= {"route", "method", "code", "outcome"}, "the families are found")
    checks.check(len(known) >= 12, f"{len(known)} series")
    checks.equal(unknown("rate(apig_proxy_request_total[5m])", known), ["apig_proxy_request_total"], "a name that is not there is noticed")
    checks.equal(unknown('apig_proxy_requests_total{status="200"}', known), ["apig_proxy_requests_total{status}"], "and a label")
    checks.equal(unknown("sum by (status) (apig_proxy_requests_total)", known), ["status"], "also one to group by")

    queries = dashboard(checks)
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    used = [("dashboard: " + title, expression) for title, expression, _ in queries] + [("alert " + rule["alert"], rule["expr"]) for rule in rules]
    for what, expression in used:
        checks.equal(unknown(expression, known), [], what)
    for title, expression, legend in queries:
        named = set(re.findall(r"{{(\w+)}}", legend))
        grouped = [set(re.findall(r"\w+", found["labels"])) for found in GROUPING.finditer(expression)]
        checks.check(not grouped or named <= grouped[0], f"dashboard: {title}: the legend names what is grouped by")
    shown = {use["name"].removesuffix("_bucket") for _, expression, _ in queries for use in USE.finditer(expression)}
    missing = {family["name"] for family in FAMILY.finditer(FAMILIES.read_text())} - shown - set(NOT_SHOWN)
    checks.equal(missing, set(), "dashboard: every metric is shown")

    tested = {test["alertname"] for group in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for test in group["alert_rule_test"] if "exp_alerts" in test}
    checks.equal({rule["alert"] for rule in rules}, tested, "each alert fires in a test")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ALERTS, folder)
        shutil.copy(UNIT_TESTS, folder)
        recorded = [{"record": f"dashboard:{number}", "expr": with_values(expression)} for number, (_, expression, _) in enumerate(queries)]
        (folder / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
        checks.succeeds(["promtool", "check", "rules", "--lint-fatal", str(folder / "alerts.yaml")], "promtool: the alerts can be read")
        checks.succeeds(["promtool", "check", "rules", "--lint-fatal", str(folder / "queries.yaml")], "promtool: so can the queries of the dashboard")
        checks.succeeds(["promtool", "test", "rules", str(folder / "alerts_test.yaml")], "promtool: the alerts fire when they should")
        operator = output([str(ROOT / "deploy/prometheus/prometheusrule.sh")])
        rule = yaml.safe_load(operator)
        checks.check(rule["kind"] == "PrometheusRule" and rule["spec"] == yaml.safe_load(ALERTS.read_text()), "as a PrometheusRule they are the same")
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
