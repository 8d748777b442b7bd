"""The provisioner: the order of decisions, what is reused and for how long, what a refusal costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles
from era_ap.errors import Reason, Refused
from era_ap.provisioning.kept import StaticHit
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import Content, FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules
from era_ap.store import Store
from tests.conftest import MAC, Site

RULES = Rules(site="lab", master_domain="example.com")
NAME = f"{MAC}.cfg"


class World:
    """A provisioner with a site behind it; ``look`` takes over what changed there."""

    def __init__(self, root: Path, rules: Rules = RULES) -> None:
        self.provisioner = Provisioner(rules, lambda _: ())
        self._store = Store(root / "storage", "lab", settle_seconds=0.0)
        self._files = YamlFiles(root / "directory", settle=0.0)
        self._index = DirectoryIndex()
        self.now = 1000.0
        self.look()

    def look(self) -> None:
        for _ in range(2):  # what changed has to rest from one look to the next
            self.provisioner.catalogue = self._store.scan() or self.provisioner.catalogue
            change = self._files.scan()
            if change is not None:
                self._index.apply(change)
        self.provisioner.directory = self._index

    def ask(self, name: str = NAME, local: str = "") -> Content | Refusal | StaticHit:
        request = FileRequest(name, "192.0.2.7", Transport.TFTP, local)
        answer = self.provisioner.answer(request, self.now)
        if not isinstance(answer, Filling):
            return answer
        try:
            rendering = answer.render(time.monotonic, 0.5)
        except Refused as refused:
            return self.provisioner.refuse(answer.key, refused, answer.subject, self.now)
        return self.provisioner.fill(answer, rendering, self.now)

    def data(self, name: str = NAME, local: str = "") -> bytes:
        answer = self.ask(name, local)
        assert isinstance(answer, Content), answer
        return answer.data

    def reason(self, name: str = NAME) -> Reason:
        answer = self.ask(name)
        assert isinstance(answer, Refusal), answer
        return answer.reason


@pytest.fixture
def world(site: Site) -> World:
    site.template("T46S.cfg", "id = [constants.newid] [sipuser.name] [constants.level]\n")
    return World(site.root)


def test_before_the_first_load_everything_is_temporarily_unavailable() -> None:
    provisioner = Provisioner(RULES, lambda _: ())
    answer = provisioner.answer(FileRequest(NAME, "", Transport.TFTP), 0.0)
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.STORAGE_UNAVAILABLE


def test_a_ready_made_file_goes_before_the_template(site: Site, world: World) -> None:
    site.static(NAME, "as it is")
    world.look()
    answer = world.ask()
    assert isinstance(answer, StaticHit)
    assert answer.entry.path == NAME


def test_a_repeated_request_gets_identical_bytes_until_the_time_is_over(world: World) -> None:
    first = world.data()
    world.now += 29.0
    answer = world.ask()
    assert isinstance(answer, Content)
    assert answer.data == first
    assert answer.reason is Reason.REUSED
    world.now += 1.0
    assert world.data() != first


def test_a_leading_slash_makes_no_other_file(world: World) -> None:
    first = world.data(NAME)
    assert world.data(f"/{NAME}") == first
    assert world.data(f"//{NAME}") == first


def test_a_ready_made_file_that_is_asked_for_again_is_the_one_of_now(site: Site, world: World) -> None:
    site.static(NAME, "as it is")
    world.look()
    before = world.ask()
    assert world.ask() == before
    site.static(NAME, "as it is now")
    world.look()
    after = world.ask()
    assert isinstance(before, StaticHit)
    assert isinstance(after, StaticHit)
    assert after.entry.size == len("as it is now")
    assert before.entry.size == len("as it is")


def test_another_of_our_addresses_is_another_file(site: Site, world: World) -> None:
    site.template("T46S.cfg", "server = [constants.server.addr]\n")
    world.look()
    assert world.data(local="192.0.2.1") == b"server = 192.0.2.1\n"
    assert world.data(local="192.0.2.2") == b"server = 192.0.2.2\n"


def test_a_template_is_told_whether_there_is_a_time_server(site: Site, world: World) -> None:
    site.template("T46S.cfg", "ntp = <[constants.ntp.given]>\n")
    world.look()
    assert world.data() == b"ntp = <>\n"
    site.domain("a.example.com", ap_constants={"ntp": {"server": "[nslookup.ntp.example.com]"}})
    world.look()
    assert world.data() == b"ntp = <1>\n"


def test_a_change_elsewhere_leaves_the_reused_bytes_alone(site: Site, world: World) -> None:
    first = world.data()
    site.template("other.cfg", "x\n")
    site.phone("199", "001565000099")
    site.domain("z.example.com", ap_constants={"level": "z"})
    world.look()
    assert world.data() == first


@pytest.mark.parametrize("what", ["template", "account", "domain", "master", "site", "models", "include"])
def test_a_change_of_what_it_was_made_of_makes_it_anew(site: Site, what: str) -> None:
    site.template("T46S.cfg", "[constants.newid] [sipuser.name] [constants.level] [include.part.inc]\n")
    site.template("part.inc", "part\n")
    world = World(site.root)
    first = world.data()
    changes = {
        "template": lambda: site.template("T46S.cfg", "new [constants.newid]\n"),
        "account": lambda: site.account(
            "101", name="Anna", opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}}
        ),
        "domain": lambda: site.domain("a.example.com", ap_constants={"level": "new"}),
        "master": lambda: site.domain("example.com", ap_constants={"level": "new"}),
        "site": lambda: site.constants("ntp = other\n"),
        "models": lambda: (
            site.template("T99.cfg", "other\n"),
            site.template("models.yml", "T46S: {like: T99}\n"),
        ),
        "include": lambda: site.template("part.inc", "changed part\n"),
    }
    changes[what]()
    world.look()
    assert world.data() != first


def test_a_refusal_of_a_broken_template_is_kept_until_something_changes(site: Site, world: World) -> None:
    site.template("T46S.cfg", "[include.gone.inc]\n")
    world.look()
    assert world.reason() is Reason.INCLUDE_MISSING
    request = FileRequest(NAME, "", Transport.TFTP)
    assert isinstance(world.provisioner.answer(request, world.now), Refusal)  # and no second rendering
    site.template("gone.inc", "here\n")
    world.look()
    assert world.data() == b"here\n"


def test_an_unknown_mac_is_known_as_soon_as_an_account_lists_it(site: Site, world: World) -> None:
    assert world.reason("001565000042.cfg") is Reason.MAC_UNKNOWN
    site.phone("142", "00-15-65-00-00-42")
    world.look()
    assert world.data("001565000042.cfg").startswith(b"id = ")


def test_new_rules_repeat_nothing_of_the_old_ones(world: World) -> None:
    first = world.data()
    world.provisioner.reconfigure(RULES)
    assert world.data() != first


def test_a_mask_that_is_not_valid_takes_no_other_mask_down(site: Site, world: World) -> None:
    site.domain("example.com", ap_options={"masks": ["*", {"mask": "desk-[mac].cfg"}]})
    world.look()
    assert world.data(f"desk-{MAC}.cfg").startswith(b"id = ")


def test_two_accounts_on_one_line_get_lines_of_their_own(site: Site) -> None:
    site.template("T46S.cfg", "[accounts]\n")
    site.template("T46S.account", "[account.line] = [account.login]\n")
    for login in ("103", "102"):
        site.phone(login, MAC)
    world = World(site.root)
    assert world.data() == b"1 = 101\n2 = 102\n3 = 103\n"


def test_constants_are_looked_for_in_the_order_of_the_specification(site: Site) -> None:
    site.template("T46S.cfg", "[constants.a] [constants.b] [constants.c] [constants.domain]\n")
    site.domain("a.example.com", ap_constants={"a": "domain", "domain": "not this"})
    site.domain("example.com", ap_constants={"a": "master", "b": "master"})
    site.constants("a = site\nb = site\nc = site\n")
    assert World(site.root).data() == b"domain master site a.example.com\n"


def test_phones_of_a_domain_whose_settings_are_not_readable_get_nothing(site: Site) -> None:
    (site.root / "directory/a.example.com/domain.yml").write_text("- 1\n")
    assert World(site.root).reason() is Reason.DOMAIN_INVALID


def test_warnings_of_a_rendering_are_in_its_record(site: Site) -> None:
    site.template("T46S.cfg", "a = [sipuser.nope]\nb = [constants.gone]\n")
    answer = World(site.root).ask()
    assert isinstance(answer, Content)
    assert "field-missing at T46S.cfg:1" in answer.subject.detail
    assert "constant-missing at T46S.cfg:2" in answer.subject.detail


@pytest.mark.parametrize(
    "template",
    [
        "[random.[sipuser.password]]",
        "[include.[sipuser.password]]",
        "[include.x[constants.[sipuser.password]]]",
        "[constants.[sipuser.password]] [sipuser.[sipuser.password]] [nslookup.[sipuser.password]]",
        "<a b='[sipuser.password]'>[sipuser.password]</c>",
        "<a>[sipuser.password]&what;</a>",
        "<a>[sipuser.password",
        "[blf][accounts][sipuser.password.x]",
    ],
)
@pytest.mark.parametrize(
    "override", [None, {"//[": "[sipuser.password]"}, {"[sipuser.password] x": "1"}, "= ="]
)
def test_no_error_tells_a_password(site: Site, template: str, override: object) -> None:
    site.template("T46S.cfg", template)
    site.phone("101", MAC, **({"override": override} if override else {}))
    answer = World(site.root).ask()
    if isinstance(answer, Refusal):
        assert "s3cret" not in f"{answer.subject} {answer.reason}"
    else:
        assert isinstance(answer, Content)
        assert "s3cret" not in str(answer.subject)
