"""Dashboard, alarms and their documentation speak of metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from era_ap.errors import Outcome, Reason
from era_ap.health import Verdict
from era_ap.metrics import TRANSPORTS
from era_ap.monitoring import FAMILIES, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
README = DEPLOY / "prometheus" / "README.rst"
DASHBOARD = json.loads((DEPLOY / "grafana" / "era-ap.json").read_text("utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
LABELS = {family.name: set(family.labels) for family in FAMILIES}
PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "up",
}
COMMON = {"instance", "job"}
VALUES = {
    "transport": set(TRANSPORTS),
    "result": {outcome.name.lower() for outcome in Outcome},
    "reason": {reason.code for reason in Reason},
    "state": {verdict.word for verdict in Verdict},
}
SELECTOR = re.compile(r"\b([a-z][a-z_]*)(?:\{([^}]*)\})?(?=[\s)\[=<>*/+-]|$)")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
WORDS = {
    "by", "on", "and", "or", "unless", "without", "group_left", "group_right", "sum", "max", "min", "rate",
    "increase", "changes", "topk", "count", "histogram_quantile",
}  # fmt: skip


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """What asks, and its expression."""
    found = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    found += [(rule["alert"], rule["expr"]) for group in ALERTS["groups"] for rule in group["rules"]]
    return found


def family_of(name: str) -> str | None:
    """The family that a series is of, None where there is none."""
    if name in LABELS or name in PROCESS:
        return name
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    histograms = {family.name for family in FAMILIES if family.kind is Kind.HISTOGRAM}
    return base if base in histograms else None


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Names of series and the label matchers beside them."""
    bare = re.sub(r"\b(by|on|group_left|without)\s*\([^)]*\)", " ", expression)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    for name, matchers in SELECTOR.findall(bare):
        if name not in WORDS:
            yield name, MATCHER.findall(matchers)


def test_the_reader_of_expressions_reads_them() -> None:
    expression = 'topk(3, sum by (reason, le) (rate(a_total{b=~"x|y",c!="z"}[5m])) > 0) / max(d{}) and e'
    assert list(selectors(expression)) == [
        ("a_total", [("b", "=~", "x|y"), ("c", "!=", "z")]), ("d", []), ("e", []),
    ]  # fmt: skip


@pytest.mark.parametrize(("title", "expression"), queries())
def test_every_query_asks_for_what_there_is(title: str, expression: str) -> None:
    asked = list(selectors(expression))
    assert asked
    for name, matchers in asked:
        family = family_of(name)
        assert family is not None, f"{title}: {name}"
        labels = LABELS.get(family, set()) | COMMON
        for label, operator, value in matchers:
            assert label in labels, f"{title}: {name} has no label {label}"
            values = value.split("|") if operator in ("=~", "!~") else [value]
            if label in VALUES and "$" not in value:
                assert set(values) <= VALUES[label], f"{title}: {label} is never {value}"


@pytest.mark.parametrize(("title", "expression"), queries())
def test_what_is_grouped_by_is_a_label_of_it(title: str, expression: str) -> None:
    names = [name for name, _ in selectors(expression)]
    known = {label for name in names for label in LABELS.get(family_of(name) or "", set())} | COMMON
    if any(name.endswith("_bucket") for name in names):
        known.add("le")
    for grouping in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in grouping.split(",")} <= known, title


def test_every_alarm_is_tried() -> None:
    tried = yaml.safe_load((DEPLOY.parent / "tests" / "data" / "alerts_test.yml").read_text("utf-8"))
    fired = {
        re.findall(r'alertname="(\w+)"', sample["labels"])[0]
        for scene in tried["tests"]
        for asked in scene.get("promql_expr_test", ())
        for sample in asked.get("exp_samples", ())
        if sample["value"]
    }
    for scene in tried["tests"]:
        fired |= {each["alertname"] for each in scene.get("alert_rule_test", ()) if each.get("exp_alerts")}
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["alert"] in fired
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_every_family_is_on_the_dashboard_or_only_names_things() -> None:
    shown = {
        family_of(name)
        for panel in panels()
        for target in panel["targets"]
        for name, _ in selectors(target["expr"])
    }
    assert set(LABELS) - shown == {"era_ap_info"}


def test_panels_have_their_place() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in everything:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in everything], 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_what_is_chosen_at_the_top_is_what_panels_ask_with() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    used = set(re.findall(r"\$\{?([a-z]+)\}?", text)) - {"__rate_interval"}
    assert used == variables == {"datasource", "job", "site", "instance"}
    for panel in panels():
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"], panel["title"]


def test_the_readme_lists_every_metric() -> None:
    """Written anew by ``python -m tests.unit.test_dashboard``."""
    assert README.read_text("utf-8") == documented(README.read_text("utf-8"))


def documented(text: str) -> str:
    """The README with the table of metrics as it is now."""
    before, _, rest = text.partition(".. metrics\n")
    lines = [""]
    for family in FAMILIES:
        labels = f" {{{', '.join(family.labels)}}}" if family.labels else ""
        kind = "" if family.kind is Kind.GAUGE else f" ({family.kind.value})"
        told = family.help.replace("`", "``")
        lines += [f"``{family.name}{labels}``{kind}", f"    {told[0].upper()}{told[1:]}."]
    table = "\n".join((*lines, "", ""))
    return (
        f"{before}.. metrics\n{table}.. end of metrics\n\n{rest.partition('.. end of metrics')[2].lstrip()}"
    )


if __name__ == "__main__":
    README.write_text(documented(README.read_text("utf-8")))
