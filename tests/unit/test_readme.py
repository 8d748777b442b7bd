"""The README's examples, taken from the README and tried."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from era_ap import config
from era_ap.cli import main
from era_ap.errors import Reason
from tests.conftest import MAC, Site

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()


def block_after(words: str, number: int = 0, text: str = README) -> str:
    """The ``number``-th literal block after ``words``, without its indentation."""
    blocks = re.findall(r"::\n\n((?:[ ]{4,}.*\n|\n)+)", text[text.index(words) :])
    lines = blocks[number].rstrip("\n").split("\n")
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines) + "\n"


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """The site of the first phone, made as the README says, step by step."""
    storage, directory = tmp_path / "storage", tmp_path / "directory"
    (storage / "constants").mkdir(parents=True)
    (storage / "configs").mkdir()
    shutil.copytree(ROOT / "templates", storage / "templates")
    shutil.copy(ROOT / "constants/demo.cfg", storage / "constants/office.cfg")
    (tmp_path / "site.yml").write_text(block_after("Make a folder for the site"))
    write(directory / "example.com/domain.yml", block_after("Write the master domain"))
    write(directory / "a.example.com/sipusers/101.yml", block_after("Write the master domain", 1))
    return tmp_path / "site.yml"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(config: Path, *words: str) -> str:
    done = CliRunner().invoke(main, [*words, "-c", str(config)])
    assert done.exit_code == 0, done.output
    return done.stdout_bytes.decode()


def test_the_first_phone_gets_its_file(office: Path) -> None:
    assert run(office, "check") == "office: 1 phones, 0 errors, 0 warnings\n"
    text = run(office, "render", MAC, f"{MAC}.cfg")
    assert "account.1.display_name = Anna Ivanova\n" in text
    assert "account.1.password = correct horse battery staple\n" in text
    assert "192.0.2.10" in text
    assert config.load(office).ap("ap1").tftp_port == 69


def test_the_masks_do_what_they_say(office: Path) -> None:
    write(office.parent / "directory/example.com/domain.yml", block_after("A mask is a file name"))
    for name, mask in ((f"phone-{MAC}.cfg", "phone-[mac].cfg"), (f"{MAC}.boot", "[mac].boot, type boot")):
        assert f"{mask} (mask " in run(office, "explain", MAC, name)
    told = run(office, "explain", MAC, "yabc.cfg")
    assert told.startswith("yabc.cfg: common\n")
    assert "template   yealink/common.cfg" in told


def test_the_keys_become_what_the_readme_says(office: Path) -> None:
    keys = yaml.safe_load(block_after("lists its keys"))
    account = yaml.safe_load(block_after("Write the master domain", 1))
    account["opts"]["ap_devices"][0] |= keys
    write(office.parent / "directory/a.example.com/sipusers/101.yml", yaml.safe_dump(account))
    assert block_after("lists its keys", 1) in run(office, "render", MAC, f"{MAC}.cfg")


def test_the_account_without_registration_is_one(office: Path) -> None:
    text = block_after("does not register")
    write(office.parent / "directory/a.example.com/sipusers/105.yml", text)
    assert run(office, "check") == "office: 1 phones, 0 errors, 0 warnings\n"
    write(office.parent / "directory/a.example.com/sipusers/105.yml", text.replace('"*"', "*"))
    done = CliRunner().invoke(main, ["check", "-c", str(office)])
    assert done.exit_code == 1
    assert "a value that begins with * needs quotes" in done.output


def test_each_reason_of_the_troubleshooting_table_is_one() -> None:
    table = README[README.index("\nTroubleshooting\n") : README.index("\nDevelopment\n")]
    named = re.findall(r"^``([a-z-]+)``", table, re.M)
    assert named
    assert set(named) <= {reason.code for reason in Reason}


def test_every_benchmark_is_named() -> None:
    development = README[README.index("\nDevelopment\n") :]
    for name in re.findall(r"``([a-z_]+)``", development.partition("NAME")[2]):
        folder = ROOT / "tests/benchmarks"
        assert (folder / f"{name}.py").exists() or (folder / name).is_dir(), name


def test_the_table_of_the_migration_is_taken_in(office: Path) -> None:
    guide = (ROOT / "deploy/migration.rst").read_text()
    (office.parent / "phones.csv").write_text(block_after("Write the phones as a table", text=guide))
    (command,) = re.findall(r"``era-ap (directory csv import [^`]+) --dry-run``", guide)
    words = command.replace("phones.csv", str(office.parent / "phones.csv")).split()
    (office.parent / "directory/a.example.com/sipusers/101.yml").unlink()
    run(office, *words)
    assert "account.1.password = correct horse\n" in run(office, "render", MAC, f"{MAC}.cfg")


def test_the_template_gives_what_the_readme_says(site: Site) -> None:
    template, blf, result = (block_after("Any other brackets are literal text", n) for n in range(3))
    site.template("T46S.cfg", template)
    site.template("T46S.blf", blf)
    site.constants("proxy = sip.[constants.domain]\nwhich = desk\n")
    site.account(
        "101",
        name="Bob & [include.secret]",
        ext={"desk": {"pin": "4711"}},
        opts={
            "ap_devices": {
                "mac": MAC,
                "device_model": "T46S",
                "blf": [{"number": "102", "label": "Boris"}, "103"],
            }
        },
    )
    rendered = CliRunner().invoke(main, ["render", MAC, f"{MAC}.cfg", "-c", str(site.config)])
    assert rendered.stdout_bytes.decode() == result


def test_the_overrides_are_yaml_and_do_what_they_say(site: Site) -> None:
    for_text, for_xml = yaml.safe_load_all(block_after("corrects the filled file of one phone"))
    site.template("T46S.cfg", "account.1.label = x\nfeatures.dnd = 1\n[ VOIP ]\nnumber = 100\n")
    site.phone("101", MAC, **for_text)
    rendered = CliRunner().invoke(main, ["render", MAC, f"{MAC}.cfg", "-c", str(site.config)])
    assert rendered.stdout_bytes == b"account.1.label = Reception\n[ VOIP ]\nnumber = 101\n"
    site.template("T46S.cfg", "<settings><phone-settings/><reg/></settings>\n")
    site.phone("101", MAC, **for_xml)
    rendered = CliRunner().invoke(main, ["render", MAC, f"{MAC}.cfg", "-c", str(site.config)])
    assert b"<language>Deutsch</language>" in rendered.stdout_bytes
    assert b'reg.1.address="101"' in rendered.stdout_bytes


def test_every_command_is_in_the_readme_and_every_one_in_it_exists() -> None:
    named = set(re.findall(r"``era-ap (\w+)", README))
    assert named == set(main.commands)


def test_reasons_lists_every_code() -> None:
    output = CliRunner().invoke(main, ["reasons"]).output
    assert [line.split()[0] for line in output.splitlines()] == [reason.code for reason in Reason]
