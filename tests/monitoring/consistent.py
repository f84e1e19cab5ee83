"""What the files in deploy/ say of each other: every metric exists, every alert has its section in the
runbook, no two services want one port, every image has a version."""

import re
import sys

from ruamel.yaml import YAML

from queries import AWAITED, DEPLOY, FOREIGN, ROOT, catalogue, metrics_of, panels

RUNBOOK = "https://github.com/tollgate/tollgate/blob/main/docs/alerts-runbook.md#"


def read(path):
    return YAML(typ="safe").load((DEPLOY / path).read_text())


def rules():
    for name in ("recording", "alerts"):
        for group in read(f"prometheus/rules/{name}.yml")["groups"]:
            yield from group["rules"]


def headings():
    text = (ROOT / "docs/alerts-runbook.md").read_text()
    return set(re.findall(r"^## (\w+)$", text, re.MULTILINE))


def faults_of_metrics():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = catalogue() | FOREIGN | AWAITED | recorded
    asked = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    for panel in panels():
        asked += [(panel["title"], target["expr"]) for target in panel["targets"]]
    for where, expression in asked:
        names = metrics_of(expression)
        if not names and "vector" not in expression:
            yield f"{where}: no metric is named in {expression}"
        yield from (f"{where}: nobody exposes {name}" for name in sorted(names - known))
    used = set().union(*(metrics_of(expression) for _, expression in asked))
    yield from (f"{name} is recorded and nobody asks it" for name in sorted(recorded - used - UNASKED))


# Recorded for those who ask Prometheus themselves.
UNASKED = {
    "tollgate:request_duration_seconds:mean5m",
    "tollgate:request_duration_seconds:p50_5m",
    "tollgate:request_duration_seconds:p95_5m",
}


def faults_of_alerts():
    alerts = [rule for rule in rules() if "alert" in rule]
    names = [alert["alert"] for alert in alerts]
    tests = "".join(path.read_text() for path in (DEPLOY / "prometheus/tests").glob("*.yml"))
    for alert in alerts:
        name, notes = alert["alert"], alert["annotations"]
        wanted = RUNBOOK + name.lower()
        if notes.get("runbook_url") != wanted:
            yield f"{name}: its runbook_url should be {wanted}"
        yield from (f"{name}: no {key}" for key in ("summary", "summary_ko", "description") if not notes.get(key))
        if alert["labels"].get("severity") not in ("critical", "warning", "info"):
            yield f"{name}: no severity that is routed"
        if name not in tests:
            yield f"{name}: no test in deploy/prometheus/tests"
    for name in sorted(set(names) ^ headings()):
        yield f"{name}: alert and section of docs/alerts-runbook.md do not both exist"
    if len(set(names)) != len(names):
        yield "two alerts have one name"


def faults_of_compose():
    services = read("compose.yaml")["services"]
    taken = {}
    for name, service in services.items():
        for port in service.get("ports", []):
            published = port.rsplit(":", 2)[-2]
            if published in taken:
                yield f"{name} and {taken[published]} both want port {published}"
            taken[published] = name
            if published != "8080" and not port.startswith("127.0.0.1:"):
                yield f"{name}: port {published} is published to the network"
        if not re.search(r":[^:]+$", service["image"]) or service["image"].endswith(":latest"):
            yield f"{name}: its image has no version"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not (DEPLOY / source).exists():
                yield f"{name}: {source} does not exist"
    hosts = {target.split("//")[-1].split(":")[0] for target in scraped()}
    yield from (f"Prometheus asks {host}, which is no service" for host in sorted(hosts - set(services)))


def scraped():
    config = read("prometheus/prometheus.yml")
    for job in config["scrape_configs"]:
        for group in job.get("static_configs", []):
            yield from (target for target in group["targets"] if not target.startswith("127.0.0.1:"))
    for group in config["alerting"]["alertmanagers"]:
        for static in group["static_configs"]:
            yield from static["targets"]


def main():
    faults = [*faults_of_metrics(), *faults_of_alerts(), *faults_of_compose()]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("ok -- metrics, alerts, runbook and compose agree")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
