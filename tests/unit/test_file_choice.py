"""From a requested name to a file or a template: the order of spec 5 as one table (E2-E8, E13)."""

from __future__ import annotations

import hashlib

import pytest

from era_ap.directory.index import Change, DirectoryIndex
from era_ap.directory.model import read_account
from era_ap.errors import Reason
from era_ap.provisioning.catalogue import Snapshot, Stamp, StaticFile, TextFile, build
from era_ap.provisioning.names import MaskTable, builtin_masks, compile_mask
from era_ap.provisioning.resolution import resolve

TEMPLATES = [
    "T46S", "T46S.boot", "T28P.cfg", "T28P.xml", "D735", "VVX400-5", "GXP2170.XML", "own-common",
    "yealink/common.cfg", "T46S.special", "models.yml",
]  # fmt: skip
MODELS = """
T46U: {like: T46S, aliases: [SIP-T46U]}
VVX400: {firmware: [{versions: ">=5,<6", template: VVX400-5}]}
generic: {GXP: GXP2170}
"""
STATICS = ["fw/T46S.rom", "ring.wav", "Tone.wav", "tone.WAV", "001565000001.cfg.sig", "001565000009.cfg"]
MASKS = [
    {"mask": "own-[mac].cfg", "type": "special"},
    {"mask": "[mac].special"},
    {"mask": "own.cfg", "template": "own-common"},
]
PHONES = {
    "001565000001": {"device_model": "T46S"},
    "001565000002": {"device_model": "t46u"},
    "001565000003": {"device_model": "T28P"},
    "001565000004": {"device_model": "SIP-T46U"},
    "001565000005": {},
    "001565000006": {"device_model": "VVX400", "firmware": "5.9"},
    "001565000007": {"device_model": "VVX400", "firmware": "4.1"},
    "001565000008": {"device_model": "Nokia"},
    "001565000009": {"device_model": "T46S"},
    "000b82000001": {"device_model": "GXP2135"},
}


@pytest.fixture(scope="module")
def world():
    contents = {name: MODELS if name == "models.yml" else name for name in TEMPLATES}
    texts = {
        name: TextFile(name, text.encode(), hashlib.sha256(text.encode()).hexdigest())
        for name, text in contents.items()
    }
    catalogue = build(
        None, Snapshot(texts, None, {path: StaticFile(path, Stamp(1, 1, 1, 1)) for path in STATICS})
    )
    accounts = []
    for number, (mac, device) in enumerate(PHONES.items()):
        document = {
            "login": str(100 + number),
            "domain": "a.example.com",
            "opts": {"ap_devices": {"mac": mac, **device}},
        }
        account, problems = read_account(
            "a.example.com", str(100 + number), document, origin="x", revision="1"
        )
        assert not problems
        accounts.append(account)
    index = DirectoryIndex()
    index.apply(Change(accounts=tuple(accounts), removed=(), domains=(), removed_domains=(), problems=()))
    masks = MaskTable([*(compile_mask(spec, "own") for spec in MASKS), *builtin_masks()])
    return catalogue, index, masks


@pytest.mark.parametrize(
    ("row", "name", "wanted"),
    [
        ("E2 as it is", "ring.wav", "configs/ring.wav"),
        ("E2 b1 in any case", "/RING.wav", "configs/ring.wav"),
        ("E13 b1 firmware in a folder", "\\FW\\t46s.rom", "configs/fw/T46S.rom"),
        ("b1 exact case first", "tone.WAV", "configs/tone.WAV"),
        ("b1 not unique", "TONE.wav", Reason.STATIC_AMBIGUOUS),
        ("b1 a folder", "fw/", Reason.STATIC_IS_FOLDER),
        ("E2 before E3", "001565000009.cfg", "configs/001565000009.cfg"),
        ("E3 no such file", "other.rom", Reason.NO_MASK),
        ("E4 b2 separators and case", "00-15-65-00-00-01.CFG", "T46S"),
        ("E4 b2 prefix", "cfg001565000001.xml", "T46S"),
        ("E4 b2 folder", "a/b/Digium/001565000001.cfg", "T46S"),
        ("E5 unknown", "0015650000ff.cfg", Reason.MAC_UNKNOWN),
        ("E6 b5 type of a built-in mask", "001565000001.boot", "T46S.boot"),
        ("E6 b5 type of the domain's mask", "own-001565000001.cfg", "T46S.special"),
        ("E6 b5 mask without type", "001565000001.special", "T46S"),
        ("E6 b5 common file", "own.cfg", "own-common"),
        ("E6 common file of a vendor", "y000000000066.cfg", "yealink/common.cfg"),
        ("E6 common file without template", "y000000000000.boot", Reason.COMMON_TEMPLATE_MISSING),
        ("E7 no model", "001565000005.cfg", Reason.MODEL_MISSING),
        ("E8 model in another case", "001565000002.cfg", "T46S"),
        ("E8 extension of the name", "001565000003.cfg", "T28P.cfg"),
        ("E8 other extension", "001565000003.xml", "T28P.xml"),
        ("E8 extension in another case", "cfg000b82000001.xml", "GXP2170.XML"),
        ("E8 no template of that extension", "001565000003.txt", Reason.TEMPLATE_MISSING),
        ("E8 a type is never replaced by something else", "001565000003.boot", Reason.TEMPLATE_MISSING),
        ("E8 the binary file of Grandstream", "cfg000b82000001", Reason.TEMPLATE_MISSING),
        ("like with a type", "001565000002.boot", "T46S.boot"),
        ("alias", "001565000004.cfg", "T46S"),
        ("firmware in a range", "001565000006.cfg", "VVX400-5"),
        ("firmware in none", "001565000007.cfg", Reason.FIRMWARE_UNSUPPORTED),
        ("unknown model", "001565000008.cfg", Reason.TEMPLATE_MISSING),
        ("zero is never a phone", "000000000000.boot", Reason.MAC_ZERO),
        ("models.yml is no template", "models.yml", Reason.NO_MASK),
        ("a path out", "../../etc/passwd", Reason.NAME_TRAVERSAL),
    ],
)  # fmt: skip
def test_a_name_leads_to_one_file_or_one_reason(world, row, name, wanted):
    found = resolve(name, *world)
    if isinstance(wanted, Reason):
        assert found.refusal is not None, row
        assert found.refusal.reason is wanted, row
    elif wanted.startswith("configs/"):
        assert found.static is not None, row
        assert f"configs/{found.static.path}" == wanted, row
    else:
        assert found.refusal is None, row
        assert found.template.name == wanted, row
