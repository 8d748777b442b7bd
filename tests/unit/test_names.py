"""Names: normalising, masks, and every file name that known phones ask for."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.errors import Reason, Refused
from era_ap.provisioning.names import MaskTable, builtin_masks, compile_mask, normalise

M = "001565aabbcc"
BIG = "001565AABBCC"
BUILTIN = MaskTable(builtin_masks())


def table(*specs: object) -> MaskTable:
    return MaskTable(compile_mask(spec, f"mask {n}") for n, spec in enumerate(specs, 1))


def refusal(call, *arguments) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value


# --- normalise


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("m.cfg", "m.cfg"),
        ("/spa508G.cfg", "spa508G.cfg"),
        ("///lanpbx.cfg", "lanpbx.cfg"),
        ("\\m.cfg", "m.cfg"),
        ("Communicator\\SEP001565AABBCC.cnf.xml", "Communicator/SEP001565AABBCC.cnf.xml"),
        ("prov//70/222//master.bin", "prov/70/222/master.bin"),
        ("./a/./b/.", "a/b"),
        ("  m.cfg  ", "m.cfg"),
        ("folder/", "folder"),
        ("tftp://10.0.0.1/a/m.cfg", "a/m.cfg"),
        ("/http://host:8080//m.cfg", "m.cfg"),
        ("100%25.cfg", "100%25.cfg"),
        ("a..b/...", "a..b/..."),
        ("Имя файла.wav", "Имя файла.wav"),
        ("00:15:65:aa:bb:cc.cfg", "00:15:65:aa:bb:cc.cfg"),
        ("x" * 512, "x" * 512),
    ],
)
def test_a_name_means_one_relative_path(name, path):
    assert normalise(name) == path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", Reason.NAME_EMPTY),
        ("/", Reason.NAME_EMPTY),
        ("\\", Reason.NAME_EMPTY),
        ("  ", Reason.NAME_EMPTY),
        ("./.", Reason.NAME_EMPTY),
        ("tftp://10.0.0.1", Reason.NAME_EMPTY),
        ("../../etc/passwd", Reason.NAME_TRAVERSAL),
        ("a/../b", Reason.NAME_TRAVERSAL),
        ("..\\..\\boot.ini", Reason.NAME_TRAVERSAL),
        ("a/..", Reason.NAME_TRAVERSAL),
        ("a/.. /b", Reason.NAME_TRAVERSAL),
        ("tftp://host/../x", Reason.NAME_TRAVERSAL),
        ("C:\\boot.ini", Reason.NAME_DRIVE),
        ("/c:/x", Reason.NAME_DRIVE),
        ("a/c:x", Reason.NAME_DRIVE),
        ("m.cfg\0.txt", Reason.NAME_INVALID),
        ("m\r\n.cfg", Reason.NAME_INVALID),
        ("m\x7f", Reason.NAME_INVALID),
        ("m\x85", Reason.NAME_INVALID),
        ("m\udc80.cfg", Reason.NAME_INVALID),
        ("x" * 513, Reason.NAME_TOO_LONG),
    ],
)
def test_a_dangerous_name_is_refused_with_its_reason(name, reason):
    assert refusal(normalise, name).reason is reason


@given(st.text(max_size=600))
def test_whatever_is_asked_the_path_stays_relative_and_normal(name):
    try:
        path = normalise(name)
    except Refused as refused:
        assert refused.reason.code.startswith("name-")
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert normalise(path) == path or "://" in name


# --- masks


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("", "empty"),
        (None, "text or {mask"),
        (["[mac]"], "text or {mask"),
        ({"type": "boot"}, "empty"),
        ({"mask": "[mac].boot", "typ": "boot"}, "did you mean 'type'"),
        ({"mask": "[mac].boot", "type": ["boot"]}, "'type' must be text"),
        ({"mask": 5}, "'mask' must be text"),
        ("[mca].cfg", "did you mean '[mac]'"),
        ("{mac}.cfg", "'{mac}'"),
        ("$mac.cfg", "'$mac'"),
        ("[mac]-[mac].cfg", "more than once"),
        ("y*.cfg", "must name a template"),
        ({"mask": "[mac].cfg", "template": "x"}, "the model names the template"),
        ({"mask": "y*.cfg", "template": "../x"}, "'..' never leaves"),
        ({"mask": "../[mac].cfg"}, "'..' never leaves"),
        ({"mask": "[mac].cfg", "type": "a/b"}, "may hold letters"),
        ({"mask": "*[model][mac]"}, "side by side"),
        ({"mask": "a*.cfg", "template": "x", "type": "y"}, "exclude each other"),
        ({"mask": "x" * 257}, "256"),
    ],
)
def test_a_bad_mask_is_refused_in_words_that_help(spec, part):
    refused = refusal(compile_mask, spec, "mask 3 of example.com")
    assert refused.reason is Reason.MASK_INVALID
    assert part in refused.detail
    assert refused.detail.startswith("mask 3 of example.com")


@pytest.mark.parametrize(
    "written",
    [M, BIG, "00:15:65:aa:bb:cc", "00-15-65-AA-BB-CC", "0015.65aa.bbcc", "00.15.65.aa.bb.cc"],
)
def test_a_mac_is_found_in_every_notation(written):
    found = table("x[mac].cfg").match(f"X{written}.CFG")
    assert (found.mac, found.extension) == (M, "cfg")


def test_an_extension_is_never_a_piece_of_the_mac():
    assert table("[mac]").match("00.15.65.aa.bb.cc").extension == ""
    assert table("SEP[mac].cnf.xml").match(f"SEP{BIG}.CNF.XML").extension == "xml"
    assert table("[mac]/*").match(f"{M}/Phonebook.XML?x=1.2").extension == "xml"


@pytest.mark.parametrize(
    "name", ["00156aabbcc.cfg", "001565aabbccd.cfg", "001565aabbcg.cfg", "0-01565aabbcc.cfg"]
)
def test_what_is_not_twelve_digits_is_no_mac(name):
    assert refusal(table("[mac].cfg").match, name).reason is Reason.NO_MASK


def test_of_two_numbers_that_look_like_a_mac_the_mask_says_which():
    name = "00085d000001-001565aabbcc.cfg"
    assert table("[mac]-*.cfg").match(name).mac == "00085d000001"
    assert table("*-[mac].cfg").match(name).mac == M


def test_the_first_mask_that_fits_decides_and_carries_its_type():
    masks = table({"mask": "[mac].boot", "type": ".boot"}, "[mac].*", {"mask": "*.boot", "template": "t"})
    assert masks.match(f"{M}.boot").mask.type == "boot"
    assert masks.match(f"{M}.cfg").mask.type is None
    assert masks.match("other.boot").mask.template == "t"


def test_order_decides_between_a_mask_of_the_path_and_one_of_the_last_segment():
    by_path, by_name = "[mac]/*", {"mask": "cfg.xml", "template": "common.xml"}
    assert table(by_path, by_name).match(f"{M}/cfg.xml").mac == M
    assert table(by_name, by_path).match(f"{M}/cfg.xml").mac is None


def test_masks_of_the_master_domain_come_before_the_built_in_ones():
    own = compile_mask({"mask": "[mac].cfg", "type": "special"}, "example.com")
    assert MaskTable((own, *builtin_masks())).match(f"{M}.cfg").mask.type == "special"


def test_a_star_does_not_cross_a_folder_and_may_be_empty():
    masks = table("a*/[mac].cfg")
    assert masks.match(f"a/{M}.cfg").mac == M
    assert masks.match(f"abc/{M}.cfg").mac == M
    assert refusal(masks.match, f"a/b/{M}.cfg").reason is Reason.NO_MASK


def test_the_model_is_given_as_the_phone_wrote_it():
    found = table("snom[model]-[mac].htm").match("folder/snomD785-000413AABBCC.htm")
    assert (found.model, found.mac) == ("D785", "000413aabbcc")
    found = table("x/[model]/[mac].cfg").match(f"İİ/x/KX-UT136/{M}.cfg"[3:])
    assert found.model == "KX-UT136"


def test_signs_of_regular_expressions_are_literal_in_a_mask():
    masks = table("a.b+(c)[mac]^$")
    assert masks.match(f"a.b+(c){M}^$").mac == M
    assert refusal(masks.match, f"aXb+(c){M}^$").reason is Reason.NO_MASK


def test_zero_is_never_a_phone():
    masks = table("[mac].cfg", "x[mac].cfg", {"mask": "000000000000.cfg", "template": "common.cfg"})
    assert masks.match("000000000000.cfg").mask.template == "common.cfg"
    assert refusal(masks.match, "x000000000000.cfg").reason is Reason.MAC_ZERO
    assert refusal(masks.match, "x00:00:00:00:00:00.cfg").reason is Reason.MAC_ZERO
    assert refusal(masks.match, "y000000000000.cfg").reason is Reason.NO_MASK
    assert masks.match("x000000000001.cfg").mac == "000000000001"


def test_an_empty_table_fits_nothing():
    assert refusal(MaskTable(()).match, "a/b").reason is Reason.NO_MASK


@pytest.mark.parametrize(
    "name",
    [
        "a" * 512,
        "0" * 512,
        "00:" * 170,
        "a/" * 256,
        "a_" * 256,
        "?mac=" * 100,
        "x*" * 256,
        "aaaxb" * 102,
        "İ" * 512,
    ],
)
def test_a_hostile_name_costs_little(name):
    nasty = table("*a*a*a*a*a*a*a*b[mac]", "*a*a[model]a*a*b-[mac]", "*[mac]-[model]z", "*?mac=*[mac]*")
    begin = time.process_time()
    for masks in (nasty, BUILTIN):
        assert refusal(masks.match, name).reason in (Reason.NO_MASK, Reason.MAC_ZERO)
    assert time.process_time() - begin < 0.1


# --- every name of the known phones: (name, MAC, type, template of a common file)

PHONES = [
    ("Yealink", f"{M}.boot", M, "boot", None),
    ("Yealink", "y000000000000.boot", None, None, "yealink/common.boot"),
    ("Yealink", "y000000000028.cfg", None, None, "yealink/common.cfg"),
    ("Yealink", "y000000000108.cfg", None, None, "yealink/common.cfg"),
    ("Yealink", f"{M}.cfg", M, None, None),
    ("Yealink", f"{M}-local.cfg", M, "local", None),
    ("Yealink", f"{M}-all.cfg", M, "all", None),
    ("Snom", "snomD345.htm", None, None, "snom/common.htm"),
    ("Snom", f"snomD345-{BIG}.htm", M, None, None),
    ("Snom", f"snom320-{BIG}.php", M, None, None),
    ("Snom", f"{BIG}.xml", M, None, None),
    ("Snom", "snomD785-firmware.xml", None, None, "snom/firmware.xml"),
    ("Snom DECT", f"snomM700-{BIG}.htm", M, None, None),
    ("Snom", f"prov/snomD345.htm?mac={BIG}", M, None, None),
    ("Snom C520", f"C520-WiMi_{M}.cfg", M, None, None),
    ("Grandstream", f"cfg{M}", M, "bin", None),
    ("Grandstream", f"cfg{M}.bin", M, "bin", None),
    ("Grandstream", f"cfg{M}.xml", M, None, None),
    ("Grandstream", "cfg.xml", None, None, "grandstream/common.xml"),
    ("Grandstream", "cfggrp2614.xml", None, None, "grandstream/common.xml"),
    ("Grandstream", f"gs/{M}/phonebook.xml", M, "phonebook", None),
    ("Fanvil", "f0X3hw1.100.cfg", None, None, "fanvil/common.cfg"),
    ("Fanvil", "F0V00X300000.cfg", None, None, "fanvil/common.cfg"),
    ("Fanvil", "f0C00580000.cfg", None, None, "fanvil/common.cfg"),
    ("Fanvil", f"{M}.cfg", M, None, None),
    ("Fanvil", "fanvil_x4_hwv1_0.txt", None, None, "fanvil/firmware.txt"),
    ("Fanvil", "nethesis_np_x3_hwv2_0.txt", None, None, "fanvil/firmware.txt"),
    ("Gigaset", "prov/device", None, None, "gigaset/device"),
    ("Gigaset", "device", None, None, "gigaset/device"),
    ("Gigaset", "prov/42/2/master.bin", None, None, "gigaset/master.bin"),
    ("Gigaset", f"prov/xml/{BIG}.xml", M, None, None),
    ("Gigaset Nx70", f"{M}.xml", M, None, None),
    ("Polycom", f"{M}.cfg", M, None, None),
    ("Polycom", "000000000000.cfg", None, None, "polycom/common.cfg"),
    ("Polycom", f"{M}-phone.cfg", M, "phone", None),
    ("Polycom", f"{M}-web.cfg", M, "web", None),
    ("Polycom", f"{M}-user.cfg", M, "user", None),
    ("Polycom", f"{M}-sip.cfg", M, "sip", None),
    ("Polycom", f"{M}-registration.cfg", M, "registration", None),
    ("Polycom", f"{M}-calls.xml", M, "calls", None),
    ("Polycom", f"{M}-directory.xml", M, "directory", None),
    ("Polycom", "000000000000-directory.xml", None, None, "polycom/directory.xml"),
    ("Polycom", f"{M}-license.cfg", M, "license", None),
    ("Polycom", "000000000000-license.cfg", None, None, "polycom/license.cfg"),
    ("Polycom", f"{M}-app.log", M, "app.log", None),
    ("Polycom", f"{M}-boot.log", M, "boot.log", None),
    ("Polycom", f"vvx500-{M}.cfg", M, None, None),
    ("Polycom", f"ssduo-{M}.cfg", M, None, None),
    ("Polycom", f"phone{M}.cfg", M, None, None),
    ("Cisco", f"CTLSEP{BIG}.tlv", M, "ctl.tlv", None),
    ("Cisco", f"ITLSEP{BIG}.tlv", M, "itl.tlv", None),
    ("Cisco", f"SEP{BIG}.cnf.xml", M, None, None),
    ("Cisco", f"SEP{BIG}.cnf.xml.sgn", M, "sgn", None),
    ("Cisco", f"SEP{BIG}.cnf.xml.enc.sgn", M, "enc.sgn", None),
    ("Cisco", "XMLDefault.cnf.xml", None, None, "cisco-sep/xmldefault.cnf.xml"),
    ("Cisco", f"Communicator\\SEP{BIG}.cnf.xml", M, None, None),
    ("Cisco", f"prov?name=SEP{BIG}", M, None, None),
    ("Cisco 7940", "OS79XX.TXT", None, None, "cisco-7940/os79xx.txt"),
    ("Cisco 7940", "SIPDefault.cnf", None, None, "cisco-7940/sipdefault.cnf"),
    ("Cisco 7940", f"SIP{BIG}.cnf", M, None, None),
    ("Cisco 7940", "dialplan.xml", None, None, "cisco-7940/dialplan.xml"),
    ("Cisco 7940", "syncinfo.xml", None, None, "cisco-7940/syncinfo.xml"),
    ("Cisco SPA", "/spa508G.cfg", None, None, "cisco-spa/common.cfg"),
    ("Cisco SPA", "/init.cfg", None, None, "cisco-spa/common.cfg"),
    ("Cisco SPA", f"spa{M}.cfg", M, None, None),
    ("Cisco ATA", f"ATA{BIG}.cnf.xml", M, None, None),
    ("Cisco MPP", "/8841-3PCC.xml", None, None, "cisco-mpp/common.xml"),
    ("Cisco MPP", f"/Cisco/CP-8841-3PCC/{M}.cfg", M, None, None),
    ("Aastra", "aastra.cfg", None, None, "mitel/aastra.cfg"),
    ("Aastra", "6731i.cfg", None, None, "mitel/model.cfg"),
    ("Aastra", f"{BIG}.cfg", M, None, None),
    ("Aastra", f"{BIG}.tuz", M, "tuz", None),
    ("Mitel", "startup.cfg", None, None, "mitel/startup.cfg"),
    ("Mitel", "6869i.cfg", None, None, "mitel/model.cfg"),
    ("Mitel", "6940.cfg", None, None, "mitel/model.cfg"),
    ("Mitel 53xx", "MN_Generic.cfg", None, None, "mitel/53xx-common.cfg"),
    ("Mitel 53xx", f"MN_{BIG}.cfg", M, "mn.xml", None),
    ("Panasonic", "KX-UT136.cfg", None, None, "panasonic/common.cfg"),
    ("Panasonic", "KX-TGP550T04.cfg", None, None, "panasonic/common-tgp.cfg"),
    ("Panasonic", f"Config{BIG}.cfg", M, None, None),
    ("Panasonic", f"Config{M}.xml", M, None, None),
    ("Panasonic", "ConfigKX-UTG200.cfg", None, None, "panasonic/model.cfg"),
    ("Panasonic", "ConfigCommon.cfg", None, None, "panasonic/utg-common.cfg"),
    ("Htek", "cfg0010.xml", None, None, "htek/common.xml"),
    ("Htek", f"cfg{M}.xml", M, None, None),
    ("Escene", f"{M}.xml", M, None, None),
    ("Escene", "201_Extern.xml", None, None, "escene/extern.xml"),
    ("Escene", "201_Phonebook.xml", None, None, "escene/phonebook.xml"),
    ("Escene", "Enterprise_Phonebook.xml", None, None, "escene/enterprise.xml"),
    ("Flyingvoice", f"{M}.boot", M, "boot", None),
    ("Akuvox", f"{BIG}.cfg", M, None, None),
    ("Akuvox", "r000000000029.cfg", None, None, "akuvox/common.cfg"),
    ("Atcom", "a000000000010.cfg", None, None, "atcom/common.cfg"),
    ("ALE", "config.xml", None, None, "ale/common.xml"),
    ("ALE", "config.M5.xml", None, None, "ale/common.xml"),
    ("ALE", f"config.{M}.xml", M, None, None),
    ("ALE 4018", "/lanpbx.cfg", None, None, "ale/lanpbx.cfg"),
    ("ALE 4018", "sipconfig.txt", None, None, "ale/sipconfig.txt"),
    ("ALE 4018", f"sipconfig-{M}.txt", M, None, None),
    ("Avaya J100", "J100Supgrade.txt", None, None, "avaya/j100-upgrade.txt"),
    ("Avaya J100", "46xxsettings.txt", None, None, "avaya/46xxsettings.txt"),
    ("Avaya J100", f"{M}.txt", M, None, None),
    ("Avaya 12xx", "1220SIP.cfg", None, None, "avaya/12xx-common.cfg"),
    ("Avaya 11xx", "1120eSIP.cfg", None, None, "avaya/12xx-common.cfg"),
    ("Avaya 12xx", f"SIP{BIG}.cfg", M, None, None),
    ("Eltex", "00.15.65.aa.bb.cc.tar.gz", M, "tar.gz", None),
    ("Eltex", "00.15.65.aa.bb.cc.cfg", M, None, None),
    ("Digium", f"/Digium/{M}.cfg", M, None, None),
    ("Digium", f"/Digium/{M}-contacts.cfg", M, "contacts", None),
    ("Digium", f"/Digium/{M}-smartblf.cfg", M, "smartblf", None),
    ("Patton", f"{M}.cfg", M, None, None),
    ("VTech", "VCS754.cfg", None, None, "vtech/common.cfg"),
    ("VTech", f"VCS754_{M}.cfg", M, None, None),
    ("VTech", "pbm/directory.xml", None, None, "vtech/directory.xml"),
    ("Algo", f"algom{M}.conf", M, None, None),
    ("2N", f"{M}.xml", M, None, None),
    ("Yeastar", f"cfg{M}.xml", M, None, None),
    ("D-Link", "00-15-65-AA-BB-CC.txt", M, None, None),
    ("folder", f"{M}/config.cfg", M, None, None),
    ("folder", f"a/b/{M}/settings.xml", M, None, None),
]


@pytest.mark.parametrize("change", [str, str.upper, str.lower], ids=["as asked", "upper", "lower"])
@pytest.mark.parametrize(("vendor", "name", "mac", "kind", "template"), PHONES)
def test_every_known_phone_is_understood_in_any_letter_case(vendor, name, mac, kind, template, change):
    found = BUILTIN.match(normalise(change(name)))
    assert (found.mac, found.mask.type, found.mask.template) == (mac, kind, template), vendor


@pytest.mark.parametrize(
    "name",
    [
        "sip.ld", "2345-12500-001.sip.ld", "ITLFile.tlv", "RINGLIST.DAT", "security.tuz", "aastra.tuz",
        f"{M}/firmware.rom", "x.rom", f"{M}-unknown.cfg", "default", "index", "readme.txt", "anything.cfg",
    ],
)  # fmt: skip
def test_firmware_and_unknown_names_never_become_a_configuration(name):
    assert refusal(BUILTIN.match, name).reason is Reason.NO_MASK


@pytest.mark.parametrize("name", ["000000000000.boot", "SEP000000000000.cnf.xml", "cfg000000000000"])
def test_names_with_a_zero_mac_say_so(name):
    assert refusal(BUILTIN.match, name).reason is Reason.MAC_ZERO


def test_built_in_masks_are_all_different_and_name_their_vendor():
    masks = builtin_masks()
    assert len({mask.text.lower() for mask in masks}) == len(masks) > 100
    assert all(mask.vendor for mask in masks)


def test_overrides_belong_to_a_phones_own_configuration_and_not_to_its_side_files():
    assert BUILTIN.match(f"{M}.cfg").mask.is_corrected
    assert not BUILTIN.match(f"{M}.boot").mask.is_corrected
    assert compile_mask({"mask": "[mac].conf", "type": "conf"}, "mask 1").is_corrected
