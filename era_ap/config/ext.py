"""``ext`` of an ap role: ports, limits and policies of this daemon, each with its default (spec 3).

Owns the keys, their ranges and their one-line meaning (``description``), which deploy/site.yml repeats. Does
not own what a limit does.
"""

from __future__ import annotations

import enum
import re
from ipaddress import ip_network
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from era_ap.config.cluster import Cluster, Management, Zookeeper
from era_ap.config.fields import (
    AddressField,
    Flag,
    Int,
    Network,
    NetworkField,
    PathField,
    Seconds,
    Shape,
    as_flag,
    as_network,
    as_text,
    distinct,
    matching,
    one_of,
    some,
)
from era_ap.config.pnp import Pnp
from era_ap.config.problems import DisagreementError


class LogFormat(enum.StrEnum):
    """Form of a log line; AUTO is console on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(enum.StrEnum):
    """The least severe message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Missing(enum.StrEnum):
    """What a template gets for a field or constant that does not exist (spec 6)."""

    EMPTY = "empty"
    ERROR = "error"


class HttpAuth(enum.StrEnum):
    """Credentials asked of a phone over HTTP whose MAC is not enough; VENDOR is Digest, but Basic for phones
    that cannot do it.
    """

    NONE = "none"
    BASIC = "basic"
    DIGEST = "digest"
    VENDOR = "vendor"


class PortRange(NamedTuple):
    """UDP ports, both ends included."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


def _as_ports(value: object) -> PortRange:
    if isinstance(value, PortRange):
        return value
    found = re.fullmatch(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})", as_text(value))
    if found and int(found[1]) <= int(found[2]) <= 65535:
        return PortRange(int(found[1]), int(found[2]))
    raise ValueError("must be LOW-HIGH, two ports from 1 to 65535 in rising order")


def _as_networks(value: object) -> tuple[Network, ...]:
    if isinstance(value, list | tuple):
        return tuple(as_network(item) for item in value)
    if isinstance(value, str) and value.lower() == "private":
        return PRIVATE
    try:
        return EVERYWHERE if as_flag(value) else ()
    except ValueError:
        raise ValueError("must be true, false, private or a list of networks like 10.0.0.0/8") from None


_REQUIRED = matching(
    r"sipuser(\.[^\s.\[\]]+)+", "must be a field of the account as a template writes it, like sipuser.login"
)
_Listen = Annotated[tuple[AddressField, ...], AfterValidator(some), AfterValidator(distinct)]
_Allow = Annotated[tuple[NetworkField, ...], AfterValidator(some), AfterValidator(distinct)]
_Required = Annotated[tuple[Annotated[str, BeforeValidator(_REQUIRED)], ...], AfterValidator(distinct)]
_Ports = Annotated[PortRange, PlainValidator(_as_ports)]
_Missing = Annotated[Missing, BeforeValidator(one_of(Missing))]
_HttpAuth = Annotated[HttpAuth, BeforeValidator(one_of(HttpAuth))]
_Networks = Annotated[tuple[NetworkField, ...], AfterValidator(distinct)]
_Enough = Annotated[tuple[Network, ...], PlainValidator(_as_networks)]
_Port = Annotated[Int, Field(ge=0, le=65535)]
_LogFormat = Annotated[LogFormat, BeforeValidator(one_of(LogFormat))]
_LogLevel = Annotated[LogLevel, BeforeValidator(one_of(LogLevel))]

_LOCAL = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "fc00::/7",
    "::1/128",
    "fe80::/10",
)

PRIVATE = tuple(ip_network(text) for text in _LOCAL)
"""Private, loopback and link-local networks."""
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class MacIsEnough(Shape):
    """Where a MAC alone gets a phone its file, by transport; elsewhere it takes more than a guess."""

    tftp: _Enough = Field(default=PRIVATE, description="for TFTP: true, false, private or a list of networks")
    http: _Enough = Field(default=PRIVATE, description="for HTTP: true, false, private or a list of networks")
    https: _Enough = Field(
        default=PRIVATE, description="for HTTPS: true, false, private or a list of networks"
    )


class Misses(Shape):
    """How many MACs that nobody owns one address may ask for within a window of seconds."""

    count: Int = Field(
        default=20, ge=1, le=100_000, description="unknown MACs one address may ask for within the window"
    )
    window: Seconds = Field(
        default=60.0, ge=1, le=86_400, description="seconds after which an unknown MAC is forgotten"
    )


class Log(Shape):
    """What is logged and how."""

    format: _LogFormat = Field(default=LogFormat.AUTO, description="auto, json or console")
    level: _LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error")


class Ext(Shape):
    """Everything of an ap role that the role's own keys do not say; ``Ext()`` is all defaults."""

    listen: _Listen = Field(
        default=("0.0.0.0", "::"),  # nosec B104 # noqa: S104 - phones are everywhere; ext.allow is the fence
        description="addresses to serve TFTP on",
    )
    allow: _Allow = Field(
        default=PRIVATE,
        description="networks that are served; all others are refused",
    )
    mac_is_enough: MacIsEnough = Field(
        default=MacIsEnough(), description="networks in which a MAC alone gets a phone its file"
    )
    key_file: PathField | None = Field(
        default=None,
        description="file with the site's secret key; absent: the cluster's, else one of this process",
    )
    url_seconds: Seconds = Field(
        default=600.0, ge=10, le=604_800, description="life of a temporary address, seconds"
    )
    http_listen: _Listen = Field(
        default=("0.0.0.0", "::"),  # nosec B104 # noqa: S104 - as for TFTP
        description="addresses to serve HTTP and HTTPS on",
    )
    http_port: _Port | None = Field(
        default=None, description="port of HTTP for phones; 0: the kernel chooses; absent: none"
    )
    https_port: _Port | None = Field(
        default=None, description="port of HTTPS for phones; 0: the kernel chooses; absent: none"
    )
    tls_cert: PathField | None = Field(
        default=None, description="PEM file with the certificate of HTTPS and its chain"
    )
    tls_key: PathField | None = Field(default=None, description="PEM file with the key of the certificate")
    http_auth: _HttpAuth = Field(
        default=HttpAuth.NONE,
        description="credentials where a MAC is not enough: none, basic, digest or vendor",
    )
    http_proxies: _Networks = Field(
        default=(), description="networks of proxies whose X-Forwarded-For is believed"
    )
    http_connections: Int = Field(default=4096, ge=1, le=1_000_000, description="HTTP connections at once")
    http_connections_per_address: Int = Field(
        default=256, ge=1, le=1_000_000, description="HTTP connections at once of one address"
    )
    http_request_seconds: Seconds = Field(
        default=10.0, ge=1, le=300, description="time a phone has to send the header of a request"
    )
    http_keep_seconds: Seconds = Field(
        default=15.0, ge=0, le=3600, description="time an idle connection is kept for another request"
    )
    single_port: Flag = Field(
        default=False, description="answer from the TFTP port itself, for NAT and containers"
    )
    blksize: Int = Field(
        default=1428, ge=8, le=65464, description="largest block size agreed to, bytes (RFC 2348)"
    )
    windowsize: Int = Field(
        default=16, ge=1, le=64, description="largest window agreed to, blocks (RFC 7440)"
    )
    timeout: Int = Field(default=5, ge=1, le=255, description="largest timeout agreed to, seconds (RFC 2349)")
    tid_ports: _Ports | None = Field(
        default=None, description="UDP ports of transfers, LOW-HIGH; absent: the kernel chooses"
    )
    transfers: Int = Field(default=4096, ge=1, le=1_000_000, description="transfers at once")
    transfers_per_address: Int = Field(
        default=256, ge=1, le=1_000_000, description="transfers at once of one address"
    )
    requests_per_second: Int = Field(
        default=100, ge=1, le=1_000_000, description="requests per second of one address"
    )
    misses: Misses = Field(default=Misses(), description="throttle for addresses that guess MACs")
    uploads: PathField | None = Field(
        default=None, description="folder for what phones upload; absent: uploads are refused"
    )
    upload_bytes: Int = Field(default=1 << 20, ge=1, le=1 << 30, description="largest upload, bytes")
    upload_count: Int = Field(
        default=10_000, ge=1, le=10_000_000, description="most files in the folder of uploads"
    )
    pnp: Pnp = Field(default=Pnp(), description="answers to phones that look for their server by multicast")
    missing: _Missing = Field(
        default=Missing.EMPTY, description="missing field or constant: empty (and a warning) or error"
    )
    required: _Required = Field(
        default=("sipuser.login", "sipuser.password"),
        description="fields without which no file is issued (the password only where the account registers)",
    )
    reuse_seconds: Seconds = Field(
        default=30.0, ge=0, le=3600, description="how long a repeated request gets the same bytes"
    )
    poll_seconds: Seconds = Field(
        default=0.5, ge=0.1, le=2, description="pause between two looks for changes"
    )
    storage_seconds: Seconds = Field(
        default=1.5, ge=0.1, le=60, description="time limit of one read of the storage"
    )
    dns: Annotated[tuple[AddressField, ...], AfterValidator(distinct)] = Field(
        default=(), description="name servers for [nslookup]; empty: those of the system"
    )
    cluster: Cluster = Field(
        default=Cluster(), description="when an instance of a group stands in for another one"
    )
    zookeeper: Zookeeper = Field(
        default=Zookeeper(), description="how to connect to the servers that the site's zookeeper names"
    )
    management: Management = Field(
        default=Management(), description="port for operators, monitoring and the other instances"
    )
    state: PathField | None = Field(
        default=None,
        description="folder of the last known state; absent: $STATE_DIRECTORY, else state/ beside this file",
    )
    drain_seconds: Seconds = Field(
        default=10.0, ge=0, le=600, description="time running transfers get when the role stops"
    )
    log: Log = Field(default=Log(), description="the daemon's own log")
    journal: PathField | None = Field(
        default=None, description="file with one record per request; absent: the log only"
    )

    @model_validator(mode="after")
    def _one_port_or_many(self) -> Self:
        if self.single_port and self.tid_ports:
            raise DisagreementError("has both single_port and tid_ports; keep one")
        return self

    @model_validator(mode="after")
    def _https_has_its_files(self) -> Self:
        if self.https_port is not None and (self.tls_cert is None or self.tls_key is None):
            raise DisagreementError("has https_port, which needs tls_cert and tls_key")
        if self.https_port and self.https_port == self.http_port:
            raise DisagreementError("has the same http_port and https_port; choose two")
        return self
