"""Prometheus' own tool on alarms, configuration, the dashboard's expressions and what a process tells."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.test_dashboard import queries

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not shutil.which("promtool"), reason="needs the Debian package prometheus (promtool)"),
]
ROOT = Path(__file__).parents[2]


def promtool(*arguments: str) -> None:
    """Raises with what the tool says, unless it is content."""
    done = subprocess.run(["promtool", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "deploy/prometheus/alerts.yml"),
        ("check", "config", "deploy/prometheus/prometheus.yml"),
        ("test", "rules", "tests/data/alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_it_is_content_with_the_alarms(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_it_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, (_, expression) in enumerate(queries())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", str(path))
