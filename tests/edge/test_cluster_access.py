"""How an instance gets in to ZooKeeper: files as they are now, advice for each way of being turned away."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from era_ap import config
from era_ap.cluster.access import Access, Told
from era_ap.config import Mechanism, Zookeeper
from era_ap.errors import Reason, Refused

SITE = """
{site: msk1, master_domain: example.com, storage: s, directory: "yaml:d", zookeeper: "%s",
 roles: [{name: ap1, roletype: ap, iface: eth0, group: 1, order: 1, ext: {cluster: {session_seconds: 6}}}]}
"""


@pytest.mark.parametrize(
    ("zookeeper", "servers", "root"),
    [
        ("zk1:2181,zk2:2182", "zk1:2181,zk2:2182", "/era_ap/msk1"),
        ("[fd00::1]/a/b", "[fd00::1]:2181", "/a/b/era_ap/msk1"),
    ],
)
def test_where_our_nodes_are(zookeeper: str, servers: str, root: str) -> None:
    site = config.parse(SITE % zookeeper, Path("/etc"))
    access = Access.of(site, site.ap("ap1"))
    assert (access.servers, access.root, access.session_seconds) == (servers, root, 6.0)
    assert access.is_open
    assert not access.over_sasl


def access(**settings: object) -> Access:
    return Access("zk1:2181", "/era_ap/lab", settings=Zookeeper.model_construct(**settings))  # type: ignore[arg-type]


def refused(made: Access) -> Refused:
    with pytest.raises(Refused) as caught:
        made.check()
    return caught.value


def test_the_password_is_the_one_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    known = access(user="era", password_file=file, mechanism=Mechanism.SASL)
    for content in ("pässword 1", "pässword 1\n", "pässword 1\r\n"):
        file.write_bytes(content.encode())
        assert known.password() == "pässword 1"
    assert known.over_sasl
    assert not known.is_open
    assert access().password() == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "must hold the password in its one line"),
        (b"\n", "must hold the password"),
        (b"geheim\nnochwas\n", "must hold the password"),
        (b"geheim\xff", "is not UTF-8 text"),
    ],
)
def test_a_password_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    found = refused(access(user="era", password_file=file))
    assert found.reason is Reason.ZOOKEEPER_PASSWORD
    assert words in found.detail
    assert "geheim" not in str(found)


@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_certificates_that_cannot_be_used(tmp_path: Path, key: str) -> None:
    file = tmp_path / "file.pem"
    found = refused(access(tls=True, **{key: file, "key_file": file}))
    assert (found.reason, "No such file" in found.detail) == (Reason.TLS_FILES, True)
    file.write_text("no certificate")
    found = refused(access(tls=True, **{key: file, "key_file": file}))
    assert "is not a PEM file, or the key does not belong to the certificate" in found.detail
    assert str(file) in found.detail


@pytest.mark.parametrize(
    ("failure", "tls", "words"),
    [
        (
            "certificate verify failed: Hostname mismatch, certificate is not valid for 'zk1'.",
            True,
            "lacks the name",
        ),
        ("certificate verify failed: IP address mismatch, certificate …", True, "lacks the name"),
        ("certificate verify failed: unable to get local issuer certificate", True, "ca_file"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", True, "cert_file"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True, "secureClientPort"),
        ("EOF occurred in violation of protocol", True, "secureClientPort"),
        ("authentication failed", False, "JAAS"),
        ("socket connection broken", False, "its port wants TLS"),
        ("Connection reset by peer", False, "its port wants TLS"),
        ("Connection refused", False, ""),
        ("no answer in time", True, ""),
    ],
)
def test_advice(failure: str, tls: bool, words: str) -> None:
    advice = access(tls=tls).advice(failure)
    assert words in advice
    assert bool(words) == bool(advice)


def test_each_change_is_told_once() -> None:
    with structlog.testing.capture_logs() as lines:
        told = Told(access(user="era"), structlog.get_logger())
        for _ in range(3):
            told.turned_away("zk1:2181", "Connection refused")
            told.turned_away("zk2:2181", "no answer in time")
        told.turned_away("zk1:2181", "no answer in time")
        told.connected("zk1:2181", 0x1234, 4.0)
        told.turned_away("zk1:2181", "no answer in time")
        for path in ("/era_ap/lab/members", "/era_ap/lab/members", "/era_ap"):
            told.forbidden(path)
        told.connected("zk1:2181", 0x1234, 4.0)
        told.forbidden("/era_ap")
    assert [(line["event"], line.get("server", line.get("path"))) for line in lines] == [
        ("ZooKeeper does not take us", "zk1:2181"),
        ("ZooKeeper does not take us", "zk2:2181"),
        ("ZooKeeper does not take us", "zk1:2181"),
        ("connected to ZooKeeper", "zk1:2181"),
        ("ZooKeeper does not take us", "zk1:2181"),
        ("ZooKeeper refuses us a node", "/era_ap/lab/members"),
        ("ZooKeeper refuses us a node", "/era_ap"),
        ("connected to ZooKeeper", "zk1:2181"),
        ("ZooKeeper refuses us a node", "/era_ap"),
    ]
    forbidden = [line["advice"] for line in lines if line["event"] == "ZooKeeper refuses us a node"]
    assert ["chroot" in advice for advice in forbidden] == [False, True, True]
    assert lines[3]["session"] == "0x1234"
