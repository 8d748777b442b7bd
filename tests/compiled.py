"""The daemon's sources with the TFTP machine compiled, as ``ERA_AP_COMPILE=1`` builds them: always a copy.

In the sources themselves the compiled modules would go before whatever is changed in them later.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
_HEADER = Path(sysconfig.get_path("include"), "Python.h")


def obstacle() -> str:
    """What is missing for a build, with what to do about it; empty where nothing is."""
    if shutil.which("cc") is None:
        return "no C compiler: apt-get install gcc libc6-dev"
    if importlib.util.find_spec("setuptools") is None:
        return "no setuptools: pip install setuptools"
    return "" if _HEADER.exists() else f"no {_HEADER}: apt-get install python3-dev"


def build(folder: Path) -> None:
    """Copy the sources into ``folder`` and compile. Raises RuntimeError with what the compiler said."""
    leave = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "era_ap", folder / "era_ap", ignore=leave)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    env = os.environ | {"ERA_AP_COMPILE": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
