"""``ext.cluster``, ``ext.zookeeper`` and ``ext.management`` of an ap role: how instances act as one (spec 9).

Owns the keys, their ranges and what they need of each other. Does not own the list of servers, which is the
site's (``shape``), nor what a time limit means to a leader.
"""

from __future__ import annotations

import enum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from era_ap.config.fields import (
    AddressField,
    Flag,
    Int,
    PathField,
    Seconds,
    Shape,
    matching,
    one_of,
)
from era_ap.config.problems import DisagreementError


class Mechanism(enum.StrEnum):
    """How an instance proves who it is to ZooKeeper; SASL is DIGEST-MD5 (RFC 2831)."""

    DIGEST = "digest"
    SASL = "sasl"


_USER = matching(r"[^\s:@\"\\]{1,64}", "must be a name without blanks, quotes, ':' and '@'")
_Mechanism = Annotated[Mechanism, BeforeValidator(one_of(Mechanism))]


class Cluster(Shape):
    """When an instance of a group stands in for another one."""

    session_seconds: Seconds = Field(
        default=4.0, ge=2, le=60, description="session timeout asked of ZooKeeper, seconds"
    )
    hold_down_seconds: Seconds = Field(
        default=30.0, ge=0, le=3600, description="time a better member must be fit before it takes over"
    )
    failsafe: Flag = Field(
        default=True, description="ZooKeeper lost for everybody: the last leader goes on if all others agree"
    )


class Zookeeper(Shape):
    """How an instance connects to the ensemble that the site names."""

    user: Annotated[str, BeforeValidator(_USER)] | None = Field(
        default=None, description="name to authenticate with; absent: everybody may read and write our nodes"
    )
    password_file: PathField | None = Field(
        default=None, description="file with the password of the user, one line"
    )
    mechanism: _Mechanism = Field(
        default=Mechanism.DIGEST, description="digest, or sasl (DIGEST-MD5) where the servers keep the users"
    )
    tls: Flag = Field(default=False, description="true: TLS, on the servers' secureClientPort")
    ca_file: PathField | None = Field(
        default=None, description="PEM file with the authority of the servers; absent: those of the system"
    )
    cert_file: PathField | None = Field(
        default=None, description="PEM file with the certificate of this client and its chain"
    )
    key_file: PathField | None = Field(
        default=None, description="PEM file with the key of the client's certificate"
    )

    @model_validator(mode="after")
    def _user_has_a_password(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            has, needs = ("user", "password_file") if self.user else ("password_file", "user")
            raise DisagreementError(f"has {has}, which needs {needs}")
        if self.mechanism is Mechanism.SASL and self.user is None:
            raise DisagreementError("has mechanism sasl, which needs user and password_file")
        return self

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> Self:
        given = [key for key in ("ca_file", "cert_file", "key_file") if getattr(self, key) is not None]
        if given and not self.tls:
            raise DisagreementError(f"has {given[0]}, which needs tls: true")
        if (self.cert_file is None) != (self.key_file is None):
            raise DisagreementError("needs both cert_file and key_file, or none")
        return self


class Management(Shape):
    """Where an instance answers operators, monitoring and the other instances."""

    address: AddressField | None = Field(
        default=None, description="address of the management port; absent: that of iface"
    )
    port: Annotated[Int, Field(ge=0, le=65535)] = Field(
        default=9069, description="TCP port of management and of the other instances; 0: the kernel chooses"
    )
