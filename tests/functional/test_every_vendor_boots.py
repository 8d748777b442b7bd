"""``era-ap phone --vendor V`` for every vendor it knows, against one process with this repository's packs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from era_ap.cli import main
from era_ap.phone import profiles
from tests.conftest import Site
from tests.functional.conftest import Process

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
VENDORS = sorted(profiles())


def mac_of(vendor: str) -> str:
    return f"0000de{VENDORS.index(vendor) + 1:06x}"


def secret_of(vendor: str) -> str:
    return f"s3cret-of-{vendor}"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a process that has the packs, and for each vendor an account with one phone of it."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.extra_roles = [{"name": "sg1", "roletype": "sg", "iface": "gate", "ext": {"srvidx": 1}}]
    storage = site.root / "storage"
    shutil.copytree(ROOT / "templates", storage / "templates")
    shutil.copytree(ROOT / "constants", storage / "constants")
    (storage / "constants" / "demo.cfg").rename(storage / "constants" / "lab.cfg")
    (storage / "configs").mkdir()
    resting = time.time() - 60
    for path in storage.rglob("*"):
        os.utime(path, (resting, resting))
    site.domain("example.com")
    site.domain("a.example.com")
    for number, vendor in enumerate(VENDORS, 101):
        device = {"mac": mac_of(vendor), "device_model": profiles()[vendor].model}
        device["blf"] = [{"number": "201", "label": "Anna"}]  # type: ignore[assignment]
        opts = {"ap_devices": [device]}
        site.account(str(number), name="Bob & Co", password=secret_of(vendor), opts=opts)
    site.configure(interfaces={"lo": "127.0.0.1", "gate": "192.0.2.10"})
    folder = site.root / "process"
    folder.mkdir()
    process = Process(site.config, folder)
    try:
        yield process.wait_ready().port
    finally:
        process.close()


def boots(vendor: str, mac: str, port: int, folder: Path) -> tuple[int, list[dict[str, object]]]:
    words = ["phone", mac, "--vendor", vendor, "--port", str(port), "--save", str(folder), "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, json.loads(result.stdout)["fetches"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_phone_boots_and_ends_with_its_own_file(vendor: str, port: int, tmp_path: Path) -> None:
    code, fetches = boots(vendor, mac_of(vendor), port, tmp_path)
    assert code == 0, fetches
    assert {fetch["end"] for fetch in fetches} <= {"file", "error", "elsewhere"}
    own = [str(fetch["name"]) for fetch in fetches if fetch["own"] and fetch["end"] == "file"]
    mac, secret = mac_of(vendor), secret_of(vendor).encode()
    with_secret = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert with_secret, own
    assert all(mac in path.name.lower() or mac in str(path.parent).lower() for path in with_secret)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.read_bytes().strip()]


def test_a_phone_nobody_knows_gets_none_of_its_own_whoever_made_it(port: int, tmp_path: Path) -> None:
    for vendor in VENDORS:
        code, fetches = boots(vendor, "0000deffffff", port, tmp_path / vendor)
        assert code == 1, fetches
        assert {fetch["end"] for fetch in fetches} <= {"file", "error", "elsewhere"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret-of" in path.read_bytes()]
