"""bandit finds nothing of medium severity or above in the daemon (G8)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANDIT = shutil.which("bandit", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.mark.skipif(BANDIT is None, reason="needs the Python package bandit")
def test_bandit_finds_nothing() -> None:
    """What is right as it stands is marked: ``# nosec B104 # noqa: S104 - why`` (the second for ruff)."""
    assert BANDIT is not None
    command = [BANDIT, "--quiet", "--recursive", "-ll", str(ROOT / "era_ap")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


@pytest.mark.skipif(BANDIT is None, reason="needs the Python package bandit")
def test_bandit_is_awake(tmp_path: Path) -> None:
    assert BANDIT is not None
    (tmp_path / "bad.py").write_text("import yaml\nyaml.load(open('x'), yaml.Loader)\n")
    command = [BANDIT, "--quiet", "--recursive", "-ll", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
