"""``era-ap check``, ``phones`` and ``phone``: what an operator reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from era_ap.cli import main
from tests.conftest import MAC, Site


def run(site: Site, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*words, "-c", str(site.config)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def test_check_of_a_good_site_says_what_it_looked_at(site: Site) -> None:
    code, output = run(site, "check")
    assert code == 0, output
    assert output.splitlines()[-1] == "lab: 1 phones, 0 errors, 0 warnings"


def test_check_reports_all_findings_at_once(site: Site) -> None:
    site.phone("102", "001565000002", model="T99")
    site.account("103", password="", opts={"ap_devices": {"mac": "001565000003", "device_model": "T46S"}})
    site.phone("104", "not a mac")
    site.template("bad.cfg", "[sipuser.login\n")
    site.domain("example.com", ap_options={"masks": ["*"]})
    code, output = run(site, "check", "--json")
    assert code == 1
    found = {problem["reason"] for problem in json.loads(output)["problems"]}
    assert {
        "template-missing",
        "required-missing",
        "device-invalid",
        "template-syntax",
        "mask-invalid",
    } <= found


def test_check_of_an_unusable_configuration_exits_2_with_every_problem(site: Site) -> None:
    site.configure(sitte="x", master_domain="", storage=None)
    code, output = run(site, "check")
    assert code == 2
    assert "did you mean" in output or "site" in output
    assert len(output.splitlines()) >= 2


def test_check_of_a_storage_that_is_not_there_names_it_once(site: Site) -> None:
    site.configure(storage="nowhere")
    code, output = run(site, "check")
    assert code == 1
    (line,) = (line for line in output.splitlines() if "storage-unavailable" in line)
    assert line.count(str(site.root / "nowhere")) == 1


def test_check_of_the_configuration_alone_needs_nothing_else(site: Site) -> None:
    site.configure(storage="nowhere", directory="yaml:nowhere", zookeeper="zk.invalid:2181")
    code, output = run(site, "check", "--config-only", "--role", "ap1")
    assert (code, output) == (0, "lab: 0 errors, 0 warnings\n")


def test_check_of_the_configuration_alone_finds_what_keeps_the_daemon_from_starting(site: Site) -> None:
    assert run(site, "check", "--config-only", "--role", "ap9")[0] == 2
    site.ext["key_file"] = "nowhere.key"
    site.configure()
    code, output = run(site, "check", "--config-only", "--json")
    assert code == 1
    assert [problem["reason"] for problem in json.loads(output)["problems"]] == ["key-file"]
    site.configure(sitte="x")
    assert run(site, "check", "--config-only")[0] == 2


def test_check_looks_at_the_folder_for_uploads(site: Site) -> None:
    site.ext["uploads"] = "sink"
    site.configure()
    code, output = run(site, "check")
    assert code == 0
    assert f"ext.uploads: {site.root / 'sink'}: no such folder [upload-sink]" in output
    (site.root / "sink").mkdir()
    assert "uploads" not in run(site, "check")[1]


def test_phones_lists_the_directory_and_conflicts(site: Site) -> None:
    site.phone("201", "001565000002", domain="a.example.com")
    site.phone("202", "001565000002", domain="b.example.com")
    code, output = run(site, "phones", "--json")
    assert code == 0
    states = {phone["mac"]: phone["state"] for phone in json.loads(output)["phones"]}
    assert states == {MAC: "known", "001565000002": "conflict"}
    code, output = run(site, "phones", "--domain", "b.example.com")
    assert "001565000002" in output
    assert MAC not in output


def test_phones_shows_when_each_last_asked(site: Site) -> None:
    site.ext["journal"] = "journal.log"
    site.configure()
    lines = [json.dumps({"at": at, "mac": MAC, "reason": "rendered"}) for at in (1.0, 2.0)]
    (site.root / "journal.log").write_text("\n".join([*lines, '{"at": 3.0, "ma']))
    _, output = run(site, "phones", "--json")
    assert json.loads(output)["phones"][0]["last"] == 2.0


def test_phones_reads_the_older_parts_of_the_journal_too(site: Site) -> None:
    site.ext["journal"] = "journal.log"
    site.configure()
    site.phone("102", "001565000002")
    for part, at, mac in (
        ("journal.log.4", 1.0, MAC),
        ("journal.log.1", 2.0, MAC),
        ("journal.log", 3.0, "001565000002"),
    ):
        (site.root / part).write_text(json.dumps({"at": at, "mac": mac, "reason": "rendered"}) + "\n")
    _, output = run(site, "phones", "--json")
    last = {row["mac"]: row.get("last") for row in json.loads(output)["phones"]}
    assert last == {MAC: 2.0, "001565000002": 3.0}


def test_phones_shows_who_looked_for_a_server_and_then_asked_otherwise(site: Site) -> None:
    site.ext["journal"] = "journal.log"
    site.configure()
    unknown = {"mac": "0c383e000001", "reason": "mac-unknown"}
    records = (
        {"at": 1.0, **unknown, "transport": "pnp", "model": "X4", "peer": "192.0.2.7", "detail": "fanvil X4"},
        {"at": 2.0, **unknown, "transport": "tftp", "peer": "192.0.2.7"},
        {"at": 3.0, "mac": "0c383e000002", "reason": "mac-unknown", "transport": "tftp"},
    )
    (site.root / "journal.log").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    _, output = run(site, "phones", "--json")
    (row,) = [row for row in json.loads(output)["phones"] if row["state"] == "discovered"]
    assert (row["mac"], row["model"], row["detail"], row["last"]) == ("0c383e000001", "X4", "fanvil X4", 2.0)


def test_phones_without_its_journal_says_so_and_lists_the_rest(site: Site) -> None:
    site.ext["journal"] = "journal.log"
    site.configure()
    (site.root / "journal.log").mkdir()
    code, output = run(site, "phones")
    assert code == 0
    assert "the journal cannot be read: " in output
    assert MAC in output


def test_phones_shows_people_a_time(site: Site) -> None:
    site.ext["journal"] = "journal.log"
    site.configure()
    (site.root / "journal.log").write_text(
        json.dumps({"at": 1_800_000_000.5, "mac": MAC, "reason": "rendered"})
    )
    _, output = run(site, "phones")
    assert "2027-01-1" in output.splitlines()[1]


def test_render_as_json_loses_no_byte(site: Site) -> None:
    site.static("logo.bin", b"\xff\x00\n")
    _, output = run(site, "render", MAC, "logo.bin", "--json")
    assert json.loads(output)["content_base64"] == "/wAK"
    _, output = run(site, "render", MAC, f"{MAC}.cfg", "--json")
    assert json.loads(output)["content"].startswith("user = 101")


def test_explain_tells_what_concerns_the_phone_first_and_not_everything(site: Site) -> None:
    for number in range(30):
        site.phone(f"2{number:02}", "no mac at all")
    site.phone("101", MAC, line="first", model="T99X")
    code, output = run(site, "explain", MAC, f"{MAC}.cfg")
    assert code == 1
    findings = [line for line in output.splitlines() if line.startswith(("  error", "  warning"))]
    assert "line is 'first'" in findings[0]
    assert len(findings) == 10
    assert output.splitlines()[-1] == "  and 21 more findings; era-ap check shows all"
    _, output = run(site, "explain", MAC, f"{MAC}.cfg", "--json")
    assert len(json.loads(output)["related"]) == 31


def test_explain_of_a_conflict_names_both_accounts(site: Site) -> None:
    site.phone("201", MAC, domain="b.example.com")
    _, output = run(site, "explain", MAC, f"{MAC}.cfg")
    assert "  account    101@a.example.com" in output.splitlines()
    assert "  account    201@b.example.com" in output.splitlines()


def test_phone_without_a_server_says_so() -> None:
    result = CliRunner().invoke(main, ["phone", MAC, "--port", "1", "--timeout", "0.5", "--json"])
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]


def test_phone_with_an_option_it_cannot_ask_for_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["phone", MAC, "--option", "blksize=big"])
    assert result.exit_code == 2
    assert "blksize=1428" in result.output


def test_check_tells_about_keys_and_certificates_that_the_daemon_would_not_start_with(site: Site) -> None:
    site.ext |= {"key_file": "no.key", "https_port": 0, "tls_cert": "no.pem", "tls_key": "no.pem"}
    site.configure()
    code, output = run(site, "check", "--json")
    assert code == 1
    assert {"key-file", "tls-files"} <= {problem["reason"] for problem in json.loads(output)["problems"]}


def test_explain_knows_where_a_mac_is_enough(site: Site) -> None:
    site.ext |= {"allow": ["0.0.0.0/0"], "http_auth": "digest"}
    site.configure()

    def reason(*options: str) -> str:
        _, output = run(site, "explain", MAC, f"{MAC}.cfg", "--json", *options)
        return str(json.loads(output)["reason"])

    assert reason("--from", "192.168.1.7") == "rendered"
    assert reason("--from", "203.0.113.7") == "mac-not-enough"
    assert reason("--from", "203.0.113.7", "--transport", "http") == "credentials-needed"


def test_render_and_explain_know_the_address_that_a_phone_of_the_interface_asks(site: Site) -> None:
    site.template("T46S.cfg", "url = tftp://[constants.server.addr]/\n")
    code, output = run(site, "render", MAC, f"{MAC}.cfg")
    assert (code, output) == (0, "url = tftp://127.0.0.1/\n")
    _, output = run(site, "explain", MAC, f"{MAC}.cfg")
    assert "'127.0.0.1'" in output


def test_a_file_that_cannot_be_written_is_one_line(site: Site) -> None:
    into = site.root / "site.yml" / "file"
    commands = (
        ["render", MAC, f"{MAC}.cfg", "-o", str(into), "-c", str(site.config)],
        ["phone", MAC, "--host", "127.0.0.1", "--port", "1", "--timeout", "0.1", "--save", str(into)],
    )
    for command in commands:
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2
        assert result.stderr == f"Error: {into}: Not a directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_takes_is_one_line(site: Site, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "era_ap", "check", "-c", str(site.config)]
        environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environ
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
