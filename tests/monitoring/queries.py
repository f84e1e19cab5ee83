"""Which queries the dashboards and rules ask, and which metrics those name."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

# Families of the SPEC that rules and panels ask for already, and that a program may not have yet.
# What the catalogue knows is asked like everything else, so an entry that is outdated does no harm.
AWAITED = {
    "tollgate_breaker_state",
    "tollgate_savings_usd_total",
    "tollgate_duplicate_storms_total",
    "tollgate_overload_shed_ratio",
    "tollgate_sink_dropped_total",
}
# What others than Tollgate expose.
FOREIGN = {"up", "probe_success", "probe_ssl_earliest_cert_expiry"}


def catalogue():
    """The families that the reference names, with the series that histograms make."""
    text = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE)
    names = set()
    for name, kind in rows:
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names.update(name + part for part in parts)
    return names


def panels(language="en"):
    """Each panel of a dashboard, but for headings."""
    document = json.loads((DEPLOY / f"grafana/dashboards/tollgate.{language}.json").read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def metrics_of(expression):
    """The metrics that an expression names."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    names = re.findall(r"\b(?:tollgate|process|probe)_[a-z0-9_]+\b|\btollgate:[a-z0-9_:]+\b|\bup\b", bare)
    return set(names)


def waits(expression, known):
    """The families that an expression names and the catalogue does not have yet."""
    return metrics_of(expression) & AWAITED - known
