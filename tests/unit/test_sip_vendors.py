"""The data on vendors: complete, consistent, and what it makes of names."""

from __future__ import annotations

import re

import pytest

from era_ap.provisioning.names import MaskTable, builtin_masks
from era_ap.sip.vendors import UNKNOWN_VENDOR, parse_vendors
from tests.unit.sip_site import VENDORS


@pytest.mark.parametrize(
    ("vendor", "model", "name"),
    [
        ("snom", "snomD735", "snomD735-000413A1B2C3.htm"),
        ("snom", "D735", "snomD735-000413A1B2C3.htm"),
        ("snom", "", "000413A1B2C3.htm"),
        ("snom", "../../etc", "000413A1B2C3.htm"),
        ("snom", "a/b", "000413A1B2C3.htm"),
        ("panasonic", "KX-UTG300", "Config000413A1B2C3.cfg"),
        ("audiocodes", "420HD", "000413a1b2c3.cfg"),
        ("grandstream", "GRP2612W", ""),
        ("yealink", "T46S", ""),
    ],
)
def test_the_name_in_the_url(vendor: str, model: str, name: str) -> None:
    found = VENDORS.by_word(vendor)
    assert found is not None
    assert found.file_name("000413a1b2c3", model) == name


def test_who_is_not_known_gets_a_folder() -> None:
    assert UNKNOWN_VENDOR.file_name("000413a1b2c3", "x") == ""


def test_every_file_in_a_url_is_one_that_a_mask_knows() -> None:
    masks = MaskTable(builtin_masks())
    for key in VENDORS.keys:
        vendor = VENDORS.by_word(key)
        assert vendor is not None
        for model in ("D735", ""):
            name = vendor.file_name("0a0b0c0d0e0f", model)
            if name:
                assert masks.match(name).mac == "0a0b0c0d0e0f", (key, name)


@pytest.mark.parametrize(
    ("agent", "vendor", "model", "version"),
    [
        ("Yealink SIP-T46G 28.71.0.81 00:15:65:00:00:01", "yealink", "T46G", "28.71.0.81"),
        ("yealink SIP-T28P 2.70.0.140 00:15:65:13:ae:0b", "yealink", "T28P", "2.70.0.140"),
        ("Yealink-T46G 28.71.0.81 28.1.0.128.0.0.0", "yealink", "T46G", "28.71.0.81"),
        ("Yealink SIP-T56A  58.80.0.25 001565f429a4", "yealink", "T56A", "58.80.0.25"),
        ("Mozilla/4.0 (compatible; snom320-SIP 8.4.18 1.1.3-s)", "snom", "320", "8.4.18"),
        ("Mozilla (snomD785-SIP 10.1.33.33 000413922D24)", "snom", "D785", "10.1.33.33"),
        ("Mozilla/4.0 (Snom M900 05.20.0001 000413b60680)", "snom", "M900", "05.20.0001"),
        ("Grandstream Model HW HT801 V1.1A SW 1.0.17.5", "grandstream", "HT801", "1.0.17.5"),
        ("Grandstream GXP2000 (gxp2000e.bin:1.2.5.3) DevId 000b822726c8", "grandstream", "GXP2000", ""),
        ("Fanvil X6U Pro 0.0.10 0c383e2cd782", "fanvil", "X6U Pro", "0.0.10"),
        ("Flyingvoice FIP13G V0.6.24 00:21:F2:22:AE:F1", "flyingvoice", "FIP13G", "0.6.24"),
        ("Gigaset N720 DM PRO/70.108.00.000;7C2F80CA21E4", "gigaset", "N720 DM PRO", "70.108.00.000"),
        ("N510 IP PRO/42.258.00.000.000;7C2F80CA21E4", "gigaset", "N510 IP PRO", "42.258.00.000.000"),
        ("PolycomVVX-VVX_400-UA/4.1.4.7430 x", "polycom", "VVX_400", "4.1.4.7430"),
        ("Cisco/SPA501G-7.4.4 (8843E157DDCC)(CBT141100HR)", "cisco", "SPA501G", "7.4.4"),
        ("Cisco-CP-7832-3PCC/11.0.1 (00562b043615)", "cisco", "7832-3PCC", "11.0.1"),
        ("Aastra6731i MAC:00-08-5D-23-74-29 V:3.2.0.70-SIP", "mitel", "6731i", "3.2.0.70-SIP"),
        ("Panasonic_KX-UT113/01.133 (0080f0c8c381)", "panasonic", "KX-UT113", "01.133"),
        ("ALE M3-CE 2.11.01.1604 3c28a620089e", "alcatel", "M3-CE", "2.11.01.1604"),
        ("AVAYA/J179-4.1.3.0.6 (MAC:c81fea83e85a)", "avaya", "J179", "4.1.3.0.6"),
        ("AUDC-IPPhone/2.2.8.61 (440HDG-Rev0; 00908F602AAC)", "audiocodes", "440HDG", "2.2.8.61"),
        ("ES320VN2 v4.0", "escene", "ES320VN2", "4.0"),
    ],
)  # fmt: skip
def test_user_agents(agent: str, vendor: str, model: str, version: str) -> None:
    found = VENDORS.by_agent(agent)
    assert found is not None
    assert (found.vendor.key, found.model, found.version) == (vendor, model, version)


@pytest.mark.parametrize(
    "agent", ["", "friendly-scanner", "Asterisk PBX 18", "Linphone/3.6", "MAC001565a1b2c3"]
)
def test_who_is_no_phone_that_we_know(agent: str) -> None:
    assert VENDORS.by_agent(agent) is None


def test_prefixes_are_six_digits_and_belong_to_one_vendor_each() -> None:
    seen: dict[str, str] = {}
    for key in VENDORS.keys:
        vendor = VENDORS.by_word(key)
        assert vendor is not None
        for oui in vendor.ouis:
            assert re.fullmatch("[0-9a-f]{6}", oui), (key, oui)
            assert seen.setdefault(oui, key) == key
            assert VENDORS.by_mac(f"{oui}010203") is vendor
    assert len(seen) > 80


def test_a_prefix_of_digits_only_stays_text() -> None:
    vendors = parse_vendors("v:\n  name: V\n  oui: [001565, 12e456]\n")
    assert vendors.by_mac("001565000000") is vendors.by_mac("12e456000000") is vendors.by_word("V")
