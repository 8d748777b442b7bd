"""The README's examples, taken from the README and tried."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from era_ap import config
from era_ap.cli import main
from era_ap.errors import Reason
from tests.conftest import MAC, Site

README = (Path(__file__).parents[2] / "README.rst").read_text()


def block_after(words: str, number: int = 0) -> str:
    """The ``number``-th literal block after ``words``, without its indentation."""
    blocks = re.findall(r"::\n\n((?:[ ]{4,}.*\n|\n)+)", README[README.index(words) :])
    lines = blocks[number].rstrip("\n").split("\n")
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines) + "\n"


def test_the_first_site_loads(tmp_path: Path) -> None:
    text = block_after("Make a folder with a site configuration")
    assert config.parse(text, tmp_path).ap("ap1").tftp_port == 69


def test_the_first_account_is_a_phone(site: Site) -> None:
    (site.root / "directory/a.example.com/sipusers/101.yml").write_text(block_after("Write the account"))
    result = CliRunner().invoke(main, ["render", MAC, f"{MAC}.cfg", "-c", str(site.config)])
    assert b"secret = correct horse battery staple\n" in result.stdout_bytes


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
