"""User-Agents of known phones: the MAC in them, and what is only a number that looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.sip.vendors import builtin_vendors
from era_ap.web.agents import Agents, builtin_basic

AGENTS = Agents(builtin_vendors(), builtin_basic())


@pytest.mark.parametrize(
    ("agent", "mac"),
    [
        ("yealink SIP-T28P 2.70.0.140 00:15:65:13:ae:0b", "00156513ae0b"),
        ("Yealink SIP-T56A  58.80.0.25 001565f429a4", "001565f429a4"),
        ("Yealink-T46G 28.71.0.81 28.1.0.128.0.0.0", ""),
        ("Mozilla/4.0 (compatible; snom320-SIP 8.4.18 1.1.3-s)", ""),
        ("Mozilla/4.0 (compatible; snom710-SIP 8.7.5.35 1.1.5-IFX-05.01.12 000413741767)", "000413741767"),
        (
            "Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 000413922D24 SXM:0)",
            "000413922d24",
        ),
        ("Grandstream Model HW GXP1628 SW 1.0.4.138 DevId c074ad2bd859", "c074ad2bd859"),
        ("Fanvil X4 2.10.2.6887 0c383e07e16c", "0c383e07e16c"),
        ("Fanvil X6U Pro 0.0.10 0c383e2cd782", "0c383e2cd782"),
        ("Flyingvoice FIP13G V0.6.24 00:21:F2:22:AE:F1", "0021f222aef1"),
        ("Gigaset N870 IP PRO/83.V2.11.0+build.a546b91;7C2F80E0D605;Handset=1", "7c2f80e0d605"),
        ("Linksys/SPA-942-6.1.5(a) (88019FA42805)", ""),
        ("Aastra6731i MAC:00-08-5D-23-74-29 V:3.2.0.70-SIP", "00085d237429"),
        ("Mitel6940 MAC:14-00-E9-1B-45-24 V:6.4.0.140-SIP", "1400e91b4524"),
        ("Panasonic_KX-UT113/01.133 (0080f0c8c381)", "0080f0c8c381"),
        ("curl/7.88.1", ""),
        ("browser 001565000001", ""),
        ("AVAYA/SIP12x0\x17/04.00.04.00", ""),
    ],
)
def test_the_mac_in_a_user_agent(agent: str, mac: str) -> None:
    assert AGENTS.read(agent.encode("latin-1")).mac == mac


@pytest.mark.parametrize(
    ("agent", "basic_only", "is_phone"),
    [
        ("Panasonic_KX-UT113/01.133 (0080f0c8c381)", True, True),
        ("Mozilla/4.0 (compatible; snom320-SIP 8.4.18 1.1.3-s)", True, True),
        ("yealink SIP-T28P 2.70.0.140 00:15:65:13:ae:0b", False, True),
        ("curl/7.88.1", False, False),
    ],
)
def test_what_a_vendor_can_show(agent: str, basic_only: bool, is_phone: bool) -> None:
    client = AGENTS.read(agent.encode())
    assert (client.basic_only, client.is_phone) == (basic_only, is_phone)


@given(st.binary(max_size=2000))
def test_any_bytes_are_read(agent: bytes) -> None:
    assert len(AGENTS.read(agent).mac) in (0, 12)
