"""HTTP for phones by the real process: what curl and raw sockets get, and that it is what TFTP gives."""

from __future__ import annotations

import io
import itertools
import json
import signal
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tftpy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from era_ap.provisioning.tokens import issue
from tests.conftest import MAC, Site
from tests.functional.web import Answer, Raw, curl, port_of

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

NAME = f"{MAC}.cfg"
WHOLE = b"user = 101\nsecret = s3cret\nntp = 192.0.2.123\n"
LARGE = bytes(range(256)) * 40_000
KEY = "0123456789abcdef" * 4


@pytest.fixture
def http(site: Site) -> Site:
    """A site that serves HTTP on a port of the kernel's choice."""
    site.ext |= {"http_port": 0, "http_listen": ["127.0.0.1"]}
    site.configure()
    return site


def tftp(port: int, name: str) -> bytes:
    output = io.BytesIO()
    tftpy.TftpClient("127.0.0.1", port, {"blksize": 1428}).download(name, output, timeout=5)
    return output.getvalue()


def url(process: Process, path: str, transport: str = "http") -> str:
    return f"{transport}://127.0.0.1:{port_of(process, transport)}/{path}"


def test_both_transports_give_the_same_bytes(http: Site, daemon: Start) -> None:
    http.static("fw/T46S.rom", LARGE)
    http.template("T46S.boot", "id = [constants.newid]\n")
    process = daemon(http.config).wait_ready()
    for name in (NAME, f"{MAC.upper()}.CFG", f"{MAC}.boot", "fw/T46S.rom", "FW/t46s.ROM", f"//{NAME}"):
        answer = curl(url(process, name))
        assert answer.status == 200, name
        assert answer.body == tftp(process.port, f"/{name}"), name
    record = process.wait_log("request", transport="http", reason="rendered")
    assert (record["mac"], record["status"], record["method"]) == (MAC, 200, "GET")
    assert str(record["agent"]).startswith("curl/")
    assert process.stop() == 0
    assert "s3cret" not in str(process.log)


@pytest.mark.parametrize("option", ["-0", "-HConnection: close"])
def test_a_connection_that_is_not_kept_is_no_phone_that_went_away(
    http: Site, daemon: Start, option: str
) -> None:
    http.static("large.rom", LARGE)
    process = daemon(http.config).wait_ready()
    asked = [(NAME, (), "rendered"), (NAME, ("-I",), "reused"), ("large.rom", (), "static")]
    sizes = [len(curl(url(process, name), option, *more).body) for name, more, _ in asked]
    assert sizes == [len(WHOLE), 0, len(LARGE)]
    records = [process.wait_log("request", reason=reason) for _, _, reason in asked]
    assert [record["bytes"] for record in records] == sizes


def test_a_download_that_was_cut_is_resumed(http: Site, daemon: Start, tmp_path: Path) -> None:
    http.static("fw/T46S.rom", LARGE)
    process = daemon(http.config).wait_ready()
    connection = Raw(port_of(process))
    connection.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, 65536
    )  # the kernel must not take the rest
    connection.get("/fw/T46S.rom")
    got = b""
    while len(got) < len(LARGE) // 2:
        got += connection.socket.recv(65536)
    connection.close()
    body = got.partition(b"\r\n\r\n")[2]
    etag = curl(url(process, "fw/T46S.rom"), "-I").headers["etag"]
    rest = curl(url(process, "fw/T46S.rom"), "-r", f"{len(body)}-", "-H", f"If-Range: {etag}")
    assert rest.status == 206
    assert body + rest.body == LARGE
    process.wait_log("request", reason="peer-gone")
    same = curl(url(process, "fw/T46S.rom"), "-H", f"If-None-Match: {etag}")
    assert (same.status, same.body) == (304, b"")


def test_answers_on_one_connection_are_each_of_their_own_request(http: Site, daemon: Start) -> None:
    """An answer of another request is another phone's password."""
    macs = [f"0015650100{number:02x}" for number in range(64)]
    for number, mac in enumerate(macs):
        http.phone(f"2{number:03}", mac)
    http.static("ring.wav", LARGE[:100_000])
    process = daemon(http.config).wait_ready()
    paths = [path for mac in macs for path in (f"/{mac}.cfg", "/ring.wav", f"/{mac}.nothing")]
    together = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    for pieces in (1, 7, 1000):  # in one write, and cut anywhere
        connection = Raw(port_of(process))
        with ThreadPoolExecutor(1) as pool:
            size = -(-len(together) // pieces)
            sending = pool.submit(
                lambda c=connection, s=size: [
                    c.send(together[at : at + s]) for at in range(0, len(together), s)
                ]
            )
            for number in range(len(macs)):
                own, ring, nothing = (connection.answer() for _ in range(3))
                assert own.body.startswith(f"user = 2{number:03}\n".encode()), number
                assert ring.body == LARGE[:100_000]
                assert nothing.status == 404
            sending.result()
        connection.close()


def test_many_phones_at_once_each_get_their_own(http: Site, daemon: Start) -> None:
    macs = [f"0015650100{number:02x}" for number in range(32)]
    for number, mac in enumerate(macs):
        http.phone(f"2{number:03}", mac)
    process = daemon(http.config).wait_ready()
    port = port_of(process)

    def fetch(number: int) -> bytes:
        connection = Raw(port)
        try:
            found = {connection.get(f"/{macs[number]}.cfg").answer().body for _ in range(5)}
        finally:
            connection.close()
        assert len(found) == 1
        return found.pop()

    with ThreadPoolExecutor(16) as pool:
        for number, body in enumerate(pool.map(fetch, range(32))):
            assert body.startswith(f"user = 2{number:03}\n".encode())


# --- temporary addresses on several instances (E1, E2)


def test_a_temporary_address_is_good_on_every_instance(site: Site, daemon: Start) -> None:
    (site.root / "site.key").write_text(KEY + "\n")
    (site.root / "site.key").chmod(0o600)
    site.ext |= {
        "http_port": 0, "http_listen": ["127.0.0.1"], "key_file": "site.key", "mac_is_enough": {"http": False}
    }  # fmt: skip
    roles = ("ap1", "ap2", "ap3")
    (own,) = json.loads(site.configure().read_text())["roles"]
    site.extra_roles = [{**own, "name": name, "order": number} for number, name in enumerate(roles[1:], 2)]
    processes = [daemon(site.configure(), role).wait_ready() for role in roles]
    ports = [port_of(process) for process in processes]
    token = issue(KEY.encode(), MAC, "", "127.0.0.2", time.time() + 600)
    soon = issue(KEY.encode(), MAC, "", "127.0.0.2", time.time() - 60)
    other = issue(KEY.encode(), "001565000002", "", "127.0.0.2", time.time() + 600)
    forged = issue(b"x" * 64, MAC, "", "127.0.0.2", time.time() + 600)

    def fetch(port: int, token: str, source: str) -> Answer:
        connection = Raw(port, source)
        try:
            return connection.get(f"/p/{token}/{NAME}").answer()
        finally:
            connection.close()

    for port in ports:
        for _ in range(2):
            assert fetch(port, token, "127.0.0.2").body == WHOLE
        refused = [
            fetch(port, token, "127.0.0.3"),
            *(fetch(port, bad, "127.0.0.2") for bad in (soon, other, forged, token[:-1], "x")),
        ]
        assert {(answer.status, answer.body) for answer in refused} == {(403, b"Forbidden\n")}
        assert curl(f"http://127.0.0.1:{port}/{NAME}").status == 403
    codes = (
        "token-source",
        "token-expired",
        "token-mac",
        "token-forged",
        "token-malformed",
        "mac-not-enough",
    )
    for process in processes:
        for code in codes:
            process.wait_log("request", reason=code)
    processes[0].process.kill()  # whoever gave it out may be gone
    with ThreadPoolExecutor(16) as pool:
        work = list(itertools.islice(itertools.product(("127.0.0.2", "127.0.0.3"), ports[1:] * 13), 52))
        for (source, _), answer in zip(work, pool.map(lambda w: fetch(w[1], token, w[0]), work), strict=True):
            assert answer.status == (200 if source == "127.0.0.2" else 403)
    assert token not in str([process.log for process in processes])


# --- credentials


@pytest.mark.parametrize(("auth", "option"), [("digest", "--digest"), ("basic", "--basic")])
def test_curl_with_credentials(http: Site, daemon: Start, auth: str, option: str) -> None:
    http.phone("101", MAC, http_user="phone", http_password="ge heim")
    http.ext |= {"http_auth": auth, "mac_is_enough": {"http": False, "tftp": False}}
    process = daemon(http.configure()).wait_ready()
    assert curl(url(process, NAME), option, "-u", "phone:ge heim").body == WHOLE
    assert curl(url(process, f"{NAME}?a=b"), option, "-u", "phone:ge heim").body == WHOLE
    assert curl(url(process, NAME), option, "-u", "phone:wrong").status == 401
    strangers = [curl(url(process, f"{mac}.cfg")) for mac in (MAC, "0015650000ff")]
    assert {answer.status for answer in strangers} == {401}
    assert strangers[0].headers.keys() == strangers[1].headers.keys()
    with pytest.raises(tftpy.TftpException, match="Access violation"):
        tftp(process.port, NAME)


# --- TLS


def make_certificate(folder: Path, serial: int, *, is_rsa: bool = False) -> None:
    key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def serial_of(port: int) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_https_and_a_new_certificate_without_a_lost_connection(http: Site, daemon: Start) -> None:
    make_certificate(http.root, 1)
    http.ext |= {"https_port": 0, "tls_cert": "cert.pem", "tls_key": "key.pem"}
    process = daemon(http.configure()).wait_ready()
    port = port_of(process, "https")
    assert curl(url(process, NAME, "https"), "-k").body == WHOLE
    assert process.wait_log("request", transport="https")["reason"] == "rendered"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = Raw(port)
    connection.socket = context.wrap_socket(connection.socket)
    assert connection.get(f"/{NAME}").answer().body == WHOLE
    assert serial_of(port) == 1
    make_certificate(http.root, 2)
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration taken")
    assert serial_of(port) == 2
    assert connection.get(f"/{NAME}").answer().body == WHOLE
    make_certificate(http.root, 3, is_rsa=True)
    before = len(process.log)
    process.process.send_signal(signal.SIGHUP)
    process.wait(lambda: any(each["event"] == "configuration taken" for each in process.log[before:]))
    assert serial_of(port) == 3  # and not the elliptic one of before, which clients like better
    (http.root / "cert.pem").write_text("broken")
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("certificate not taken")
    assert serial_of(port) == 3
    assert connection.get(f"/{NAME}").answer().body == WHOLE
    connection.close()


def test_a_certificate_that_cannot_be_used_is_said_at_the_start(http: Site, daemon: Start) -> None:
    (http.root / "cert.pem").write_text("broken")
    (http.root / "key.pem").write_text("broken")
    http.ext |= {"https_port": 0, "tls_cert": "cert.pem", "tls_key": "key.pem"}
    process = daemon(http.configure())
    assert process.process.wait(30) == 2
    process.wait(lambda: any("[tls-files]" in str(line.get("event")) for line in process.log))


# --- life


def test_a_taken_port_is_one_clear_line(http: Site, daemon: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http.ext["http_port"] = port
        process = daemon(http.configure())
        assert process.process.wait(30) == 1
    said = f"era-ap: cannot serve HTTP at 127.0.0.1 on port {port}: Address already in use"
    process.wait(lambda: any(line.get("event") == said for line in process.log))


def test_a_download_under_way_is_finished_when_the_daemon_stops(http: Site, daemon: Start) -> None:
    http.static("fw/T46S.rom", LARGE)
    process = daemon(http.config).wait_ready()
    idle = Raw(port_of(process)).get(f"/{NAME}")
    assert idle.answer().body == WHOLE
    connection = Raw(port_of(process)).get("/fw/T46S.rom")
    begin = connection.socket.recv(1000)
    process.process.terminate()
    process.wait(lambda: "STOPPING=1" in process.told)
    assert idle.rest() == b""  # closed at once: nothing was under way
    got = begin + connection.rest()
    assert got.partition(b"\r\n\r\n")[2] == LARGE
    assert process.process.wait(15) == 0
    with pytest.raises(OSError):
        Raw(port_of(process))


def test_uploads_over_http_land_beside_those_over_tftp(http: Site, daemon: Start, tmp_path: Path) -> None:
    sink = tmp_path / "sink"
    sink.mkdir()
    http.ext |= {"uploads": str(sink), "upload_bytes": 100_000}
    process = daemon(http.configure()).wait_ready()
    log = tmp_path / "app.log"
    log.write_bytes(b"x" * 90_000)
    assert curl(url(process, f"{MAC}-app.log"), "-T", str(log)).status == 200
    assert (sink / "127.0.0.1" / f"{MAC}-app.log").read_bytes() == log.read_bytes()
    log.write_bytes(b"x" * 100_001)
    assert curl(url(process, f"{MAC}-app.log"), "-T", str(log)).status == 413
    assert process.wait_log("request", reason="uploaded")["bytes"] == 90_000
    assert [path.name for path in sink.rglob("*") if path.is_file()] == [f"{MAC}-app.log"]


def test_a_new_key_and_other_networks_take_effect_with_sighup(http: Site, daemon: Start) -> None:
    (http.root / "site.key").write_text(KEY)
    http.ext |= {"key_file": "site.key", "mac_is_enough": {"http": False}}
    process = daemon(http.configure()).wait_ready()
    old, new = KEY.encode(), b"fedcba9876543210" * 4
    tokens = [issue(key, MAC, "", "127.0.0.1", time.time() + 600) for key in (old, new)]

    def statuses() -> list[int]:
        paths = [NAME, *(f"p/{token}/{NAME}" for token in tokens)]
        return [curl(url(process, path)).status for path in paths]

    assert statuses() == [403, 200, 403]
    (http.root / "site.key").write_bytes(new + b"\n" + old)
    http.ext["mac_is_enough"] = {"http": ["127.0.0.0/8"]}
    http.configure()
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration taken")
    assert statuses() == [200, 200, 200]
    (http.root / "site.key").write_text("short")
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("key not taken")
    assert statuses() == [200, 200, 200]


def test_a_key_that_cannot_be_read_is_said_at_the_start(http: Site, daemon: Start) -> None:
    http.ext["key_file"] = "gone.key"
    process = daemon(http.configure())
    assert process.process.wait(30) == 2
    process.wait(lambda: any("[key-file]" in str(line.get("event")) for line in process.log))
