"""What the site configuration says of the cluster: servers, access to them, management port, state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from era_ap import config
from era_ap.config import ConfigError, Ext, Mechanism, Site

BASE = Path("/etc/era_ap")

TOP = """\
site: msk1
master_domain: example.com
storage: ./storage
directory: yaml:./directory
interfaces: {eth0: 10.0.0.5}
"""


def parse(ext: str = "{}", zookeeper: str = "", more: str = "") -> Site:
    servers = f"zookeeper: {zookeeper}\n" if zookeeper else ""
    roles = f"roles:\n- {{name: ap1, roletype: ap, iface: eth0, group: 1, order: 1, ext: {ext}}}\n"
    return config.parse(TOP + servers + roles + more, BASE, "site.yml")


def detail(ext: str = "{}", zookeeper: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        parse(ext, zookeeper)
    (problem,) = caught.value.problems
    return problem.detail


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("zk1", "zk1:2181"),
        ("ZK1.Example.com.:2182", "zk1.example.com:2182"),
        ("'zk1:2181, zk2:2181'", "zk1:2181,zk2:2181"),
        ("10.0.0.1:2181,zk2:2281/era", "10.0.0.1:2181,zk2:2281/era"),
        ("'[::1]:2181'", "[::1]:2181"),
        ("'[FD00:0::1],[fd00::2]:2182/a/b'", "[fd00::1]:2181,[fd00::2]:2182/a/b"),
    ],
)
def test_servers(text: str, servers: str) -> None:
    assert parse(zookeeper=text).zookeeper == servers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zk1:x", "a port is a number from 1 to 65535, found 'zk1:x'"),
        ("zk1:70000", "from 1 to 65535"),
        ("'zk1:'", "from 1 to 65535"),
        ("zk1:2181,,zk2", "must be a list of servers like zk1:2181,zk2:2181"),
        ("'zk1;zk2'", "must be a list of servers"),
        ("'[::1:2181'", "must be a list of servers"),
        ("'[zk1]:2181'", "must be a list of servers"),
        ("'fd00::1'", "write it like [fd00::1]:2181"),
        ("zk1,zk1:2181", "must not list zk1:2181 twice"),
        ("zk1:2181/", "malformed /chroot"),
        ("zk1:2181/a//b", "malformed /chroot"),
        ("zk1:2181/a/../b", "malformed /chroot"),
        ("zk1:2181/zookeeper/x", "which ZooKeeper keeps for itself"),
        ("zk1:2181/era,zk2:2181", "a chroot stands once, after the last server"),
        ("[zk1, zk2]", "must be text, found a list"),
    ],
)
def test_servers_that_are_not_usable(text: str, words: str) -> None:
    assert words in detail(zookeeper=text)
    assert detail(zookeeper=text).startswith("zookeeper: ")


def test_credentials_among_the_servers_are_not_shown() -> None:
    told = detail(zookeeper="era:s3cret@zk1:2181")
    assert "user and password_file belong into ext.zookeeper" in told
    assert "s3cret" not in told


def test_the_defaults_need_no_key() -> None:
    found = parse().ap("ap1").ext
    assert found == Ext()
    assert (found.cluster.session_seconds, found.cluster.hold_down_seconds, found.cluster.failsafe) == (
        4,
        30,
        True,
    )
    assert (found.management.address, found.management.port) == (None, 9069)
    assert (found.zookeeper.user, found.zookeeper.tls) == (None, False)


def test_all_keys() -> None:
    found = parse(
        "{cluster: {session_seconds: 2.5, hold_down_seconds: 0, failsafe: no},"
        " management: {address: fd00:0::5, port: 0},"
        " zookeeper: {user: era, password_file: zk.pw, mechanism: sasl, tls: true, ca_file: /ca.pem,"
        " cert_file: c.pem, key_file: k.pem}}"
    ).ap("ap1")
    cluster, access = found.ext.cluster, found.ext.zookeeper
    assert (cluster.session_seconds, cluster.hold_down_seconds, cluster.failsafe) == (2.5, 0, False)
    assert (access.user, access.password_file, access.mechanism) == ("era", BASE / "zk.pw", Mechanism.SASL)
    assert (access.ca_file, access.cert_file, access.key_file) == (
        Path("/ca.pem"),
        BASE / "c.pem",
        BASE / "k.pem",
    )
    assert (found.ext.management.address, found.ext.management.port) == ("fd00::5", 0)


@pytest.mark.parametrize(
    ("ext", "words"),
    [
        ("{cluster: {session_seconds: 1}}", "ext.cluster.session_seconds: must be at least 2"),
        ("{cluster: {session_seconds: 61}}", "ext.cluster.session_seconds: must be at most 60"),
        (
            "{cluster: {hold_down: 3}}",
            "ext.cluster.hold_down: unknown key; did you mean 'hold_down_seconds'?",
        ),
        ("{management: {port: 65536}}", "ext.management.port: must be at most 65535"),
        ("{management: {address: eth0}}", "ext.management.address: must be an IPv4 or IPv6 address"),
        ("{zookeeper: {user: era}}", "ext.zookeeper: has user, which needs password_file"),
        ("{zookeeper: {password_file: pw}}", "ext.zookeeper: has password_file, which needs user"),
        (
            "{zookeeper: {user: 'a:b', password_file: pw}}",
            "ext.zookeeper.user: must be a name without blanks",
        ),
        ("{zookeeper: {mechanism: sasl}}", "has mechanism sasl, which needs user and password_file"),
        ("{zookeeper: {mechanism: gssapi}}", "must be one of digest, sasl, found 'gssapi'"),
        ("{zookeeper: {ca_file: ca.pem}}", "ext.zookeeper: has ca_file, which needs tls: true"),
        ("{zookeeper: {tls: true, cert_file: c.pem}}", "needs both cert_file and key_file, or none"),
        ("{zookeeper: {tls: true, password: geheim}}", "ext.zookeeper.password: unknown key"),
    ],
)
def test_keys_that_are_not_usable(ext: str, words: str) -> None:
    told = detail(ext)
    assert words in told
    assert "geheim" not in told


def test_two_roles_may_have_the_same_management_port_as_they_may_run_on_two_hosts() -> None:
    more = "- {name: ap2, roletype: ap, iface: eth0, group: 1, order: 2, ext: {management: {port: 9069}}}\n"
    assert [role.ext.management.port for role in parse(more=more).roles] == [9069, 9069]


def test_temporary_addresses_of_several_roles_need_a_key_file_only_without_a_cluster() -> None:
    ext = "{http_port: 80}}\n".replace("}}", "}, pnp_url_proto: http}")
    roles = "".join(
        f"- {{name: ap{n}, roletype: ap, iface: eth0, group: 1, order: {n}, ext: {ext.rstrip()}\n"
        for n in (1, 2)
    )
    with pytest.raises(ConfigError, match="needs key_file"):
        config.parse(TOP + "roles:\n" + roles, BASE)
    assert len(config.parse(TOP + "zookeeper: zk1\nroles:\n" + roles, BASE).roles) == 2
