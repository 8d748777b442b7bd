"""What the directory holds: domains, SIP accounts and their devices. Pure data, no I/O.

Owns the shapes and the reading of an account or domain document: typed fields, constants with dotted keys.
Does not own where documents come from (``yaml_files``) nor the look-up by MAC (``index``). Every scalar is
text, as typed; null is None.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from era_ap.directory.devices import Device, read_devices
from era_ap.directory.notation import Findings, parse_domain, parse_login, parse_mac, shown, text_tree
from era_ap.errors import Problem, Reason

__all__ = ["Account", "AccountKey", "Device", "Domain", "parse_mac", "read_account", "read_domain"]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_OPTS_KEYS = ("ap_devices", "ap_mac_address", "ap_device_model")
_EXT_KEYS = ("ap_blf", "ap_override")
_RESERVED_CONSTANTS = frozenset({"domain", "sg.addr", "newid"})


class AccountKey(NamedTuple):
    """Identity of a SIP account; sorts by domain, then login."""

    domain: str
    login: str

    def __str__(self) -> str:
        return f"{self.login}@{self.domain}"


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """One SIP account. ``fields`` is the whole document, always with ``login`` and ``domain``.

    ``registers`` is the field ``reg``; ``revision`` changes with the content; ``origin`` is for messages.
    """

    key: AccountKey
    fields: Mapping[str, object]
    devices: tuple[Device, ...]
    registers: bool
    revision: str
    origin: str

    def device(self, mac: str) -> Device | None:
        """The device with that MAC; where it has several lines of this account, the lowest."""
        return next(iter(self.lines_on(mac)), None)

    def lines_on(self, mac: str) -> tuple[Device, ...]:
        """All lines of this account on the phone ``mac``, lowest first."""
        found = [each for each in self.devices if each.mac == mac]
        return tuple(sorted(found, key=lambda each: each.line) if len(found) > 1 else found)


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """One tenant. ``constants`` is ``settings.ap_constants`` with dotted keys, ``masks`` as written."""

    name: str
    settings: Mapping[str, object]
    constants: Mapping[str, str]
    masks: tuple[object, ...]
    revision: str
    origin: str


def read_account(
    domain: str, login: str, document: object, *, origin: str, revision: str, is_text: bool = False
) -> tuple[Account | None, tuple[Problem, ...]]:
    """The account that ``document`` describes, None if it is unusable as a whole, and all findings.

    ``domain`` and ``login`` are what the document's place says; fields of these names must agree.
    A device that cannot be read is a problem of its own, the other devices go on. ``is_text`` says that every
    scalar of the document is text already: it is then taken as it is and must not change afterwards.
    """
    key = AccountKey(domain, login)
    found = Findings(origin, str(key))
    fields = document if is_text and isinstance(document, dict) else _read_fields(document, found)
    if fields is None or not _agrees(fields, key, found):
        return None, tuple(found.problems)
    opts, ext = _section(fields, "opts", found), _section(fields, "ext", found)
    if opts is None or ext is None:
        return None, tuple(found.problems)
    _warn_misplaced(fields, opts, ext, found)
    account = Account(
        key=key,
        fields={**fields, "login": login, "domain": domain},
        devices=read_devices(opts, ext, found),
        registers=_read_reg(fields.get("reg"), found),
        revision=revision,
        origin=origin,
    )
    return account, tuple(found.problems)


def _read_fields(document: object, found: Findings) -> dict[str, object] | None:
    try:
        fields = text_tree(document)
    except ValueError as error:
        found.error(Reason.ACCOUNT_INVALID, f"the document is {error}")
        return None
    if not isinstance(fields, dict):
        found.error(
            Reason.ACCOUNT_INVALID, "the document must be an object of fields (login, password, opts, ext …)"
        )
        return None
    return fields


def _agrees(fields: Mapping[str, object], key: AccountKey, found: Findings) -> bool:
    login, domain = fields.get("login"), fields.get("domain")
    if parse_domain(key.domain) != key.domain or parse_login(key.login) is None:
        found.error(Reason.ACCOUNT_INVALID, "the login or the domain is not a usable name")
        return False
    if login is not None and login != key.login:
        found.error(
            Reason.ACCOUNT_INVALID,
            f"the field login is {login!r}, its place says {key.login!r}; make them agree",
        )
        return False
    if domain is not None and not (isinstance(domain, str) and domain.lower() == key.domain):
        found.error(
            Reason.ACCOUNT_INVALID,
            f"the field domain is {domain!r}, its place says {key.domain!r}; make them agree",
        )
        return False
    return True


def _section(fields: Mapping[str, object], name: str, found: Findings) -> Mapping[str, object] | None:
    value = fields.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    found.error(Reason.ACCOUNT_INVALID, f"the field {name} must be an object")
    return None


def _warn_misplaced(
    fields: Mapping[str, object], opts: Mapping[str, object], ext: Mapping[str, object], found: Findings
) -> None:
    for right, keys, others in (
        ("opts", _OPTS_KEYS, {"ext.": ext, "": fields}),
        ("ext", _EXT_KEYS, {"opts.": opts, "": fields}),
    ):
        for prefix, place in others.items():
            for key in keys:
                if key in place:
                    found.warning(
                        Reason.ACCOUNT_INVALID, f"{prefix}{key} is not read; it belongs to {right}.{key}"
                    )


def _read_reg(value: object, found: Findings) -> bool:
    word = value.strip().lower() if isinstance(value, str) else ""
    if value is None or word in _TRUE:
        return True
    if word in _FALSE:
        return False
    found.error(Reason.ACCOUNT_INVALID, f"reg is {shown(value)}; write true or false. It is taken as true")
    return True


def read_domain(
    name: str, document: object, *, origin: str, revision: str
) -> tuple[Domain | None, tuple[Problem, ...]]:
    """The domain that ``document`` (``{settings: {…}}``) describes, None if unusable, and all findings.

    Constants: nested objects and lists become dotted keys (``ntp.servers.0``); null is "not defined here", so
    that the next source answers; an empty text is a value.
    """
    found = Findings(origin, name)
    try:
        fields = text_tree(document)
        if not isinstance(fields, dict):
            raise ValueError("not an object with the key settings")
        _check_domain(name, fields, found)
        settings = _object(fields, "settings")
        constants = _read_constants(_object(settings, "ap_constants"), found)
        masks = _object(settings, "ap_options").get("masks")
    except ValueError as error:
        found.error(Reason.DOMAIN_INVALID, f"the document is {error}")
        return None, tuple(found.problems)
    listed = masks if isinstance(masks, list) else [] if masks is None else [masks]
    domain = Domain(name, settings, constants, tuple(listed), revision, origin)
    return domain, tuple(found.problems)


def _check_domain(name: str, fields: Mapping[str, object], found: Findings) -> None:
    for key in ("name", "domain"):
        stated = fields.get(key)
        if stated is not None and not (isinstance(stated, str) and stated.lower() == name):
            raise ValueError(
                f"of another domain: the field {key} is {shown(stated)}, its place says {name!r}"
            )
    for key in ("ap_constants", "ap_options"):
        if key in fields:
            found.warning(Reason.DOMAIN_INVALID, f"{key} is not read; it belongs to settings.{key}")


def _object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = fields.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"unusable: {name} must be an object")


def _read_constants(value: Mapping[str, object], found: Findings) -> dict[str, str]:
    constants: dict[str, str] = {}
    for key, text in _flatten(value, ""):
        if key in _RESERVED_CONSTANTS:
            found.warning(Reason.DOMAIN_INVALID, f"the constant {key} is reserved; this one is not used")
        elif key in constants:
            found.warning(Reason.DOMAIN_INVALID, f"the constant {key} is defined twice; the first is used")
        else:
            constants[sys.intern(key)] = text
    return constants


def _flatten(value: object, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield prefix, value
        return
    pairs = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, each in pairs:
        yield from _flatten(each, f"{prefix}.{key}" if prefix else str(key))
