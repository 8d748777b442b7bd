"""A site in a temporary folder, for all tests that need storage, directory and configuration together."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest
import yaml

pytest_plugins = ["tests.databases"]

# The same examples in every run: what fails here fails everywhere. HYPOTHESIS_SEED=random looks further.
hypothesis.settings.register_profile("repeatable", derandomize="HYPOTHESIS_SEED" not in os.environ)
hypothesis.settings.load_profile("repeatable")


@dataclass
class Site:
    """Writes a site below ``root``; small by default: one domain, one Yealink-like phone."""

    root: Path
    ext: dict[str, object] = field(default_factory=dict)
    extra_roles: list[dict[str, object]] = field(default_factory=list)
    master: str = "example.com"

    @property
    def config(self) -> Path:
        return self.root / "site.yml"

    def configure(self, **top: object) -> Path:
        role = {
            "name": "ap1",
            "roletype": "ap",
            "iface": "lo",
            "group": 1,
            "order": 1,
            "tftp_port": 0,
            "ext": {
                "listen": ["127.0.0.1"],
                "poll_seconds": 0.1,
                "requests_per_second": 10_000,
                "pnp": {"enabled": False},
                "management": {"port": 0},
                "state": "state",
                "log": {"format": "json"},
            }
            | self.ext,
        }
        document = {
            "site": "lab",
            "master_domain": self.master,
            "storage": "storage",
            "directory": "yaml:directory",
            "interfaces": {"lo": "127.0.0.1"},
            "roles": [role, *self.extra_roles],
        } | top
        self.config.write_text(json.dumps(document, default=str))
        return self.config

    def template(self, name: str, content: str | bytes) -> Path:
        return self._write(self.root / "storage" / "templates" / name, content)

    def static(self, name: str, content: str | bytes) -> Path:
        return self._write(self.root / "storage" / "configs" / name, content)

    def constants(self, content: str | bytes, name: str = "lab.cfg") -> Path:
        return self._write(self.root / "storage" / "constants" / name, content)

    def account(self, login: str, domain: str = "a.example.com", **fields: object) -> Path:
        path = self.root / "directory" / domain / "sipusers" / f"{login}.yml"
        return self._write(path, yaml.safe_dump({"password": "s3cret"} | fields, allow_unicode=True))

    def phone(
        self, login: str, mac: str, model: str = "T46S", domain: str = "a.example.com", **device: object
    ) -> Path:
        return self.account(
            login, domain, opts={"ap_devices": [{"mac": mac, "device_model": model} | device]}
        )

    def domain(self, name: str, **settings: object) -> Path:
        path = self.root / "directory" / name / "domain.yml"
        return self._write(path, yaml.safe_dump({"settings": settings}, allow_unicode=True))

    @staticmethod
    def _write(path: Path, content: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        # A file that seems to rest is taken up at the first look, so that no test waits for it to settle.
        resting = time.time() - 60
        os.utime(path, (resting, resting))
        return path


MAC = "001565000001"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site that works: account 101@a.example.com with one phone and a small template."""
    site = Site(tmp_path)
    for folder in ("templates", "constants", "configs"):
        (tmp_path / "storage" / folder).mkdir(parents=True)
    site.constants("ntp = 192.0.2.123\n")
    site.domain("example.com", ap_constants={"level": "master"})
    site.domain("a.example.com", ap_constants={"level": "domain"})
    site.template("T46S.cfg", "user = [sipuser.login]\nsecret = [sipuser.password]\nntp = [constants.ntp]\n")
    site.phone("101", MAC)
    site.configure()
    return site
