"""The databases of FusionPBX, Asterisk and Kamailio as sources: the phone of a row gets its file.

Their tables are made as those projects define them and filled here; the user has the rights of ``deploy/sql``
and no others.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tftpy
import yaml
from click.testing import CliRunner
from sqlalchemy import text

from era_ap.cli import main
from era_ap.config import SqlDatabase
from era_ap.directory.index import Conflict, DirectoryIndex, Phone
from era_ap.directory.source import Change
from era_ap.directory.sql import sql_source
from era_ap.directory.sql_database import Database
from era_ap.errors import Refused
from era_ap.store import Store
from tests.conftest import Site
from tests.databases import PASSWORD, MariaDb, PostgreSql, Server, run
from tests.functional.conftest import Process
from tests.pbx import READY, ROOT, Pbx

pytestmark = pytest.mark.functional

MAC = "001565000001"
DOMAIN = "tenant.example.com"


def look(settings: SqlDatabase) -> DirectoryIndex:
    """What a daemon would serve from after its first look."""
    index = DirectoryIndex()

    async def work() -> None:
        source = sql_source(settings)
        changes: list[Change] = []
        await source.look(changes.append)
        await source.close()
        for change in changes:
            index.apply(change)

    run(work())
    return index


def phone(index: DirectoryIndex, mac: str = MAC) -> Phone:
    found = index.phone_of(mac)
    assert isinstance(found, Phone), (found, index.problems)
    return found


def site_of(site: Site, settings: SqlDatabase, **queries: object) -> None:
    """A site with the packs of this repository, whose directory is the database, by password file."""
    (site.root / "password").write_text(PASSWORD)
    (site.root / "password").chmod(0o600)
    address = settings.address
    url = f"{address.kind.value}://{address.user}@{address.host}:{address.port}/{address.database}"
    source = {"sql": url, "password_file": "password", "poll_seconds": 0.2, **queries}
    gate = {"name": "sg1", "roletype": "sg", "iface": "lo", "ext": {"srvidx": 1}}
    site.extra_roles = [gate]
    site.configure(site="demo", storage=str(ROOT), directory=source)


def era_ap(site: Site, *words: str) -> str:
    result = CliRunner().invoke(main, [*words, "-c", str(site.config)])
    assert result.exit_code == 0, result.output
    return result.output


def served(daemon: Process, name: str) -> str:
    output = io.BytesIO()
    tftpy.TftpClient("127.0.0.1", daemon.port).download(name, output, timeout=5)
    return output.getvalue().decode()


def refused(settings: SqlDatabase, pbx: Pbx, *statements: str) -> list[str]:
    """Which of the statements the reader may not execute."""

    async def work() -> list[str]:
        found = []
        for statement in statements:
            database = Database(settings)
            try:
                async with database.session() as session:
                    await session.run(text(statement))
                    await session.commit()
            except Refused:
                found.append(statement)
            finally:
                await database.close()
        return found

    return run(work())


# --- FusionPBX


class FusionPbx(Pbx):
    """A FusionPBX with one tenant and the functions of Yealink's keys."""

    schema = "fusionpbx"
    reader_file = READY / "fusionpbx_reader.sql"
    address, function = "device_address", "type"

    def __init__(self, server: Server) -> None:
        super().__init__(server, self.schema)
        self.domain = self.add(
            "v_domains", domain_uuid=..., domain_name="Tenant.Example.com", domain_enabled=True
        )
        self.vendor("yealink", line="15", blf="16", speed_dial="13", call_park="10", na="0", dtmf="11")
        self.run_file(self.reader_file.name, self.reader_file.parent)

    def vendor(self, name: str, **functions: str) -> None:
        key = self.add("v_device_vendors", device_vendor_uuid=..., name=name, enabled=True)
        for kind, value in functions.items():
            self.add(
                "v_device_vendor_functions",
                device_vendor_function_uuid=...,
                device_vendor_uuid=key,
                value=value,
                enabled=True,
                **{self.function: kind},
            )

    def device(self, mac: str | None = MAC, template: str = "yealink/t46s", **values: object) -> str:
        given = {
            "device_vendor": template.partition("/")[0],
            "device_enabled": True,
            "device_template": template,
            "domain_uuid": self.domain,
            self.address: mac,
        }
        return self.add("v_devices", device_uuid=..., **(given | values))

    def line(self, device: str, number: int | None, user: str | None, **values: object) -> None:
        given = {"server_address": "tenant.example.com", "password": f"line-{user}", "enabled": True}
        self.add(
            "v_device_lines",
            device_line_uuid=...,
            domain_uuid=self.domain,
            device_uuid=device,
            line_number=number,
            user_id=user,
            **(given | values),
        )

    def extension(self, number: str, name: str, password: str) -> None:
        self.add(
            "v_extensions",
            extension_uuid=...,
            domain_uuid=self.domain,
            extension=number,
            password=password,
            effective_caller_id_name=name,
            enabled=True,
        )

    def key(
        self, device: str, place: int | None, kind: str, value: str, label: str = "", **values: object
    ) -> None:
        given = {"device_key_category": "line", "device_key_vendor": "yealink", "device_key_line": 1}
        self.add(
            "v_device_keys",
            device_key_uuid=...,
            domain_uuid=self.domain,
            device_uuid=device,
            device_key_id=place,
            device_key_type=kind,
            device_key_value=value,
            device_key_label=label,
            **(given | values),
        )

    def setting(self, category: str, name: str, value: str) -> None:
        self.add(
            "v_default_settings",
            default_setting_uuid=...,
            default_setting_category=category,
            default_setting_subcategory=name,
            default_setting_value=value,
            default_setting_enabled=True,
        )

    def domain_setting(self, category: str, name: str, value: str) -> None:
        self.add(
            "v_domain_settings",
            domain_setting_uuid=...,
            domain_uuid=self.domain,
            domain_setting_category=category,
            domain_setting_subcategory=name,
            domain_setting_value=value,
            domain_setting_enabled=True,
        )


@pytest.fixture
def fusionpbx(postgresql: PostgreSql) -> FusionPbx:
    return FusionPbx(postgresql)


def test_a_yealink_of_fusionpbx_gets_its_file(
    fusionpbx: FusionPbx, site: Site, daemon: Callable[..., Process]
) -> None:
    device = fusionpbx.device(device_label="Reception")
    fusionpbx.line(device, 1, "101", display_name="Anna Ivanova")
    fusionpbx.line(device, 2, "102")
    fusionpbx.extension("101", "Anna", "s3cret-101")
    fusionpbx.extension("103", "Clara", "s3cret-103")
    fusionpbx.key(device, 1, "15", "1")
    fusionpbx.key(device, 3, "16", "103", "${caller_id_name}", device_key_extension="**")
    fusionpbx.key(device, 5, "13", "0305551", "Taxi")
    fusionpbx.key(device, 2, "16", "104", "Side", device_key_category="expansion-2")
    fusionpbx.setting("provision", "ntp_server_primary", "ntp.default.example")
    fusionpbx.domain_setting("provision", "ntp_server_primary", "ntp.tenant.example")
    site_of(site, fusionpbx.reader(), queries="fusionpbx")
    file = era_ap(site, "render", MAC, f"{MAC}.cfg")
    expected = [
        "account.1.user_name = 101",
        "account.1.password = s3cret-101",
        "account.1.display_name = Anna Ivanova",
        "account.1.sip_server.1.address = tenant.example.com",
        "account.2.user_name = 102",
        "account.2.password = line-102",
        "linekey.3.type = 16",
        "linekey.3.value = 103",
        "linekey.3.label = Clara",
        "linekey.3.extension = **",
        "linekey.5.type = 13",
        "linekey.5.value = 0305551",
        "expansion_module.2.key.2.type = 16",
        "expansion_module.2.key.2.value = 104",
        "local_time.ntp_server1 = ntp.tenant.example",
    ]
    assert [line for line in expected if line not in file.splitlines()] == []
    assert "linekey.4.type" not in file
    process = daemon(site.config).wait_ready()
    assert served(process, f"{MAC}.cfg").splitlines() == file.splitlines()
    fusionpbx.execute("UPDATE v_extensions SET password = 'another' WHERE extension = '101'")
    process.wait_log("directory in service", changed=1)
    assert "account.1.password = another" in served(process, f"{MAC}.cfg")


def test_what_is_disabled_in_fusionpbx_gets_nothing(fusionpbx: FusionPbx) -> None:
    on = fusionpbx.device()
    fusionpbx.line(on, 1, "101")
    fusionpbx.line(on, 2, "102", enabled=False)
    fusionpbx.line(on, 3, "103", enabled=None)
    fusionpbx.line(on, 4, "104", server_address="sip.elsewhere.example")
    off = fusionpbx.device("001565000002", device_enabled=False)
    fusionpbx.line(off, 1, "105")
    index = look(fusionpbx.reader(queries="fusionpbx"))
    assert [(account.key.login, device.line) for account, device in phone(index).lines] == [
        ("101", 1),
        ("103", 3),
    ]
    assert index.phone_of("001565000002") is None
    fusionpbx.execute("UPDATE v_domains SET domain_enabled = false")
    with pytest.raises(Refused):
        look(fusionpbx.reader(queries="fusionpbx"))


def test_flags_that_older_versions_keep_as_text(fusionpbx: FusionPbx) -> None:
    for table, column in (
        ("v_devices", "device_enabled"),
        ("v_device_lines", "enabled"),
        ("v_domains", "domain_enabled"),
    ):
        fusionpbx.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text USING {column}::text")
    fusionpbx.line(fusionpbx.device(device_enabled="true"), 1, "101", enabled="true")
    fusionpbx.line(fusionpbx.device("001565000002", device_enabled="false"), 1, "102", enabled="true")
    index = look(fusionpbx.reader(queries="fusionpbx"))
    assert phone(index).lines[0][0].key.login == "101"
    assert index.phone_of("001565000002") is None


def test_the_names_of_fusionpbx_5_0(
    postgresql: PostgreSql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fusionpbx.yml", "fusionpbx_reader.sql"):
        shutil.copy(READY / name, tmp_path / name)
    commands = re.findall(r"^    (sed .*)$", (READY / "README.rst").read_text(), re.M)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    monkeypatch.setattr(FusionPbx, "schema", "fusionpbx_5_0")
    monkeypatch.setattr(FusionPbx, "reader_file", tmp_path / "fusionpbx_5_0_reader.sql")
    monkeypatch.setattr(FusionPbx, "address", "device_mac_address")
    monkeypatch.setattr(FusionPbx, "function", "name")
    fusionpbx = FusionPbx(postgresql)
    device = fusionpbx.device("00-15-65-00-00-01", device_enabled="true")
    fusionpbx.line(device, 1, "101", enabled="")
    fusionpbx.key(device, 2, "16", "102", "Boris")
    fusionpbx.line(fusionpbx.device("001565000002", device_enabled="false"), 1, "103", enabled="true")
    index = look(fusionpbx.reader(queries=tmp_path / "fusionpbx_5_0.yml"))
    ((account, found),) = phone(index).lines
    assert (account.key.login, found.model) == ("101", "t46s")
    assert found.blf == [
        {"type": "blf", "number": "102", "label": "Boris", "line": "1", "position": "2", "area": "line"}
    ]
    assert index.phone_of("001565000002") is None


def test_one_awkward_row_of_fusionpbx_keeps_no_other_from_its_file(fusionpbx: FusionPbx) -> None:
    good = fusionpbx.device()
    fusionpbx.line(good, 1, "101")
    fusionpbx.line(good, None, "102")
    fusionpbx.key(good, 99_999_999_999, "16", "103")
    fusionpbx.key(good, 3, "16", "104", device_key_line=-1, device_key_category="expansion-x")
    fusionpbx.key(good, 4, "16", "105", device_key_line="NaN", device_key_category="expansion-99999999999")
    fusionpbx.key(good, None, "16", "106", device_key_vendor=None)
    for mac in (None, "", "not a MAC", "00:15:65:00:00:0G", "ф" * 12, "'; DROP TABLE v_devices; --"):
        fusionpbx.line(fusionpbx.device(mac), 1, "201")
    fusionpbx.line(fusionpbx.device("00-15-65-00-00-02"), 1, "bad\\'\"%;\n", password="p\\'\"%;😀" * 999)
    fusionpbx.line(fusionpbx.device("001565000003", device_enabled=None), 1, "301")
    fusionpbx.line(fusionpbx.device("001565000004", domain_uuid=None), 1, "401")
    fusionpbx.line(fusionpbx.device("00.15.65.00.00.05"), 1, None)
    fusionpbx.line(fusionpbx.device("0015-6500-0006", device_vendor=None, device_template=None), 1, "601")
    twins = [fusionpbx.device("00:15:65:0A:00:07"), fusionpbx.device("0015650a0007")]
    for twin, login in zip(twins, ("701", "702"), strict=True):
        fusionpbx.line(twin, 1, login)
    index = look(fusionpbx.reader(queries="fusionpbx"))
    assert next(account.key.login for account, _ in phone(index).lines) == "101"
    assert {str(key["number"]) for key in phone(index).lines[0][1].blf} == {"103", "104", "105", "106"}
    assert phone(index, "001565000006").lines[0][1].model is None
    assert [account.key.login for account, _ in phone(index, "0015650a0007").lines] == ["701", "702"]
    assert [mac for mac in ("03", "04", "05") if index.phone_of(f"0015650000{mac}") is not None] == []


@pytest.mark.parametrize(
    ("template", "model", "ours"),
    [
        ("yealink/t46s", "whatever", "t46s"),
        ("Yealink/T46S", None, "t46s"),
        ("grandstream/gxp16xx", "", "GXP1628"),
        ("grandstream/gxp16xx", "GXP1615", "GXP1615"),
        ("polycom/5.x", None, "VVX400"),
        ("snom/m3", None, "snom m3"),
        ("", "D735", "D735"),
    ],
)
def test_models_follow_templates(fusionpbx: FusionPbx, template: str, model: str | None, ours: str) -> None:
    fusionpbx.line(fusionpbx.device(template=template, device_model=model), 1, "101")
    assert phone(look(fusionpbx.reader(queries="fusionpbx"))).lines[0][1].model == ours


def test_every_family_of_templates_is_a_model_of_the_packs() -> None:
    queries = yaml.safe_load((READY / "fusionpbx.yml").read_text())
    families = re.findall(r"\('[a-z0-9]+/[a-z0-9.-]+', '([^']+)'\)", queries["devices"])
    storage = Store(ROOT, "demo").scan()
    assert storage is not None
    assert len(families) > 25
    unknown = [model for model in families if model not in storage.models]
    assert unknown == ["snom m3"]  # it has no pack, and must not be taken for another vendor's M3


def test_keys_of_a_profile_and_of_the_phone(fusionpbx: FusionPbx) -> None:
    profile = fusionpbx.add("v_device_profiles", device_profile_uuid=..., device_profile_name="all")
    device = fusionpbx.device(device_profile_uuid=profile)
    fusionpbx.line(device, 1, "101", display_name="Anna")
    for place, value in ((2, "201"), (3, "202")):
        fusionpbx.add(
            "v_device_profile_keys",
            device_profile_key_uuid=...,
            device_profile_uuid=profile,
            profile_key_id=place,
            profile_key_category="line",
            profile_key_vendor="yealink",
            profile_key_type="16",
            profile_key_value=value,
            profile_key_line=1,
        )
    fusionpbx.key(device, 3, "10", "*5900@${domain_name}", "of ${display_name}")
    fusionpbx.key(device, 4, "16", "999", device_key_vendor="snom")
    fusionpbx.key(device, 1, "16", "203")
    fusionpbx.key(device, 7, "odd", "1")
    ((_, device_read),) = phone(look(fusionpbx.reader(queries="fusionpbx"))).lines
    assert device_read.blf == [
        {"type": "blf", "number": "203", "line": "1"},
        {"type": "blf", "number": "201", "line": "1", "position": "2", "area": "line"},
        {
            "type": "park",
            "number": "*5900@tenant.example.com",
            "label": "of Anna",
            "line": "1",
            "position": "3",
            "area": "line",
        },
        {"type": "odd", "number": "1", "line": "1", "position": "7", "area": "line"},
    ]


def test_keys_of_cisco_and_grandstream(fusionpbx: FusionPbx) -> None:
    fusionpbx.vendor("cisco", blf="blf", disabled="disabled", line="line")
    fusionpbx.vendor("grandstream", speed_dial="speed dial", blf="blf")
    cisco = fusionpbx.device("001565000002", "cisco/spa504g")
    fusionpbx.line(cisco, 1, "101")
    fusionpbx.key(cisco, 2, "disabled", "fnc=blf+sd+cp;sub=103@$PROXY;nme=Clara", device_key_vendor="cisco")
    grand = fusionpbx.device("001565000003", "grandstream/gxp2160")
    fusionpbx.line(grand, 1, "102")
    fusionpbx.key(
        grand, 1, "speed dial", "0305551", device_key_vendor="grandstream", device_key_category="memory"
    )
    index = look(fusionpbx.reader(queries="fusionpbx"))
    assert phone(index, "001565000002").lines[0][1].blf == [{"type": "blf", "number": "103", "line": "1"}]
    assert phone(index, "001565000003").lines[0][1].blf == [
        {"type": "speed_dial", "number": "0305551", "line": "1", "position": "1", "area": "multi"}
    ]


def test_a_phone_that_stands_in_for_another_has_its_lines_and_keys(fusionpbx: FusionPbx) -> None:
    desk = fusionpbx.device("001565000009", device_label="Desk")
    fusionpbx.line(desk, 1, "101")
    fusionpbx.key(desk, 2, "16", "103")
    fusionpbx.device(MAC, "yealink/t48s", device_uuid_alternate=desk)
    ((account, device),) = phone(look(fusionpbx.reader(queries="fusionpbx"))).lines
    assert (account.key.login, device.model, device.fields["label"]) == ("101", "t46s", "Desk")
    assert isinstance(device.blf, list)
    assert device.blf[0]["number"] == "103"


def test_settings_of_profile_phone_and_domain(fusionpbx: FusionPbx) -> None:
    profile = fusionpbx.add("v_device_profiles", device_profile_uuid=..., device_profile_name="all")
    device = fusionpbx.device(device_profile_uuid=profile)
    fusionpbx.line(
        device, 1, "101", sip_transport="TLS", sip_port=5061, outbound_proxy_primary="proxy.example.com"
    )
    for name, value in (("a", "profile"), ("b", "profile")):
        fusionpbx.add(
            "v_device_profile_settings",
            device_profile_setting_uuid=...,
            device_profile_uuid=profile,
            profile_setting_name=name,
            profile_setting_value=value,
            profile_setting_enabled=True,
        )
    fusionpbx.add(
        "v_device_settings",
        device_setting_uuid=...,
        device_uuid=device,
        device_setting_subcategory="b",
        device_setting_value="phone",
        device_setting_enabled=True,
    )
    fusionpbx.setting("provision", "stun_port", "3478")
    fusionpbx.setting("email", "smtp_password", "not for us")
    fusionpbx.domain_setting("domain", "time_zone", "Europe/Berlin")
    index = look(fusionpbx.reader(queries="fusionpbx"))
    account = phone(index).lines[0][0]
    assert account.fields["ext"] == {
        "settings": {"a": "profile", "b": "phone"},
        "sip_transport": "tls",
        "sip_port": "5061",
        "outbound_proxy": "proxy.example.com",
    }
    domain = index.domain(DOMAIN)
    assert domain is not None
    assert domain.constants == {"timezone": "Europe/Berlin", "provision.stun_port": "3478"}


def test_all_of_fusionpbx_moves_into_files_and_phones_get_the_same(
    fusionpbx: FusionPbx, site: Site, tmp_path: Path
) -> None:
    device = fusionpbx.device(device_label="Reception")
    fusionpbx.line(device, 1, "101", display_name="Anna")
    fusionpbx.line(device, 2, "102")
    fusionpbx.key(device, 3, "16", "103", "Clara")
    fusionpbx.line(fusionpbx.device("0004130000aa", "snom/d735"), 1, "a/b")
    fusionpbx.domain_setting("provision", "ntp_server_primary", "ntp.tenant.example")
    site_of(site, fusionpbx.reader(), queries="fusionpbx")
    file = era_ap(site, "render", MAC, f"{MAC}.cfg")
    table = era_ap(site, "directory", "csv", "export")
    assert table.splitlines()[1] == f"00:15:65:00:00:01,t46s,101,{DOMAIN},1,Reception,Anna"
    result = CliRunner().invoke(main, ["directory", "export", str(tmp_path / "git"), "-c", str(site.config)])
    assert result.exit_code == 1
    assert f"a/b@{DOMAIN}: the login cannot be the name of a file" in result.output
    assert "2 added" in result.output
    site.configure(site="demo", storage=str(ROOT), directory=f"yaml:{tmp_path / 'git'}")
    assert era_ap(site, "render", MAC, f"{MAC}.cfg") == file


def test_a_foreign_database_is_not_edited(fusionpbx: FusionPbx, site: Site, tmp_path: Path) -> None:
    site_of(site, fusionpbx.reader(), queries="fusionpbx")
    for words in (("import", str(tmp_path)), ("csv", "import", "-"), ("upgrade",)):
        result = CliRunner().invoke(main, ["directory", *words, "-c", str(site.config)])
        assert result.exit_code == 2
        assert "no source can be edited" in result.output


def test_the_reader_of_fusionpbx_may_do_nothing_else(fusionpbx: FusionPbx) -> None:
    statements = (
        "SELECT default_setting_value FROM v_default_settings",
        "SELECT domain_setting_value FROM v_domain_settings",
        "SELECT device_password FROM v_devices",
        "SELECT user_record FROM v_extensions",
        "UPDATE v_devices SET device_label = 'x'",
        "SET TRANSACTION READ WRITE; DELETE FROM v_device_lines",
        "CREATE TABLE mine (x integer)",
    )
    assert refused(fusionpbx.reader(), fusionpbx, *statements) == list(statements)


# --- Asterisk and Kamailio


class Asterisk(Pbx):
    def __init__(self, server: Server, schema: str = "asterisk") -> None:
        super().__init__(server, schema)
        self.run_file("phones.sql")
        self.name = "asterisk_mariadb" if isinstance(server, MariaDb) else "asterisk_postgresql"
        self.run_file(f"{self.name}_reader.sql")

    def endpoint(self, number: str, password: str | None, callerid: str | None, **values: object) -> None:
        self.add("ps_auths", id=f"auth{number}", auth_type="userpass", username=number, password=password)
        self.add("ps_aors", id=number, max_contacts=1, mailboxes=f"{number}@default")
        given = {"callerid": callerid, "auth": f"auth{number}", "aors": number, "allow_transfer": "yes"}
        self.add("ps_endpoints", id=number, **(given | values))

    @property
    def source(self) -> dict[str, object]:
        return {"queries": self.name, "parameters": {"domain": "pbx.example.com"}}

    def settings(self) -> SqlDatabase:
        return self.reader(queries=self.name, parameters=(("domain", "pbx.example.com"),))


class Kamailio(Pbx):
    def __init__(self, server: Server, schema: str = "kamailio") -> None:
        super().__init__(server, schema)
        self.run_file("phones.sql")
        self.name = "kamailio_mariadb" if isinstance(server, MariaDb) else "kamailio_postgresql"
        self.run_file(f"{self.name}_reader.sql")

    def settings(self) -> SqlDatabase:
        return self.reader(queries=self.name)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def asterisk(server: Server) -> Asterisk:
    return Asterisk(server)


@pytest.fixture
def kamailio(server: Server) -> Kamailio:
    return Kamailio(server)


def test_a_snom_of_asterisk_gets_its_file(
    asterisk: Asterisk, site: Site, daemon: Callable[..., Process]
) -> None:
    asterisk.endpoint("101", "s3cret-101", '"Anna Ivanova" <101>')
    asterisk.endpoint("102", "s3cret-102", None)
    asterisk.endpoint("trunk", "not ours", "Trunk <0>")
    mac = "00:04:13:00:00:01"
    asterisk.add("era_ap_phones", mac=mac, login="101", model="D735", label="Desk")
    asterisk.add("era_ap_phones", mac=mac, line=2, login="102", model="D735", name="Second")
    asterisk.add("era_ap_keys", mac=mac, place=1, number="103", label="Clara")
    asterisk.add("era_ap_keys", mac=mac, place=2, type="speeddial", number="0305551", line=2, position=9)
    site_of(site, asterisk.reader(), **asterisk.source)
    file = era_ap(site, "render", mac, "snomD735-000413000001.xml")
    for expected in (
        '<user_name idx="1" perm="R">101</user_name>',
        '<user_pass idx="1" perm="R">s3cret-101</user_pass>',
        '<user_realname idx="1" perm="R">Anna Ivanova</user_realname>',
        '<user_host idx="1" perm="R">pbx.example.com</user_host>',
        '<user_name idx="2" perm="R">102</user_name>',
        '<user_realname idx="2" perm="R">Second</user_realname>',
        "blf 103|**",
        "speed 0305551",
    ):
        assert expected in file, file
    assert "not ours" not in json.dumps(era_ap(site, "phones", "--json"))
    process = daemon(site.config).wait_ready()
    assert served(process, "snomD735-000413000001.xml").splitlines() == file.splitlines()
    asterisk.execute("UPDATE ps_auths SET password = 'another' WHERE id = 'auth101'")
    process.wait_log("directory in service", changed=1)
    assert ">another<" in served(process, "snomD735-000413000001.xml")


def test_caller_ids_of_asterisk_as_names(asterisk: Asterisk) -> None:
    written = {
        "101": ('"Anna Ivanova" <101>', "Anna Ivanova"),
        "102": ("Boris <102>", "Boris"),
        "103": ("<103>", "103"),
        "104": ("Clara", "Clara"),
        "105": (None, "105"),
        "106": ("", "106"),
        "107": ('"Дом" <107>', "Дом"),
    }
    for place, (login, (callerid, _)) in enumerate(written.items()):
        asterisk.endpoint(login, "p", callerid)
        asterisk.add("era_ap_phones", mac=f"0015650000{place:02}", login=login, model="T46S")
    index = look(asterisk.settings())
    for place, (login, (_, name)) in enumerate(written.items()):
        ((account, _),) = phone(index, f"0015650000{place:02}").lines
        assert (account.key.login, account.fields["name"]) == (login, name)
        assert account.fields["mailbox"] == f"{login}@default"


def test_an_endpoint_without_a_password_has_none(asterisk: Asterisk, site: Site) -> None:
    asterisk.endpoint("101", None, None)
    asterisk.add("era_ap_phones", mac=MAC, login="101", model="T46S")
    assert "password" not in phone(look(asterisk.settings())).lines[0][0].fields
    site_of(site, asterisk.reader(), **asterisk.source)
    result = CliRunner().invoke(main, ["render", MAC, f"{MAC}.cfg", "-c", str(site.config)])
    assert result.exit_code == 1
    assert "required-missing" in result.output


def test_a_yealink_of_kamailio_gets_its_file(
    kamailio: Kamailio, site: Site, daemon: Callable[..., Process]
) -> None:
    for name, user, password in (
        ("Tenant.example.com", "101", "s3cret"),
        ("other.example.com", "101", "foreign"),
    ):
        kamailio.add("subscriber", username=user, domain=name, password=password, ha1="x", ha1b="y")
    kamailio.add("era_ap_phones", mac=MAC, domain=DOMAIN, login="101", model="T46S", name="Anna")
    kamailio.add("era_ap_keys", mac=MAC, place=1, number="102")
    site_of(site, kamailio.reader(), queries=kamailio.name)
    file = era_ap(site, "render", MAC, f"{MAC}.cfg")
    for expected in (
        "account.1.user_name = 101",
        "account.1.password = s3cret",
        "account.1.display_name = Anna",
        "account.1.sip_server.1.address = tenant.example.com",
        "linekey.2.value = 102",
    ):
        assert expected in file.splitlines()
    process = daemon(site.config).wait_ready()
    assert served(process, f"{MAC}.cfg").splitlines() == file.splitlines()


def test_accounts_that_exchange_their_passwords_are_news(kamailio: Kamailio) -> None:
    """Sums of CRC-32 are the same for one such exchange in a thousand; this is one of them."""
    passwords = {"101": "48c0fbe9", "102": "204ea404"}
    for login, password in passwords.items():
        kamailio.add("subscriber", username=login, domain=DOMAIN, password=password)
    changed = yaml.safe_load((READY / f"{kamailio.name}.yml").read_text())["changed"]
    before = kamailio.execute(changed)
    for login, other in (("101", "102"), ("102", "101")):
        kamailio.execute(f"UPDATE subscriber SET password = '{passwords[other]}' WHERE username = '{login}'")
    assert kamailio.execute(changed) != before


def test_a_subscriber_with_an_ha1_only_has_no_password(kamailio: Kamailio) -> None:
    kamailio.add("subscriber", username="101", domain=DOMAIN, password="", ha1="0123")
    kamailio.add("era_ap_phones", mac=MAC, domain=DOMAIN, login="101", model="T46S")
    assert "password" not in phone(look(kamailio.settings())).lines[0][0].fields


def test_a_phone_in_two_domains_of_kamailio_is_a_conflict(kamailio: Kamailio) -> None:
    for line, name in ((1, DOMAIN), (2, "other.example.com")):
        kamailio.add("subscriber", username="101", domain=name, password="x")
        kamailio.add("era_ap_phones", mac=MAC, line=line, domain=name, login="101", model="T46S")
    assert isinstance(look(kamailio.settings()).phone_of(MAC), Conflict)


def test_tables_of_asterisk_12(server: Server) -> None:
    asterisk = Asterisk(server, "asterisk_12")
    asterisk.endpoint("101", "p", "Anna <101>")
    asterisk.add("era_ap_phones", mac=MAC, login="101", model="T46S")
    ((account, _),) = phone(look(asterisk.settings())).lines
    assert (account.fields["name"], account.fields["password"]) == ("Anna", "p")


def test_tables_of_kamailio_4(server: Server) -> None:
    kamailio = Kamailio(server, "kamailio_4")
    kamailio.add("subscriber", username="101", domain=DOMAIN, password="p")
    kamailio.add("era_ap_phones", mac=MAC, domain=DOMAIN, login="101", model="T46S")
    ((account, _),) = phone(look(kamailio.settings())).lines
    assert account.fields["password"] == "p"


def test_awkward_rows_of_asterisk(asterisk: Asterisk) -> None:
    asterisk.endpoint("101", "p1", None, auth="auth101, auth102", aors="101,102", mailboxes=None)
    asterisk.endpoint("102", None, None)  # auth_type md5: there is no password
    asterisk.endpoint("103", "p3", "\\'\"%;<😀", auth=None, aors=None)
    asterisk.endpoint("104", "p\\'\"%;😀", "<>")
    asterisk.add("era_ap_phones", mac="00:15:65:00:00:01", login="101", model="T46S")
    asterisk.add("era_ap_phones", mac="00-15-65-00-00-01", line=2, login="102", model="T46S")
    asterisk.add("era_ap_phones", mac="00156500000A", login="103", model="T46S")
    asterisk.add("era_ap_phones", mac="0015.6500.000a", line=2, login="104", model="'; DROP TABLE x; --")
    asterisk.add("era_ap_phones", mac="0000.0000.0000", login="104", model="T46S")
    asterisk.add("era_ap_phones", mac="nothing", login="104", model="T46S")
    asterisk.add("era_ap_phones", mac="001565000009", login="nobody", model="T46S")
    asterisk.add("era_ap_keys", mac="no phone's", place=1)
    index = look(asterisk.settings())
    first, second = (account.fields for account, _ in phone(index).lines)
    assert (first["password"], first["mailbox"]) == ("p1", "101@default")
    assert "password" not in second
    first, second = (account.fields for account, _ in phone(index, "00156500000a").lines)
    assert "password" not in first
    assert (second["password"], second["name"]) == ("p\\'\"%;😀", "104")
    assert index.phone_of("001565000009") is None
    assert any("nobody" in problem.detail for problem in index.problems)


def test_awkward_rows_of_kamailio(kamailio: Kamailio) -> None:
    kamailio.add("subscriber", username="101", domain="", password="x")
    kamailio.add("subscriber", username="102", domain=DOMAIN.upper(), password="\\'\"%;😀")
    kamailio.add("subscriber", username="", domain=DOMAIN, password="x")
    for line, (name, login) in enumerate([("", "101"), (DOMAIN, "102"), (DOMAIN, "")], 1):
        kamailio.add("era_ap_phones", mac=MAC.upper(), line=line, domain=name, login=login, model="T46S")
    index = look(kamailio.settings())
    ((account, device),) = phone(index).lines
    assert (account.key.login, account.fields["password"], device.line) == ("102", "\\'\"%;😀", 2)
    assert index.problems != ()


def test_tables_that_compare_text_differently_are_told(mariadb: MariaDb) -> None:
    kamailio = Kamailio(mariadb)
    kamailio.add("subscriber", username="101", domain=DOMAIN, password="p")
    kamailio.add("era_ap_phones", mac=MAC, domain=DOMAIN, login="101", model="T46S")
    kamailio.execute("ALTER TABLE subscriber CONVERT TO CHARACTER SET latin1")
    phone(look(kamailio.settings()))
    change = "ALTER TABLE {} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    kamailio.execute(change.format("subscriber"))
    with pytest.raises(Refused, match="Illegal mix of collations"):
        look(kamailio.settings())
    advised = re.findall(r"^    (ALTER TABLE .*);$", (READY / "README.rst").read_text(), re.M)
    assert advised == [change.format("era_ap_phones"), change.format("era_ap_keys")]
    kamailio.execute(*advised)
    phone(look(kamailio.settings()))


def test_a_view_stands_in_for_the_table_of_phones(server: Server) -> None:
    asterisk = Pbx(server, "asterisk")
    asterisk.execute(
        "CREATE TABLE inventory (serial varchar(20), endpoint varchar(40), kind varchar(20))",
        "CREATE VIEW era_ap_phones AS SELECT serial AS mac, 1 AS line, '' AS domain, endpoint AS login,"
        " kind AS model, NULL AS name, NULL AS label FROM inventory",
        "CREATE VIEW era_ap_keys AS SELECT serial AS mac, 1 AS place, NULL AS type, '500' AS number,"
        " NULL AS label, NULL AS pickup, NULL AS line, NULL AS position, NULL AS module FROM inventory",
    )
    name = "asterisk_mariadb" if isinstance(server, MariaDb) else "asterisk_postgresql"
    asterisk.run_file(f"{name}_reader.sql")
    asterisk.add("ps_endpoints", id="101", auth="a", aors="101")
    asterisk.add("ps_auths", id="a", username="101-auth", password="p")
    asterisk.add("inventory", serial="0015.6500.0001", endpoint="101", kind="T46S")
    settings = asterisk.reader(queries=name, parameters=(("domain", "pbx.example.com"),))
    ((account, device),) = phone(look(settings)).lines
    assert account.fields["auth_id"] == "101-auth"
    assert (device.model, device.blf) == ("T46S", [{"number": "500"}])


def test_the_readers_of_asterisk_and_kamailio_may_do_nothing_else(
    asterisk: Asterisk, kamailio: Kamailio
) -> None:
    statements = (
        "SELECT context FROM ps_endpoints",
        "SELECT oauth_secret FROM ps_auths",
        "UPDATE ps_auths SET password = 'x'",
        "DELETE FROM era_ap_phones",
        "INSERT INTO era_ap_phones (mac, login, model) VALUES ('1', '1', '1')",
    )
    assert refused(asterisk.reader(), asterisk, *statements) == list(statements)
    statements = (
        "SELECT ha1 FROM subscriber",
        "UPDATE subscriber SET password = 'x'",
        "SELECT domain FROM domain",
    )
    assert refused(kamailio.reader(), kamailio, *statements) == list(statements)


def test_queries_for_both_kinds_of_server_say_the_same() -> None:
    for system in ("asterisk", "kamailio"):
        one, other = (
            yaml.safe_load((READY / f"{system}_{kind}.yml").read_text()) for kind in ("postgresql", "mariadb")
        )
        assert one.pop("changed") != other.pop("changed")
        assert one == other
