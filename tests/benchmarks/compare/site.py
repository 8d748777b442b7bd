"""The site our daemon serves in the comparison: 5,000 phones of a real vendor pack, and the static files.

Owns what is generated; all of it follows from constants, so that two runs serve the same bytes.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from .cases import CONFIG, FIRMWARE, FIRST_MAC, PHONES, SMALL

ROOT = Path(__file__).resolve().parents[3]
ROLES = ("ap1", "ap2", "ap3")
"""One measured alone, and two that share a port."""
MODEL = "T46S"
KEYS = 20
PLAIN_SETTINGS = 200
_SIZES = {CONFIG: 12 << 10, FIRMWARE: 16 << 20, SMALL: 20_000}
_DOMAIN = "bench.example.com"


def write_files(folder: Path) -> None:
    """The static files that every server gives out, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in _SIZES.items():
        (folder / name).write_bytes(random.Random(name).randbytes(size))


def write_site(folder: Path) -> Path:
    """Storage, directory and configuration of the site; returns the configuration's path."""
    storage = folder / "storage"
    shutil.copytree(ROOT / "templates", storage / "templates")
    _grow(storage / "templates" / "yealink" / f"{MODEL}.cfg")
    (storage / "constants").mkdir()
    shutil.copy(ROOT / "constants" / "demo.cfg", storage / "constants" / "bench.cfg")
    write_files(storage / "configs")
    users = folder / "directory" / _DOMAIN / "sipusers"
    users.mkdir(parents=True)
    (users.parent / "domain.yml").write_text("settings: {ap_constants: {lang: English}}\n")
    (folder / "directory" / "example.com").mkdir()
    (folder / "directory" / "example.com" / "domain.yml").write_text("settings: {ap_constants: {}}\n")
    for number in range(PHONES):
        (users / f"{10000 + number}.yml").write_text(json.dumps(_account(number)))
    return write_config(folder, port=0)


def write_config(folder: Path, port: int, name: str = "site.yml") -> Path:
    """The site configuration; ``port`` 0 lets the kernel choose. Its roles are called as in ``ROLES``."""
    ext = {
        "listen": ["127.0.0.1"],
        "http_listen": ["127.0.0.1"],
        "http_port": 0,
        "management": {"port": 0},
        "requests_per_second": 1_000_000,  # wrk asks from one address as if it were all the phones
        "transfers": 20_000,  # what 10,000 that wait cost is measured too
        "log": {"format": "json"},
        "pnp": {"enabled": False},
    }
    roles = [
        {
            "name": name,
            "roletype": "ap",
            "iface": "lo",
            "group": 1,
            "order": order,
            "tftp_port": port,
            "ext": ext,
        }
        for order, name in enumerate(ROLES, 1)
    ]
    document = {
        "site": "bench",
        "master_domain": "example.com",
        "storage": "storage",
        "directory": "yaml:directory",
        "interfaces": {"lo": "127.0.0.1", "gate": "192.0.2.10"},
        "roles": [*roles, {"name": "sg1", "roletype": "sg", "iface": "gate", "ext": {"srvidx": 1}}],
    }
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def _grow(template: Path) -> None:
    """An operator's template is longer than the pack's: settings that are the same for every phone."""
    lines = [
        f"static.feature_group{number % 9}.setting_{number:03} = value {number}\n"
        for number in range(PLAIN_SETTINGS)
    ]
    template.write_text(template.read_text().rstrip("\n") + "\n" + "".join(lines))


def _account(number: int) -> dict[str, object]:
    keys = [
        {"number": f"{10000 + (number + key) % PHONES}", "label": f"Desk {key}"} for key in range(1, KEYS + 1)
    ]
    device = {"mac": f"{FIRST_MAC + number:012x}", "device_model": MODEL, "blf": keys}
    return {
        "name": f"Phone {number}",
        "password": f"secret-{number * 7919 % 100_003}",
        "opts": {"ap_devices": [device]},
    }
