"""A virtual phone: asks a TFTP server for what a real phone of a vendor asks for at boot, in its order.

Owns the walk through a boot chain (``data/phones.yml``): what is asked next only if something was missing,
which lists inside a file are followed, strict limits of time and size. Does not judge what the files say.
TFTP is the client of the tftpy library, so that a server meets another implementation than its own
(RFC 1350, 2347, 2348).
"""

from __future__ import annotations

import enum
import io
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from urllib.parse import urlsplit

import tftpy
import yaml
from lxml import etree

from era_ap.directory.notation import parse_mac

MAX_FETCHES = 32
MAX_BYTES = 64 * 1024 * 1024
_OPTIONS = {"blksize": (8, 65464), "tsize": (0, 0)}
_BOOT_INCLUDE = re.compile(
    r"""^[ \t]*(?:\[(?P<model>[^\]\r\n]*)\])?[ \t]*include:config[ \t]*"""
    r"""(?:"(?P<a>[^"\r\n]+)"|<(?P<b>[^>\r\n]+)>)""",
    re.MULTILINE,
)
_CONFIG_FILES = re.compile(r"""\bCONFIG_FILES[ \t]*=[ \t]*"([^"]*)\"""")


class End(enum.Enum):
    """How one request ended."""

    FILE = "file"
    ERROR = "error"
    SILENT = "silent"
    BROKEN = "broken"
    ELSEWHERE = "elsewhere"


class Follow(enum.Enum):
    """Which list of further files a file is."""

    NOTHING = "nothing"
    BOOT = "boot"
    SETTING_FILES = "setting-files"
    CONFIG_FILES = "config-files"


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request and how it ended.

    ``data`` is the file, None without one; ``code`` and ``text`` are those of the server's ERROR (RFC 1350
    section 5), else None and what went wrong; ``seconds`` is how long it took; ``own`` says that this is the
    phone's own configuration, not a common file and not a list.
    """

    name: str
    end: End
    data: bytes | None
    code: int | None
    text: str
    seconds: float
    own: bool


@dataclass(frozen=True, slots=True)
class Step:
    """Names tried in order until one exists; ``ends``: if one does, the chain ends with what it lists."""

    first_of: tuple[str, ...]
    follow: Follow = Follow.NOTHING
    ends: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """How the phones of one vendor boot; ``retries`` is how often an unanswered packet is sent in all."""

    vendor: str
    steps: tuple[Step, ...]
    model: str
    codes: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, int] = field(default_factory=dict)
    retries: int = 3


def profiles() -> Mapping[str, Profile]:
    """The known vendors by name, read from package data."""
    text = resources.files("era_ap").joinpath("data/phones.yml").read_text(encoding="utf-8")
    return {str(vendor): _profile(str(vendor), entry) for vendor, entry in yaml.safe_load(text).items()}


def got_own_file(fetches: tuple[Fetch, ...]) -> bool:
    """Whether the phone ended with a configuration of its own."""
    return any(fetch.own and fetch.end is End.FILE for fetch in fetches)


def boot(
    vendor: str,
    mac: str,
    model: str,
    host: str,
    port: int,
    *,
    options: Mapping[str, int] | None = None,
    timeout: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Fetch, ...]:
    """Boot one phone against ``host`` (a name or an IPv4 address) and return every request in order.

    ``mac`` in any notation; ``model`` may be empty for the vendor's usual one; ``options`` (blksize, tsize)
    replace the vendor's; one file takes at most ``timeout`` seconds. Raises ValueError for what cannot be
    asked for.
    """
    known = profiles()
    if vendor not in known:
        raise ValueError(f"unknown vendor {vendor!r}; known: {', '.join(sorted(known))}")
    if ":" in host:
        raise ValueError(f"{host!r}: the tftpy library speaks IPv4 only; give a name or an IPv4 address")
    digits = parse_mac(mac)
    if digits is None:
        raise ValueError(f"{mac!r} is not a MAC: 12 hex digits, with or without separators")
    profile = known[vendor]
    asked = dict(profile.options if options is None else options)
    _check_options(asked)
    server = _Server(host, port, asked, profile.retries, timeout, clock)
    logging.getLogger("tftpy").setLevel(logging.CRITICAL + 1)  # it logs each missing file as an error
    walk = _Walk(_Names(digits, model or profile.model, profile.codes), server)
    for step in profile.steps:
        if walk.take(step) and step.ends:
            break
    return tuple(walk.fetches)


def fetch(
    name: str,
    host: str,
    port: int,
    *,
    timeout: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """Ask for the one file whose URL a phone was given."""
    logging.getLogger("tftpy").setLevel(logging.CRITICAL + 1)
    return _Server(host, port, {}, 3, timeout, clock).fetch(name, own=True)


def names_of(vendor: str, mac: str, model: str) -> tuple[tuple[str, ...], ...]:
    """The names a phone asks for at boot, step by step; within a step each if those before are missing."""
    profile = profiles()[vendor]
    names = _Names(mac, model or profile.model, profile.codes)
    return tuple(tuple(map(names.fill, step.first_of)) for step in profile.steps)


# --- the walk


@dataclass(frozen=True, slots=True)
class _Names:
    """Fills the macros of a name for one phone."""

    mac: str
    model: str
    codes: Mapping[str, str]

    def fill(self, name: str) -> str:
        code = self.codes.get(self.model, self.codes.get("", ""))
        values = {"{mac}": self.mac, "{MAC}": self.mac.upper(), "{model}": self.model, "{code}": code}
        values |= {"[PHONE_MAC_ADDRESS]": self.mac, "[PHONE_MODEL]": self.model, "$MA": self.mac}
        for macro, value in values.items():
            name = name.replace(macro, value)
        return name

    def owns(self, name: str) -> bool:
        return self.mac in re.sub("[:.-]", "", name.lower())


@dataclass(slots=True)
class _Walk:
    """One boot: what was asked so far, at most ``MAX_FETCHES`` files, none of them twice."""

    names: _Names
    server: _Server
    fetches: list[Fetch] = field(default_factory=list)

    def take(self, step: Step) -> bool:
        """Do one step; whether it found a file."""
        return any(self._ask(self.names.fill(name), step) for name in step.first_of)

    def _ask(self, name: str, step: Step) -> bool:
        if len(self.fetches) >= MAX_FETCHES or any(name == earlier.name for earlier in self.fetches):
            return False
        fetch = self.server.fetch(name, own=not step.listed and self.names.owns(name))
        listed = () if fetch.data is None else tuple(_listed(step.follow, fetch.data, self.names))
        self.fetches.append(replace(fetch, own=False) if listed else fetch)
        for further in listed:
            path = self.server.path_of(further)
            if path is not None:
                self._ask(path, Step((path,), step.follow))
            elif len(self.fetches) < MAX_FETCHES:
                self.fetches.append(
                    Fetch(further, End.ELSEWHERE, None, None, "on another server", 0.0, False)
                )
        return fetch.end is End.FILE


def _listed(follow: Follow, data: bytes, names: _Names) -> Iterator[str]:
    if follow is Follow.BOOT:
        for match in _BOOT_INCLUDE.finditer(data.decode("utf-8", "replace")):
            if match["model"] is None or match["model"] == names.model:
                yield names.fill(match["a"] or match["b"])
    elif follow is Follow.CONFIG_FILES:
        for match in _CONFIG_FILES.finditer(data.decode("utf-8", "replace")):
            yield from (names.fill(name.strip()) for name in match[1].split(",") if name.strip())
    elif follow is Follow.SETTING_FILES:
        yield from (url.replace("{mac}", names.mac.upper()) for url in _setting_files(data))


def _setting_files(data: bytes) -> Iterator[str]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        return
    if root.tag == "setting-files":
        yield from (url for file in root.findall("file") if (url := file.get("url")))


# --- one file


class _LimitError(Exception):
    """The file passed the limit of time or size; the text says which."""


class _Limited(io.BytesIO):
    """A file in memory that refuses to grow beyond ``MAX_BYTES``."""

    def write(self, data: object) -> int:
        assert isinstance(data, bytes)
        if self.tell() + len(data) > MAX_BYTES:
            raise _LimitError(f"larger than {MAX_BYTES} bytes")
        return super().write(data)


@dataclass(frozen=True, slots=True)
class _Server:
    """One TFTP server, as one phone talks to it."""

    host: str
    port: int
    options: Mapping[str, int]
    retries: int
    timeout: float
    clock: Callable[[], float]

    def path_of(self, name: str) -> str | None:
        """The name to ask this server for, None if the URL means another server."""
        if "://" not in name:
            return name
        url = urlsplit(name)
        here = url.scheme == "tftp" and url.hostname == self.host.lower() and (url.port or 69) == self.port
        return url.path.lstrip("/") if here else None

    def fetch(self, name: str, *, own: bool) -> Fetch:
        """Ask for one file; whatever happens is in the result."""
        start = self.clock()
        code, end, text, data = None, End.BROKEN, "", None
        output = _Limited()
        error = _ErrorSeen()
        try:
            client = tftpy.TftpClient(self.host, self.port, dict(self.options))
            watch = self._watch(client, start + self.timeout, error)
            client.download(name, output, watch, timeout=self.timeout / self.retries, retries=self.retries)
            end, data = End.FILE, output.getvalue()
        except tftpy.TftpTimeout:
            end, text = End.SILENT, f"no answer from {self.host}, port {self.port}"
        except OSError as failure:
            text = failure.strerror or str(failure)
        except (tftpy.TftpException, _LimitError, ValueError) as failure:
            text = str(failure)
        if end is End.BROKEN and error.code is not None:
            end, code, text = End.ERROR, error.code, error.text
        return Fetch(name, end, data, code, text, self.clock() - start, own)

    def _watch(
        self, client: tftpy.TftpClient, deadline: float, error: _ErrorSeen
    ) -> Callable[[object], None]:
        def watch(packet: object) -> None:
            if isinstance(packet, tftpy.TftpPacketTypes.TftpPacketERR):
                error.code = packet.errorcode
                error.text = _text(packet.errmsg)
            left = deadline - self.clock()
            if left <= 0:
                raise _LimitError(f"not whole within {self.timeout:g} s")
            client.context.sock.settimeout(left / self.retries)

        return watch


@dataclass(slots=True)
class _ErrorSeen:
    """The ERROR packet that ended a transfer, if one did."""

    code: int | None = None
    text: str = ""


def _text(message: object) -> str:
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message or "")


# --- reading the data file


def _profile(vendor: str, entry: Mapping[str, object]) -> Profile:
    steps = entry["steps"]
    assert isinstance(steps, list)
    codes = entry.get("codes", {})
    options = entry.get("options", {})
    assert isinstance(codes, Mapping)
    assert isinstance(options, Mapping)
    return Profile(
        vendor,
        tuple(
            Step(
                tuple(step["first_of"]),
                Follow(step.get("follow", "nothing")),
                bool(step.get("ends", False)),
                bool(step.get("listed", False)),
            )
            for step in steps
        ),
        str(entry.get("model", "")),
        {str(model): str(code) for model, code in codes.items()},
        {str(name): int(value) for name, value in options.items()},
        int(str(entry.get("retries", 3))),
    )


def _check_options(options: Mapping[str, int]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ValueError(f"the option {name!r} cannot be asked for; possible: {', '.join(_OPTIONS)}")
        low, high = _OPTIONS[name]
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}; it may be {low} to {high}")
