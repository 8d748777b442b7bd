"""A phone's boot chain against the packs of this repository: which of the names it asks for are there."""

from __future__ import annotations

from functools import cache

from packs import storage, zones

from era_ap.config import Gate
from era_ap.directory.index import Change, DirectoryIndex
from era_ap.directory.model import read_account, read_domain
from era_ap.errors import Reason
from era_ap.phone import names_of
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules

MAC = "7c2f80aabbcc"
SECRET = b"s3cret-of-101"
GATE = Gate("sg1", 1, "192.0.2.10", "192.0.2.10", 5060)
RULES = Rules("demo", "example.com", (GATE,), zones=zones())
MISSING = {Reason.TEMPLATE_MISSING, Reason.COMMON_TEMPLATE_MISSING, Reason.NO_MASK}


@cache
def _provisioner(model: str) -> Provisioner:
    document = {
        "name": "Anna",
        "password": SECRET.decode(),
        "opts": {"ap_devices": [{"mac": MAC, "device_model": model, "line": "1"}]},
    }
    account, problems = read_account("a.example.com", "101", document, origin="test", revision="1")
    assert account is not None, problems
    made = Provisioner(RULES, lambda name: ("192.0.2.123",))
    made.catalogue = storage()
    made.directory = DirectoryIndex()
    domains = []
    for name in ("example.com", "a.example.com"):
        domain, problems = read_domain(name, {"settings": {}}, origin=name, revision="1")
        assert domain is not None, problems
        domains.append(domain)
    made.directory.apply(Change((account,), domains=tuple(domains)))
    return made


def asked(model: str, name: str) -> bytes | None:
    """The file; None if it is not there, which is said at once."""
    answer = _provisioner(model).answer(FileRequest(name, "192.0.2.50", Transport.TFTP, "192.0.2.1"), 0.0)
    if isinstance(answer, Refusal):
        assert answer.reason in MISSING, (name, answer)
        return None
    assert isinstance(answer, Filling), answer
    return answer.render(lambda: 0.0, 1.0).data


def chain(vendor: str, model: str, asks_as: str = "") -> list[str]:
    """The names that exist, in the order of the phone; nothing but its own file has its password."""
    found = []
    for step in names_of(vendor, MAC, asks_as or model):
        for name in step:
            data = asked(model, name)
            if data is not None:
                assert data.strip()
                assert (SECRET in data) is (MAC in name.lower()), name
                found.append(name)
                break
    return found
