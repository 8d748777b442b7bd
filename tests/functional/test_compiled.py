"""The compiled TFTP machine: built of the same sources, it passes the same tests.

The build is made in a copy, so that a later change of the sources is never hidden behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiled import ROOT, build, obstacle

pytestmark = [pytest.mark.functional, pytest.mark.skipif(bool(obstacle()), reason=obstacle())]
MODULES = ("machine", "netascii", "options", "packets", "timing", "transfer", "upload")
SUITES = ("tests/unit/test_tftp_*.py", "tests/faults/test_tftp_*.py", "tests/edge/test_tftp_*.py")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with the compiled modules beside them, and the tests."""
    made = tmp_path_factory.mktemp("compiled")
    build(made)
    shutil.copytree(ROOT / "tests", made / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return made


def run(folder: Path, *arguments: str) -> str:
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


def test_all_modules_of_the_machine_are_compiled(copy: Path) -> None:
    names = ", ".join(f"era_ap.tftp.{name}" for name in MODULES)
    files = run(
        copy, "-c", f"import {names}, sys; print(*(m.__file__ for m in ({names})), sep='\\n')"
    ).split()
    assert [Path(file).parent for file in files] == [copy / "era_ap/tftp"] * len(MODULES)
    assert {Path(file).suffix for file in files} == {".so"}
    assert sorted(path.stem for path in (ROOT / "era_ap/tftp").glob("[!_]*.py")) == list(MODULES)


def test_the_command_says_so(copy: Path) -> None:
    assert run(copy, "-m", "era_ap", "--version").strip().endswith("(TFTP compiled)")
    assert "compiled" not in run(ROOT, "-m", "era_ap", "--version")


def test_the_compiled_machine_passes_the_tests_of_the_source(copy: Path) -> None:
    suites = sorted(str(path.relative_to(copy)) for suite in SUITES for path in copy.glob(suite))
    assert len(suites) > 8
    said = run(copy, "-m", "pytest", "-q", "--strict-markers", *suites)
    assert " passed" in said
    assert "failed" not in said
