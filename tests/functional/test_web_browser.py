"""A real browser fetches a phone's file, as an operator does who wants to see it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import MAC, Site

if TYPE_CHECKING:
    from tests.functional.conftest import Process

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium"),
]


def shown(address: str, folder: Path) -> str:
    """The page as the browser understood it."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={folder}", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_browser_shows_text_and_xml(site: Site, daemon: Callable[..., Process], tmp_path: Path) -> None:
    site.ext |= {"http_port": 0, "http_listen": ["127.0.0.1"]}
    site.template("D735.htm", '<?xml version="1.0"?>\n<settings><user>[sipuser.login]</user></settings>\n')
    site.phone("102", "000413000001", model="D735")
    process = daemon(site.configure()).wait_ready()
    port = process.wait_log("serving", transport="http")["port"]
    text = shown(f"http://127.0.0.1:{port}/{MAC}.cfg", tmp_path / "one")
    assert "user = 101\nsecret = s3cret" in text
    xml = shown(f"http://127.0.0.1:{port}/snomD735-000413000001.htm", tmp_path / "two")
    assert "102" in xml
    assert "settings" in xml
