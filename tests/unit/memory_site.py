"""A provisioner over a site in memory: no files, no clock but the one that a test sets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from era_ap.config import HttpAuth
from era_ap.config.ext import PRIVATE
from era_ap.directory.index import Change, DirectoryIndex
from era_ap.directory.model import read_account, read_domain
from era_ap.errors import Reason, Refused
from era_ap.provisioning.catalogue import Snapshot, Stamp, StaticFile, TextFile, build
from era_ap.provisioning.kept import StaticHit
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import Content, FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules
from era_ap.provisioning.trust import Trust, TrustPolicy

MAC = "001565000001"
OTHER = "001565000002"
UNKNOWN = "0015650000ff"
KEY = b"k" * 32
NEAR = "192.168.1.10"
FAR = "203.0.113.9"
RULES = Rules("lab", "example.com")
TEMPLATES = {
    "T46S.cfg": "user = [sipuser.login]\nsecret = [sipuser.password]\n",
    "T46S.settings.xml": "<a>[sipuser.login]</a>",
    "all-phones": "ntp = 192.0.2.1\n",
}
STATICS = {"fw/T46S.rom": b"firmware" * 100, f"custom/{MAC}-own.bin": b"own", "a.xml": b"<a/>"}


def policy(auth: HttpAuth = HttpAuth.NONE, keys: tuple[bytes, ...] = (KEY,)) -> TrustPolicy:
    return TrustPolicy(keys, {each: PRIVATE for each in Transport if each is not Transport.CLI}, auth)


def directory(constants: Mapping[str, str], devices: Mapping[str, Mapping[str, object]]) -> DirectoryIndex:
    accounts = []
    for number, (mac, more) in enumerate(devices.items(), 101):
        document = {
            "password": f"s3cret{number}",
            "opts": {"ap_devices": {"mac": mac, "device_model": "T46S", **more}},
        }
        account, problems = read_account(
            "a.example.com", str(number), document, origin=f"{number}.yml", revision="1"
        )
        assert account is not None, problems
        accounts.append(account)
    domains = []
    for name in ("example.com", "a.example.com"):
        settings: dict[str, object] = {}
        if name == "example.com":
            masks = [{"mask": "common.cfg", "template": "all-phones"}]
            settings = {"ap_constants": dict(constants), "ap_options": {"masks": masks}}
        domain, problems = read_domain(name, {"settings": settings}, origin=name, revision="1")
        assert domain is not None, problems
        domains.append(domain)
    index = DirectoryIndex()
    index.apply(Change(tuple(accounts), domains=tuple(domains)))
    return index


@dataclass
class MemorySite:
    """Answers requests; ``wall`` is the time that trust goes by, ``now`` that of the provisioner."""

    trust_policy: TrustPolicy = field(default_factory=policy)
    constants: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: {MAC: {}, OTHER: {}})
    statics: Mapping[str, bytes] = field(default_factory=lambda: STATICS)
    wall: float = 1_800_000_000.0
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.trust = Trust(self.trust_policy, lambda: self.wall)
        self.provisioner = Provisioner(RULES, lambda _: (), self.trust)
        texts = {
            name: TextFile(name, text.encode(), hashlib.sha256(text.encode()).hexdigest())
            for name, text in TEMPLATES.items()
        }
        files = {path: StaticFile(path, Stamp(1, len(data), 1, 1)) for path, data in self.statics.items()}
        self.provisioner.catalogue = build(None, Snapshot(texts, None, files))
        self.provisioner.directory = directory(self.constants, self.devices)

    def open(self, request: FileRequest) -> Content | Refusal:
        answer = self.provisioner.answer(request, self.now)
        if isinstance(answer, StaticHit):
            path = answer.entry.path
            return Content(self.statics[path], Reason.STATIC, answer.subject, path.endswith(".xml"))
        if not isinstance(answer, Filling):
            return answer
        try:
            return self.provisioner.fill(answer, answer.render(lambda: 0.0, 0.5), self.now)
        except Refused as refused:
            return self.provisioner.refuse(answer.key, refused, answer.subject, self.now)

    def ask(
        self, name: str, peer: str = NEAR, transport: Transport = Transport.HTTP, **more: object
    ) -> bytes | Reason:
        reply = self.open(FileRequest(name, peer, transport, **more))  # type: ignore[arg-type]
        return reply.data if isinstance(reply, Content) else reply.reason
