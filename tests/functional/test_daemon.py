"""The life of the real process: start, reload, stop, and what it says about itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import tftpy

from era_ap.phone import boot, got_own_file
from tests.conftest import MAC, Site

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

NAME = f"{MAC}.cfg"
WHOLE = b"user = 101\nsecret = s3cret\nntp = 192.0.2.123\n"


def fetch(port: int, name: str = NAME, **options: int) -> bytes:
    output = io.BytesIO()
    tftpy.TftpClient("127.0.0.1", port, options).download(name, output, timeout=5)
    return output.getvalue()


def fetch_error(port: int, name: str) -> tuple[int, str]:
    """The ERROR that the first answer to a request is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.sendto(b"\x00\x01" + name.encode() + b"\x00octet\x00", ("127.0.0.1", port))
        answer = phone.recv(2048)
    assert answer[:2] == b"\x00\x05", answer
    return int.from_bytes(answer[2:4], "big"), answer[4:-1].decode()


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> float:
    """Ask again until ``true``; the time it took. Each question is a request, so it paces itself."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, "in vain"
    return time.monotonic() - start


def test_a_phone_gets_its_file_and_the_journal_says_so(site: Site, daemon: Start) -> None:
    site.ext["journal"] = "state/journal.log"
    process = daemon(site.configure()).wait_ready()
    assert fetch(process.port) == WHOLE
    entry = process.wait_log("request", mac=MAC)
    assert entry["reason"] == "rendered"
    assert entry["account"] == "101@a.example.com"
    assert entry["bytes"] == len(WHOLE)
    assert process.stop() == 0
    records = [json.loads(line) for line in (site.root / "state/journal.log").read_text().splitlines()]
    assert [record["reason"] for record in records] == ["rendered"]
    assert records[0]["revision"]
    assert "s3cret" not in json.dumps([process.log, records])


def test_a_repeated_request_gets_the_same_bytes_and_a_change_other_ones(site: Site, daemon: Start) -> None:
    site.template("T46S.cfg", "id = [constants.newid]\n")
    process = daemon(site.config).wait_ready()
    first = fetch(process.port)
    assert fetch(process.port) == first
    site.template("T46S.cfg", "new = [constants.newid]\n")
    took = eventually(lambda: fetch(process.port).startswith(b"new"))
    assert took < 2.0


def test_a_changed_account_is_in_service_within_two_seconds(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    assert fetch(process.port) == WHOLE
    site.account("101", password="n3w", opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}})
    assert eventually(lambda: b"n3w" in fetch(process.port)) < 2.0


def test_errors_are_at_once_and_say_nothing_about_us(site: Site, daemon: Start) -> None:
    site.phone("201", "001565000002", domain="b.example.com")
    site.phone("202", "001565000002", domain="a.example.com")
    site.template("T99.cfg", "[include.gone.inc]")
    site.phone("103", "001565000003", model="T99")
    process = daemon(site.config).wait_ready()
    assert fetch_error(process.port, "001565ffffff.cfg") == (1, "File not found")
    assert fetch_error(process.port, "../etc/passwd") == (2, "Access violation")
    assert fetch_error(process.port, "001565000002.cfg") == (2, "Access violation")
    assert fetch_error(process.port, "001565000003.cfg") == (0, "Internal error")


def test_a_static_file_goes_out_as_it_is(site: Site, daemon: Start) -> None:
    content = bytes(range(256)) * 20_000
    site.static("fw/T46S.rom", content)
    process = daemon(site.config).wait_ready()
    assert fetch(process.port, "/fw/t46s.ROM", blksize=1428) == content


def test_systemd_hears_ready_only_after_the_sockets_are_bound_and_then_the_heartbeat(
    site: Site, daemon: Start
) -> None:
    process = daemon(site.config, WATCHDOG_USEC="200000").wait_ready()
    process.wait_log("serving")
    assert process.log[0]["event"] == "serving"
    process.wait(lambda: process.told.count("WATCHDOG=1") >= 3)
    assert process.stop() == 0
    process.wait(lambda: "STOPPING=1" in process.told)


def test_a_taken_port_ends_the_process_within_two_seconds_with_one_line(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = json.loads(site.config.read_text())
        config["roles"][0]["tftp_port"] = port
        site.config.write_text(json.dumps(config))
        start = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-m", "era_ap", "run", "ap1", "-c", str(site.config)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        took = time.monotonic() - start
    assert result.returncode == 1
    line = [text for text in result.stderr.splitlines() if text.startswith("era-ap:")]
    assert line == [f"era-ap: cannot serve TFTP at 127.0.0.1 on port {port}: Address already in use"]
    assert took < 10.0  # the figure of two seconds is for an idle machine


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and the Debian package util-linux"
)
def test_a_privileged_port_says_what_it_needs(site: Site, daemon: Start) -> None:
    site.config.write_text(site.config.read_text().replace('"tftp_port": 0', '"tftp_port": 69'))
    process = daemon(site.config, prefix=["setpriv", "--bounding-set=-net_bind_service"])
    wanted = "era-ap: cannot serve TFTP at 127.0.0.1 on port 69: Permission denied; a port below 1024 needs"
    process.wait(lambda: any(str(entry["event"]).startswith(wanted) for entry in process.log))
    assert process.process.wait(30) == 1


def test_a_process_without_standard_error_serves(site: Site, daemon: Start) -> None:
    process = daemon(site.config, prefix=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]).wait_ready()
    there = {name: os.readlink(f"/proc/{process.process.pid}/fd/{name}") for name in "012"}
    assert set(there.values()) == {os.devnull}
    assert process.stop() == 0


def test_a_journal_that_cannot_be_written_keeps_nobody_from_serving(site: Site, daemon: Start) -> None:
    site.ext["journal"] = "storage"
    process = daemon(site.configure()).wait_ready()
    assert fetch(process.port) == WHOLE
    told = process.wait_log("journal not written")
    assert "Is a directory" in str(told["detail"])
    assert process.stop() == 0


@pytest.mark.parametrize("role", ["ap9", "AP1"])
def test_an_unknown_role_is_a_clear_error(site: Site, role: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "era_ap", "run", role, "-c", str(site.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert "ap1" in result.stderr
    assert "Traceback" not in result.stderr


def test_reload_takes_a_valid_configuration_and_keeps_the_old_one_otherwise(
    site: Site, daemon: Start
) -> None:
    process = daemon(site.config).wait_ready()
    site.config.write_text("site: [")
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration not taken")
    assert fetch(process.port) == WHOLE
    site.ext["allow"] = ["203.0.113.0/24"]
    site.configure()
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration taken")
    assert fetch_error(process.port, NAME) == (2, "Access violation")
    assert process.told.count("RELOADING=1") == 2


def test_a_reload_aborts_no_transfer(site: Site, daemon: Start) -> None:
    content = bytes(700_000)
    site.static("big.bin", content)
    process = daemon(site.config).wait_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.sendto(b"\x00\x01big.bin\x00octet\x00", ("127.0.0.1", process.port))
        got = bytearray()
        while True:
            block, peer = phone.recvfrom(2048)
            if int.from_bytes(block[2:4], "big") != (len(got) // 512 + 1) % 65536:
                continue  # sent again, as the reload took its time
            got += block[4:]
            if int.from_bytes(block[2:4], "big") == 10:
                process.process.send_signal(signal.SIGHUP)
                process.wait_log("configuration taken")
            phone.sendto(b"\x00\x04" + block[2:4], peer)
            if len(block) < 516:
                break
    assert bytes(got) == content


def test_sigterm_lets_a_transfer_finish_and_takes_no_new_one(site: Site, daemon: Start) -> None:
    content = bytes(300_000)
    site.static("big.bin", content)
    process = daemon(site.config).wait_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.sendto(b"\x00\x01big.bin\x00octet\x00", ("127.0.0.1", process.port))
        got = bytearray()
        while True:
            block, peer = phone.recvfrom(2048)
            got += block[4:]
            if int.from_bytes(block[2:4], "big") == 10:
                process.process.send_signal(signal.SIGTERM)
                process.wait_log("stopping")
            phone.sendto(b"\x00\x04" + block[2:4], peer)
            if len(block) < 516:
                break
    assert bytes(got) == content
    assert process.process.wait(10) == 0


def test_a_second_sigterm_does_not_wait(site: Site, daemon: Start) -> None:
    site.static("big.bin", bytes(300_000))
    process = daemon(site.config).wait_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.sendto(b"\x00\x01big.bin\x00octet\x00", ("127.0.0.1", process.port))
        phone.recv(2048)
        process.process.send_signal(signal.SIGTERM)
        process.wait_log("stopping")
        start = time.monotonic()
        assert process.stop(signal.SIGTERM) == 1
        assert time.monotonic() - start < 1.0


def test_the_daemon_starts_without_storage_and_directory_and_picks_them_up(site: Site, daemon: Start) -> None:
    away = site.root / "away"
    away.mkdir()
    for name in ("storage", "directory"):
        shutil.move(site.root / name, away / name)
    process = daemon(site.config).wait_ready()
    assert fetch_error(process.port, NAME) == (0, "Temporarily unavailable")
    process.wait_log("not readable", what="storage")
    for name in ("storage", "directory"):
        shutil.move(away / name, site.root / name)

    def served() -> bool:
        try:
            return fetch(process.port) == WHOLE
        except tftpy.TftpException:
            return False

    eventually(served)


def test_storage_and_directory_that_vanish_leave_the_last_good_state_in_service(
    site: Site, daemon: Start
) -> None:
    process = daemon(site.config).wait_ready()
    assert fetch(process.port) == WHOLE
    shutil.move(site.root / "storage", site.root / "gone1")
    shutil.move(site.root / "directory", site.root / "gone2")
    process.wait_log("not readable", what="storage")
    process.wait_log("not readable", what="directory")
    assert fetch(process.port) == WHOLE


def test_a_broken_template_leaves_its_last_good_version_in_service(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    assert fetch(process.port) == WHOLE
    site.template("T46S.cfg", "user = [sipuser.login\n")
    process.wait_log("problem", reason="template-syntax")
    assert fetch(process.port) == WHOLE


def test_a_mask_that_is_none_is_told_and_settled(site: Site, daemon: Start) -> None:
    site.domain("example.com", ap_options={"masks": ["[mac].own", {"mask": "[mac].x", "tpye": "boot"}]})
    process = daemon(site.configure()).wait_ready()
    told = process.wait_log("problem", reason="mask-invalid")
    assert "did you mean 'type'" in str(told["detail"])
    site.domain("example.com", ap_options={"masks": ["[mac].own"]})
    process.wait_log("problem settled", reason="mask-invalid")


def test_guessing_macs_is_throttled_and_fills_no_log(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    for number in range(20):
        assert fetch_error(process.port, f"0015651{number:05x}.cfg") == (1, "File not found")
    assert fetch_error(process.port, "00156520000.cfg"[:11] + "0.cfg") == (2, "Access violation")
    with pytest.raises(TimeoutError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(0.2)
        phone.sendto(b"\x00\x01" + NAME.encode() + b"\x00octet\x00", ("127.0.0.1", process.port))
        phone.recv(2048)
    refusals = [entry for entry in process.log if entry.get("event") == "request"]
    assert len(refusals) <= 20


def test_a_virtual_yealink_boots(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    assert got_own_file(boot("yealink", MAC, "T46S", "127.0.0.1", process.port))


def test_a_phone_that_asks_from_one_port_again_and_again_is_served(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.bind(("127.0.0.1", 0))
        for _ in range(300):
            phone.sendto(b"\x00\x01" + NAME.encode() + b"\x00octet\x00", ("127.0.0.1", process.port))
            block, peer = phone.recvfrom(2048)
            assert block == b"\x00\x03\x00\x01" + WHOLE
            phone.sendto(b"\x00\x04\x00\x01", peer)
