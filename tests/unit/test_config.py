"""The site configuration: what is accepted, and that everything wrong is reported at once, with its place."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap import config
from era_ap.config import (
    ConfigError,
    Ext,
    HttpAuth,
    LogLevel,
    Missing,
    PnpUrlProto,
    PortRange,
    Site,
    YamlFolder,
)
from era_ap.config.ext import EVERYWHERE
from era_ap.config.roles import ApShape
from era_ap.config.shape import SiteShape
from era_ap.errors import Problem, Reason

BASE = Path("/etc/era_ap")

TOP = """\
site: msk1
master_domain: example.com
storage: ./storage
directory: yaml:./directory
interfaces: {eth0: 10.0.0.5, lan: eth1.100}
roles:
"""
AP1 = "- {name: ap1, roletype: ap, iface: eth0, group: 1, order: 1}\n"
SG1 = "- {name: sg1, roletype: sg, iface: eth0, ext: {srvidx: 4}}\n"

NODE = """\
{
    "name": "ap1",
    "roletype": "ap",
    "iface": "eth0",

    "group": 11360,
    "order": 1,

    "tftp_port": 69,
    "pnp_url_proto": "tftp"
 }"""


def parse(text: str) -> Site:
    return config.parse(text, BASE, "site.yml")


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def details_of(text: str) -> list[str]:
    return [problem.detail for problem in problems_of(text)]


def ap(more: str, name: str = "ap2", order: int = 2) -> str:
    """A second ap role with further or replaced keys, as flow mapping text."""
    return f"- {{name: {name}, roletype: ap, iface: eth0, group: 1, order: {order}, {more}}}\n"


def ext(text: str) -> str:
    return TOP + ap(f"ext: {text}", "ap1", 1)


def site(**changes: str | None) -> str:
    """A site whose top-level keys are replaced by YAML text, None removes one."""
    keys: dict[str, str | None] = {
        "site": "msk1",
        "master_domain": "example.com",
        "storage": "./storage",
        "directory": "yaml:./directory",
        "interfaces": "{eth0: 10.0.0.5}",
        "roles": "[{name: ap1, roletype: ap, iface: eth0, group: 1, order: 1}]",
        **changes,
    }
    return "".join(f"{key}: {text}\n" for key, text in keys.items() if text is not None)


# --- what is accepted


def test_a_complete_site() -> None:
    found = parse(TOP + AP1 + SG1)
    assert (found.site, found.master_domain, found.zookeeper) == ("msk1", "example.com", None)
    assert found.storage == BASE / "storage"
    assert found.sources == (YamlFolder(BASE / "directory"),)
    role = found.ap("ap1")
    assert (role.group, role.order, role.tftp_port, role.include_domains) == (1, 1, 69, ())
    assert role.pnp_url_proto is PnpUrlProto.TFTP
    assert role.interface == config.Interface("eth0", "10.0.0.5", "10.0.0.5")
    assert role.ext == Ext()
    assert found.gates() == (config.Gate("sg1", 4, "10.0.0.5", "10.0.0.5", 5060),)


def test_the_example_node_loads_unchanged_as_a_role() -> None:
    text = site(interfaces=None, roles="\n" + "\n".join(f"  {line}" for line in f"[{NODE}]".splitlines()))
    role = parse(text).ap("ap1")
    assert (role.group, role.order, role.tftp_port) == (11360, 1, 69)
    assert role.interface == config.Interface("eth0", "eth0", None)


def test_a_json_file_indented_by_tabs_loads_unchanged() -> None:
    document = {
        "site": "msk1",
        "master_domain": "example.com",
        "storage": "/srv/x",
        "directory": "yaml:/srv/d",
        "roles": [json.loads(NODE)],
    }
    found = parse(json.dumps(document, indent="\t"))
    assert found.storage == Path("/srv/x")
    assert found.ap("ap1").group == 11360


def test_result_is_frozen() -> None:
    found = parse(TOP + AP1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.site = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        found.ap("ap1").ext.blksize = 512  # type: ignore[misc]


def test_every_ext_key_can_be_set() -> None:
    text = """{listen: [10.0.0.5, "FE80::0001%eth0"], allow: [10.1.0.0/16, 192.0.2.7], single_port: off,
        blksize: 512, windowsize: 1, timeout: 9, tid_ports: 50000-50999, transfers: 10,
        transfers_per_address: 2, requests_per_second: 5, misses: {count: 1, window: 1.5},
        uploads: ./logs, upload_bytes: 1,
        upload_count: 2, missing: error, required: [sipuser.ext.pin], reuse_seconds: 0,
        poll_seconds: 0.1, storage_seconds: 3, dns: [192.0.2.53],
        pnp: {enabled: off, interfaces: [eth0, 10.0.0.5], port: 5070, answer_port: 5071,
            allow: {macs: [001565, "0C:38:3E:01"], networks: [10.2.0.0/16], vendors: [Snom]},
            deny: {macs: [000413a1b2c3]}},
        drain_seconds: 0, log: {format: json, level: debug}, journal: /var/log/era_ap/journal,
        mac_is_enough: {tftp: false, http: true, https: [192.0.2.0/24]}, key_file: ./site.key,
        url_seconds: 60,
        http_listen: [10.0.0.5], http_port: 8080, https_port: 8443, tls_cert: ./cert.pem, tls_key: ./key.pem,
        http_auth: vendor, http_proxies: [10.0.0.1], http_connections: 100, http_connections_per_address: 10,
        http_request_seconds: 3, http_keep_seconds: 0, state: ./kept, management: {port: 0},
        cluster: {failsafe: no}, zookeeper: {tls: true}}"""
    found = parse(ext(text)).ap("ap1").ext
    assert found.listen == ("10.0.0.5", "fe80::1%eth0")
    assert [str(network) for network in found.allow] == ["10.1.0.0/16", "192.0.2.7/32"]
    assert (found.single_port, found.blksize, found.windowsize) == (False, 512, 1)
    assert found.tid_ports == PortRange(50000, 50999)
    assert (found.misses.count, found.misses.window) == (1, 1.5)
    assert (found.uploads, found.journal) == (BASE / "logs", Path("/var/log/era_ap/journal"))
    assert found.missing is Missing.ERROR
    assert found.log.level is LogLevel.DEBUG
    enough = found.mac_is_enough
    assert (enough.tftp, enough.http) == ((), EVERYWHERE)
    assert [str(network) for network in enough.https] == ["192.0.2.0/24"]
    assert (found.http_port, found.https_port, found.tls_cert) == (8080, 8443, BASE / "cert.pem")
    assert (found.http_auth, found.key_file) == (HttpAuth.VENDOR, BASE / "site.key")
    pnp = found.pnp
    assert (pnp.enabled, pnp.interfaces, pnp.port, pnp.answer_port) == (
        False,
        ("eth0", "10.0.0.5"),
        5070,
        5071,
    )
    assert (pnp.allow.macs, pnp.allow.vendors) == (("001565", "0c383e01"), ("snom",))
    assert [str(network) for network in pnp.allow.networks] == ["10.2.0.0/16"]
    assert pnp.deny.macs == ("000413a1b2c3",)
    assert set(Ext.model_fields) == set(found.model_fields_set)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{pnp: {port: 0}}", "must be at least 1"),
        ("{pnp: {allow: {macs: [0015651]}}}", "must be a MAC or its first octets, like 001565"),
        ("{pnp: {deny: {macs: [00156573100101]}}}", "must be a MAC or its first octets, like 001565"),
        ("{pnp: {interfaces: [eth0, eth0]}}", "must not list eth0 twice"),
        ("{pnp: {denied: {}}}", "unknown key"),
    ],
)
def test_pnp_that_cannot_be_meant(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse(ext(text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{https_port: 443}", "has https_port, which needs tls_cert and tls_key"),
        ("{https_port: 80, http_port: 80, tls_cert: a, tls_key: b}", "has the same http_port and https_port"),
        ("{mac_is_enough: {http: maybe}}", "must be true, false, private or a list of networks"),
        ("{http_auth: ntlm}", "must be one of none, basic, digest, vendor"),
    ],
)
def test_http_that_cannot_be_served_so(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse(ext(text))


def test_pnp_over_http_needs_a_port_and_a_shared_key() -> None:
    roles = "pnp_url_proto: http, ext: {%s}"
    with pytest.raises(ConfigError, match=r"is http, which needs ext\.http_port"):
        parse(TOP + ap(roles % "", "ap1", 1))
    assert parse(TOP + ap(roles % "http_port: 80", "ap1", 1)).ap("ap1").ext.key_file is None
    two = TOP + ap(roles % "http_port: 80", "ap1", 1) + ap(roles % "http_port: 81, key_file: k", "ap2", 2)
    with pytest.raises(ConfigError, match=r"roles\[0\].ext: needs key_file"):
        parse(two)


def test_ext_as_a_list_is_merged_in_order() -> None:
    found = parse(ext("[{blksize: 512, log: {level: debug}}, {blksize: 1024}, {log: {format: json}}]"))
    role = found.ap("ap1")
    assert role.ext.blksize == 1024
    assert (role.ext.log.format.value, role.ext.log.level.value) == ("json", "debug")


def test_aliases_share_an_ext() -> None:
    text = TOP + ap("ext: &common {blksize: 512}", "ap1", 1) + ap("ext: [*common, {windowsize: 2}]")
    found = parse(text)
    assert [role.ext.blksize for role in found.roles] == [512, 512]
    assert found.ap("ap2").ext.windowsize == 2


@pytest.mark.parametrize("word", ["on", "yes", "true", "True"])
def test_words_of_yaml_for_a_flag(word: str) -> None:
    assert parse(ext(f"{{single_port: {word}}}")).ap("ap1").ext.single_port is True


@pytest.mark.parametrize("nothing", ["", "null", "~"])
def test_a_key_without_a_value_counts_as_absent(nothing: str) -> None:
    found = parse(site(zookeeper=nothing) + "")
    assert found.zookeeper is None
    assert parse(ext(f"{{allow: {nothing}, blksize: {nothing}}}")).ap("ap1").ext == Ext()


def test_text_stays_as_typed() -> None:
    assert parse(site(site="017")).site == "017"
    assert parse(site(site="no")).site == "no"


def test_domains_are_compared_without_case_and_dot() -> None:
    text = site(
        master_domain="EXAMPLE.com.", roles="\n" + AP1.replace("}", ", include_domains: [Example.COM.]}")
    )
    found = parse(text)
    assert found.master_domain == "example.com"
    assert found.ap("ap1").include_domains == ("example.com",)


def test_a_role_that_is_off_is_not_validated() -> None:
    found = parse(TOP + AP1 + "- {name: ap2, roletype: ap, enabled: off, tftp_port: nonsense, order: 1}\n")
    assert [role.name for role in found.roles] == ["ap1"]


def test_other_roletypes_are_ignored_but_for_their_name() -> None:
    found = parse(TOP + AP1 + "- {name: b2b1, roletype: b2bua, group: many, anything: [1]}\n")
    assert [role.name for role in found.roles] == ["ap1"]


def test_further_keys_of_a_gate_belong_to_its_own_daemon() -> None:
    text = (
        "- {name: sg1, roletype: sg, iface: eth0, mode: x, ext: [{srvidx: 4}, {sip_port: 5070, other: 1}]}\n"
    )
    assert parse(TOP + AP1 + text).gates()[0].port == 5070


def test_gates_are_sorted_by_name_and_keep_interface_names() -> None:
    more = "- {name: sg0, roletype: sg, iface: lan, ext: {srvidx: 9}}\n"
    first, second = parse(TOP + AP1 + SG1 + more).gates()
    assert (first.name, first.interface, first.address) == ("sg0", "eth1.100", None)
    assert second.name == "sg1"


def test_a_gate_that_is_off_is_no_gate() -> None:
    assert parse(TOP + AP1 + SG1.replace("iface", "enabled: false, iface")).gates() == ()


def test_two_roles_may_share_interface_and_port() -> None:
    assert len(parse(TOP + AP1 + ap("tftp_port: 69")).roles) == 2


def test_port_zero_lets_the_kernel_choose() -> None:
    assert parse(TOP + ap("tftp_port: 0", "ap1", 1)).ap("ap1").tftp_port == 0


def test_a_group_without_domains_takes_what_is_left() -> None:
    text = TOP + AP1 + ap("include_domains: [b.example.com]").replace("group: 1", "group: 2")
    assert [role.include_domains for role in parse(text).roles] == [(), ("b.example.com",)]


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(TOP + AP1, encoding="utf-8")
    assert config.load(tmp_path / "site.yml").storage == tmp_path / "storage"


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_bytes(b"\xef\xbb\xbf" + (TOP + AP1).encode())
    assert config.load(tmp_path / "site.yml").site == "msk1"


# --- looking a role up


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ap9", "there is no ap role 'ap9'; ap roles: ap1, ap2"),
        ("sg1", "the role 'sg1' cannot be run: its roletype is 'sg'; ap roles: ap1, ap2"),
        ("ap3", "the role 'ap3' cannot be run: enabled is false; ap roles: ap1, ap2"),
    ],
)
def test_an_unknown_role_is_answered_with_those_there_are(name: str, sentence: str) -> None:
    found = parse(TOP + AP1 + ap("") + SG1 + ap("enabled: false", "ap3", 3))
    with pytest.raises(ConfigError) as caught:
        found.ap(name)
    assert caught.value.problems == (Problem(Reason.CONFIG_INVALID, "site.yml", sentence),)


def test_the_first_ap_role() -> None:
    assert parse(TOP + SG1 + ap("", "ap7", 7) + AP1).first_ap().name == "ap7"
    with pytest.raises(ConfigError, match="no enabled role of roletype 'ap'"):
        parse(TOP + SG1).first_ap()


# --- what is refused: (text, exact place, part of the sentence)

TOP_LEVEL = [
    (site(site=None), "site", "is required and missing"),
    (site(master_domain=None), "master_domain", "is required and missing"),
    (site(storage=None), "storage", "is required and missing"),
    (site(directory=None), "directory", "is required and missing"),
    (site(roles=None), "roles", "is required and missing"),
    (site(site="msk/1"), "site", "found 'msk/1'"),
    (site(site="-x"), "site", "first a letter or digit"),
    (site(site="[a]"), "site", "must be text, found a list"),
    (site(master_domain="exa mple.com"), "master_domain", "must be a domain name like a.example.com"),
    (site(master_domain="a..b"), "master_domain", "found 'a..b'"),
    (site(master_domain="пример.рф"), "master_domain", "xn-- form"),
    (site(master_domain="." + "a" * 300), "master_domain", "…"),
    (site(storage='""'), "storage", "not empty"),
    (site(storage='"a\\0b"'), "storage", "control characters"),
    (site(storage="~nobody-of-this-name/x"), "storage", "home folder"),
    (site(directory="./directory"), "directory", "must be yaml:PATH"),
    (site(directory="'yaml:'"), "directory", "needs a path directly after 'yaml:'"),
    (site(directory="yaml:///srv/d"), "directory", "needs a path directly after 'yaml:'"),
    (site(directory="ldap://h"), "directory", "must be yaml:PATH"),
    (site(zookeeper="zk1:x"), "zookeeper", "a port is a number"),
    (site(interfaces="[eth0]"), "interfaces", "must be a mapping"),
    (site(interfaces="{eth0: 10.0.0.500}"), "interfaces.eth0", "found '10.0.0.500'"),
    (site(interfaces="{eth0: 10.0.0.5/24}"), "interfaces.eth0", "without /prefix"),
    (site(interfaces="{eth0: an-interface-of-long-name}"), "interfaces.eth0", "name of a network interface"),
    (site(interfaces="{eth0: }"), "interfaces.eth0", "found nothing"),
    (site(interfaces="{eth0: eth0, 'a b': eth1}"), "interfaces['a b']", "without blanks"),
    (site(roles="ap1"), "roles", "must be a list, found 'ap1'"),
    (site(roles="[]"), "roles", "must not be empty"),
    (site(roles="[ap1]"), "roles[0]", "a role is a mapping of keys to values, found 'ap1'"),
    (site(zookeper="zk1"), "zookeper", "unknown key; did you mean 'zookeeper'?"),
    (site(qqq="1"), "qqq", "unknown key; known: directory, interfaces, master_domain"),
]

ROLES = [
    ("- {roletype: ap, iface: eth0, group: 1, order: 9}\n", "roles[1].name", "is required and missing"),
    (ap("", "1ap"), "roles[1].name", "found '1ap'"),
    (ap("", "ap-2"), "roles[1].name", "Latin letters and digits"),
    (ap("", "ap1"), "roles[1].name", "'ap1' is already the name of roles[0]"),
    (SG1.replace("sg1", "ap1"), "roles[1].name", "'ap1' is already the name of roles[0]"),
    ("- {name: x, roletype: other}\n- {name: x, roletype: other}\n", "roles[2].name", "name of roles[1]"),
    ("- {name: ap2, iface: eth0, group: 1, order: 9}\n", "roles[1].roletype", "is required and missing"),
    (ap("").replace("roletype", "roltype"), "roles[1].roltype", "unknown key; did you mean 'roletype'?"),
    (ap("").replace("roletype: ap", "roletype: AP"), "roles[1].roletype", "must be 'ap', found 'AP'"),
    (ap("").replace("iface: eth0, ", ""), "roles[1].iface", "is required and missing"),
    (ap("").replace("eth0", "eth9"), "roles[1].iface", "(did you mean 'eth0'?), found 'eth9'"),
    (SG1.replace("eth0", "wan"), "roles[1].iface", "no such alias in 'interfaces'"),
    (ap("").replace("group: 1, ", ""), "roles[1].group", "is required and missing"),
    (ap("").replace("group: 1", "group: 0"), "roles[1].group", "must be at least 1, found '0'"),
    (ap("").replace("group: 1", "group: 10000000"), "roles[1].group", "must be at most 9999999"),
    (ap("").replace("group: 1", "group: 01"), "roles[1].group", "must be a whole number, found '01'"),
    (ap("").replace("order: 2, ", ""), "roles[1].order", "is required and missing"),
    (ap("").replace("order: 2", "order: 1"), "roles[1].order", "1 is already the order of 'ap1' in group 1"),
    (ap("").replace("order: 2", "order: 1.5"), "roles[1].order", "must be a whole number"),
    (ap("").replace("order: 2", "order: 0x1"), "roles[1].order", "must be a whole number"),
    (ap("").replace("order: 2", "order: yes"), "roles[1].order", "must be a whole number"),
    (ap("enabled: maybe"), "roles[1].enabled", "must be true or false, found 'maybe'"),
    (ap('enabled: "false"'), "roles[1].enabled", "must be true or false"),
    (ap("tftp_port: 65536"), "roles[1].tftp_port", "must be at most 65535, found '65536'"),
    (ap("tftp_port: -1"), "roles[1].tftp_port", "must be at least 0"),
    (ap('tftp_port: "69"'), "roles[1].tftp_port", "must be a whole number without quotes"),
    (ap("tftp_prt: 69"), "roles[1].tftp_prt", "unknown key; did you mean 'tftp_port'?"),
    (ap("pnp_url_proto: https"), "roles[1].pnp_url_proto", "must be one of tftp, http, found 'https'"),
    (ap("include_domains: b.example.com"), "roles[1].include_domains", "must be a list"),
    (ap("include_domains: [x..y]"), "roles[1].include_domains[0]", "must be a domain name"),
    (
        ap("include_domains: [example.org]"),
        "roles[1].include_domains[0]",
        "does not lie within 'example.com'",
    ),
    (ap("include_domains: [badexample.com]"), "roles[1].include_domains[0]", "does not lie within"),
    (ap("include_domains: [a.example.com, A.example.com.]"), "roles[1].include_domains", "must not list"),
    (
        ap("include_domains: [a.example.com]"),
        "roles[1].include_domains",
        "'ap1' has none, 'ap2' has 'a.example",
    ),
    ("- {name: sg1, roletype: sg, iface: eth0}\n", "roles[1].ext.srvidx", "is required and missing"),
    (SG1.replace("4", "four"), "roles[1].ext.srvidx", "must be a whole number"),
    (SG1.replace("4", "4, sip_port: 0"), "roles[1].ext.sip_port", "must be at least 1"),
    (SG1 + SG1.replace("sg1", "sg2"), "roles[2].ext.srvidx", "4 is already the server index of 'sg1'"),
]

EXT = [
    ("text", "ext", "must be a mapping of keys to values, found 'text'"),
    ("[{blksize: 512}, text]", "ext[1]", "an element of 'ext' is an object"),
    ("{blksise: 512}", "ext.blksise", "unknown key; did you mean 'blksize'?"),
    ("[{}, {blksise: 512}]", "ext[1].blksise", "unknown key; did you mean 'blksize'?"),
    ("{blksize: 7}", "ext.blksize", "must be at least 8, found '7'"),
    ("{blksize: 65465}", "ext.blksize", "must be at most 65464"),
    ("[{blksize: 7}, {windowsize: 65}]", "ext[0].blksize", "must be at least 8"),
    ("[{blksize: 7}, {windowsize: 65}]", "ext[1].windowsize", "must be at most 64"),
    ("{windowsize: 0}", "ext.windowsize", "must be at least 1"),
    ("{listen: []}", "ext.listen", "must not be empty"),
    ("{listen: 10.0.0.5}", "ext.listen", "must be a list, found '10.0.0.5'"),
    ("{listen: [eth0]}", "ext.listen[0]", "must be an IPv4 or IPv6 address, found 'eth0'"),
    ("{listen: [10.0.0.5, 10.0.0.5]}", "ext.listen", "must not list 10.0.0.5 twice"),
    ("{allow: []}", "ext.allow", "must not be empty"),
    ("{allow: [10.0.0.5/8]}", "ext.allow[0]", "write 10.0.0.0/8, found '10.0.0.5/8'"),
    ("{allow: [10.0.0.0/8, all]}", "ext.allow[1]", "must be a network like 10.0.0.0/8"),
    ("{single_port: 2}", "ext.single_port", "must be true or false"),
    ("{tid_ports: 50000}", "ext.tid_ports", "must be LOW-HIGH"),
    ("{tid_ports: 5001-5000}", "ext.tid_ports", "in rising order"),
    ("{tid_ports: 1-65536}", "ext.tid_ports", "from 1 to 65535"),
    ("{tid_ports: 1-2, single_port: true}", "ext", "has both single_port and tid_ports"),
    ("{transfers: 0}", "ext.transfers", "must be at least 1"),
    ("{transfers_per_address: x}", "ext.transfers_per_address", "must be a whole number"),
    ("{requests_per_second: 0}", "ext.requests_per_second", "must be at least 1"),
    ("{misses: 20}", "ext.misses", "must be a mapping"),
    ("{misses: {cuont: 20}}", "ext.misses.cuont", "unknown key; did you mean 'count'?"),
    ("{misses: {count: 0}}", "ext.misses.count", "must be at least 1"),
    ("{misses: {window: 0}}", "ext.misses.window", "must be at least 1"),
    ("{uploads: [a]}", "ext.uploads", "must be text"),
    ("{upload_bytes: 1MiB}", "ext.upload_bytes", "must be a whole number, found '1MiB'"),
    ("{upload_count: 0}", "ext.upload_count", "must be at least 1"),
    ("{missing: ignore}", "ext.missing", "must be one of empty, error, found 'ignore'"),
    ("{required: [login]}", "ext.required[0]", "like sipuser.login, found 'login'"),
    ("{reuse_seconds: -1}", "ext.reuse_seconds", "must be at least 0"),
    ("{poll_seconds: 0.05}", "ext.poll_seconds", "must be at least 0.1, found '0.05'"),
    ("{poll_seconds: 3}", "ext.poll_seconds", "must be at most 2"),
    ("{storage_seconds: .inf}", "ext.storage_seconds", "must be a number of seconds"),
    ("{dns: [ns.example.com]}", "ext.dns[0]", "must be an IPv4 or IPv6 address"),
    ("{drain_seconds: soon}", "ext.drain_seconds", "must be a number of seconds, like 0.5, found 'soon'"),
    ("{log: {level: loud}}", "ext.log.level", "must be one of debug, info, warning, error"),
    ("{log: {format: xml}}", "ext.log.format", "must be one of auto, json, console"),
    ("[{log: {level: loud}}, {log: 3}, {log: {levle: 1}}]", "ext[2].log.levle", "did you mean 'level'?"),
    ("{journal: {}}", "ext.journal", "must be text, found a mapping"),
]

BROKEN = [
    *TOP_LEVEL,
    *((TOP + AP1 + role, at, part) for role, at, part in ROLES),
    *((ext(text), f"roles[0].{at}", part) for text, at, part in EXT),
]


@pytest.mark.parametrize(("text", "at", "part"), BROKEN)
def test_a_problem_names_its_place_and_the_way_out(text: str, at: str, part: str) -> None:
    found = [detail for detail in details_of(text) if detail.startswith(f"{at}: ")]
    assert any(part in detail for detail in found), details_of(text)


def test_a_single_mistake_is_a_single_problem() -> None:
    """What is not usable by itself takes no part in the cross checks."""
    single = [*TOP_LEVEL, *((ext(text), at, part) for text, at, part in EXT if "windowsize: 65" not in text)]
    for text, _, _ in single:
        assert len(details_of(text)) == 1, text


def test_unknown_keys_have_their_own_reason() -> None:
    (problem,) = problems_of(site(zookeper="zk1"))
    assert problem.reason is Reason.CONFIG_UNKNOWN_KEY
    (problem,) = problems_of(site(site="a b"))
    assert problem.reason is Reason.CONFIG_INVALID


def test_a_domain_belongs_to_one_group() -> None:
    text = TOP + ap("include_domains: [example.com, b.example.com]", "ap1", 1)
    text += ap("include_domains: [B.example.com]").replace("group: 1", "group: 2")
    assert details_of(text) == [
        "roles[1].include_domains[0]: "
        "'b.example.com' is already named by group 1 (role 'ap1'), here by group 2"
    ]


def test_a_domain_that_no_group_covers_is_named() -> None:
    text = TOP + ap("include_domains: [a.example.com]", "ap1", 1)
    text += ap("include_domains: [b.example.com]").replace("group: 1", "group: 2")
    (detail,) = details_of(text)
    assert detail.startswith(
        "roles: no group covers 'example.com' and its domains other than 'a.example.com', 'b."
    )


def test_coverage_is_not_judged_while_a_role_is_unreadable() -> None:
    text = TOP + ap("include_domains: [a.example.com]", "ap1", 1)
    text += ap("include_domains: [a..b]").replace("group: 1", "group: 2")
    assert [detail.split(":")[0] for detail in details_of(text)] == ["roles[1].include_domains[0]"]


def test_an_alias_without_interfaces_must_be_an_interface_name() -> None:
    text = site(interfaces=None, roles="[{name: ap1, roletype: ap, iface: 10.0.0.300, group: 1, order: 1}]")
    assert details_of(text) == [
        "roles[0].iface: must be the name of a network interface, "
        "as the file has no 'interfaces', found '10.0.0.300'"
    ]


def test_all_problems_at_once_in_file_order_with_lines() -> None:
    text = """\
site: msk 1
master_domian: example.com
directory: yaml:./directory
interfaces: {eth0: 10.0.0.500}
roles:
- name: ap1
  roletype: ap
  iface: eth1
  group: 0
  order: 1
  ext:
    blksize: 3
    allow:
    - 10.0.0.0/8
    - x
- {name: ap1, roletype: ap, iface: eth0, group: 2, order: 1}
- {name: ap2, roletype: ap, iface: eth0, group: 2, order: 1, enabled: 2}
"""
    assert [(problem.where, problem.detail.split(":")[0]) for problem in problems_of(text)] == [
        ("site.yml:1", "site"),
        ("site.yml:1", "master_domain"),
        ("site.yml:1", "storage"),
        ("site.yml:2", "master_domian"),
        ("site.yml:4", "interfaces.eth0"),
        ("site.yml:8", "roles[0].iface"),
        ("site.yml:9", "roles[0].group"),
        ("site.yml:12", "roles[0].ext.blksize"),
        ("site.yml:15", "roles[0].ext.allow[1]"),
        ("site.yml:16", "roles[1].name"),
        ("site.yml:17", "roles[2].enabled"),
        ("site.yml:17", "roles[2].order"),
    ]


def test_the_error_as_text_is_a_line_for_each_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(site(site="a b", storage=None))
    assert str(caught.value).splitlines() == [f"{p.where}: {p.detail}" for p in caught.value.problems]


def test_credentials_of_a_url_are_not_repeated() -> None:
    (detail,) = details_of(site(directory="ldap://era:secret@db/era"))
    assert "secret" not in detail
    assert "ldap://…@db/era" in detail


def test_the_value_of_an_unknown_key_is_not_repeated() -> None:
    assert "hunter2" not in details_of(site(password="hunter2"))[0]


# --- files that are no site


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "word", "12"])
def test_a_text_that_is_no_mapping_is_told_what_a_site_has(text: str) -> None:
    (detail,) = details_of(text)
    assert "a site file is a mapping with 'site', 'master_domain', 'storage', 'directory', 'roles'" in detail


def test_a_lone_role_is_told_where_it_belongs() -> None:
    (detail,) = details_of(NODE)
    assert "this is one role; put it into the list 'roles'" in detail
    assert "'master_domain'" in detail


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("site: [a\n", 2, "not valid YAML"),
        ("site: a\n\tx: b\n", 2, "not valid YAML"),
        ("site: a\nb: \x07\n", 2, "U+0007"),
        ("site: a\n---\nsite: b\n", 2, "second document"),
        ("site: a\n? [b]\n: c\n", 2, "a key must be a simple word"),
        ("site: *nobody\n", 1, "*nobody"),
        ("site: &a [*a]\n", 1, "*a"),
        ('site: "\\UFFFFFFFF"\n', None, "out of range"),
        ("site: " + "[" * 40 + "]" * 40, 1, "nested more than 32 levels"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40)),
            32,
            "nested more than 32",
        ),
    ],
)
def test_syntax_has_a_line(text: str, line: int | None, part: str) -> None:
    (problem,) = problems_of(text)
    assert problem.reason is Reason.CONFIG_UNREADABLE
    assert part in problem.detail
    assert problem.where == ("site.yml" if line is None else f"site.yml:{line}")


def test_an_alias_bomb_is_stopped() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    (problem,) = problems_of(bomb)
    assert "more than 100000 values" in problem.detail


def test_tags_are_refused() -> None:
    assert "YAML tags" in details_of(site(site="!!python/name:os.system x"))[0]


def test_a_key_that_stands_twice_is_an_error_with_both_lines() -> None:
    (problem,) = problems_of(site() + "site: other\n")
    assert problem.where == "site.yml:7"
    assert problem.detail == "site: the key stands twice, in lines 1 and 7; keep one"


def test_a_nested_key_that_stands_twice() -> None:
    assert details_of(ext("{blksize: 512, blksize: 1024}")) == [
        "roles[0].ext.blksize: the key stands twice, in lines 7 and 7; keep one"
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "site.yml")
    (problem,) = caught.value.problems
    assert problem.reason is Reason.CONFIG_UNREADABLE
    assert problem.where == str(tmp_path / "site.yml")
    assert "No such file" in problem.detail


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_bytes(b"site: msk1\nstorage: \xff\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "site.yml")
    assert caught.value.problems[0].where == f"{tmp_path / 'site.yml'}:2"


@pytest.mark.parametrize("size", [1 << 20, 5 << 20])
def test_a_file_that_is_too_large(tmp_path: Path, size: int) -> None:
    (tmp_path / "site.yml").write_bytes(b"#" + "ü".encode() * size)
    with pytest.raises(ConfigError, match="the file is larger than"):
        config.load(tmp_path / "site.yml")


# --- any text at all

SCALARS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["ap", "sg", "eth0", "1", "10.0.0.0/8", "example.com", "yaml:.", "on", "a..b", "::1", "1-2"]
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        sorted({*SiteShape.model_fields, *ApShape.model_fields, *Ext.model_fields, "level", "srvidx"})
    ),
    st.text(max_size=6),
)
TREES = st.recursive(
    st.one_of(SCALARS, st.none(), st.integers(), st.floats(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=8)),
    max_leaves=25,
)


def site_or_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Site)
    except ConfigError as error:
        assert error.problems
        assert str(error).encode("utf-8").decode().isprintable() or "\n" in str(error)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,?\\\n\t 0~.U\ud800\x00é"), max_size=60))
def test_any_text_is_a_site_or_a_config_error(text: str) -> None:
    site_or_error(text)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_any_json_is_a_site_or_a_config_error(tree: object) -> None:
    site_or_error(json.dumps(tree))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=8), st.dictionaries(KEYS, TREES, max_size=5))
def test_any_role_is_a_site_or_a_config_error(role: dict[str, object], options: dict[str, object]) -> None:
    known = {"name": "ap1", "roletype": "ap", "iface": "eth0", "group": 1, "order": 1, "ext": options}
    top = {"site": "a", "master_domain": "example.com", "storage": ".", "directory": "yaml:."}
    site_or_error(json.dumps({**top, "roles": [{**known, **role}, known]}))
