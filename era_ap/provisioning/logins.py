"""Which user and password a phone must show over HTTP where its MAC is not enough.

Owns the order: ``http_password`` of the device (with ``http_user``, else the MAC), or else the constants
``http_user`` and ``http_password``, looked for like any constant: domain, master domain, site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.directory.index import Phone
from era_ap.provisioning.credentials import Login

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from era_ap.directory.index import DirectoryIndex
    from era_ap.provisioning.catalogue import Catalogue


def login_of(
    mac: str, master_domain: str, directory: DirectoryIndex | None, catalogue: Catalogue | None
) -> Login | None:
    """The login of the phone ``mac``; None if none is set, or if nobody can say whose phone it is."""
    phone = directory.phone_of(mac) if directory is not None and mac else None
    if isinstance(phone, Phone):
        for _, device in phone.lines:
            password = device.fields.get("http_password")
            if password:
                return Login(str(device.fields.get("http_user") or mac), str(password))
    domains = [phone.lines[0][0].key.domain] if isinstance(phone, Phone) else []
    for constants in _constants([*domains, master_domain], directory, catalogue):
        user, password = constants.get("http_user"), constants.get("http_password")
        if user and password:
            return Login(user, password)
    return None


def _constants(
    domains: list[str], directory: DirectoryIndex | None, catalogue: Catalogue | None
) -> Iterator[Mapping[str, str]]:
    for name in domains:
        domain = directory.domain(name) if directory is not None else None
        if domain is not None:
            yield domain.constants
    if catalogue is not None:
        yield catalogue.constants
