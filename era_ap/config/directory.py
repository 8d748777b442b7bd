"""``directory`` of a site: where domains and accounts are kept, in folders of YAML files or SQL databases.

Owns the keys of a database and what they need of each other. Does not own the three forms of the whole
(``sources``), the notation of a URL (``database_url``), nor what a query means (``directory.query_rows``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, model_validator

from era_ap.config.database_url import SqlAddress, as_database
from era_ap.config.fields import Flag, Int, PathField, Seconds, Shape, as_text, matching, resolve
from era_ap.config.problems import DisagreementError

MAX_QUERY = 65_536

_READY = re.compile("[a-z][a-z0-9_]*")
_PARAMETER = matching("[a-z][a-z0-9_]*", "must be a name of lower-case letters, digits and _")


def as_query(value: object) -> str:
    """The text of one SELECT; it may have several lines."""
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > MAX_QUERY:
        raise DisagreementError(f"must be the text of one SELECT, of at most {MAX_QUERY} characters")
    return value.strip().rstrip("; \n")


Query = Annotated[str, BeforeValidator(as_query)]
Parameters = dict[Annotated[str, BeforeValidator(_PARAMETER)], Annotated[str, BeforeValidator(as_text)]]


class Queries(Shape):
    """What to ask a database that is not ours; ``directory.query_rows`` says what columns mean."""

    accounts: Query = Field(description="SELECT of the accounts: domain, login, password …")
    devices: Query | None = Field(
        default=None, description="SELECT of the phones' lines: domain, login, mac, device_model, line …"
    )
    keys: Query | None = Field(
        default=None, description="SELECT of BLF and function keys: domain, login, mac, type, number, label …"
    )
    domains: Query | None = Field(
        default=None, description="SELECT of the domains and their constants: domain, constant, value …"
    )
    changed: Query | None = Field(
        default=None, description="SELECT of one row; while it stays the same nothing else is read"
    )


def as_queries(value: object, info: ValidationInfo) -> Queries | Path | str:
    """The queries themselves, a file of them, or the name of ready ones."""
    if isinstance(value, Queries):
        return value
    text = as_text(value)
    if _READY.fullmatch(text):
        return text
    if not text.endswith((".yml", ".yaml")):
        raise ValueError("must be a name of ready queries, a file like ./my.yml, or an object of queries")
    return resolve(text, info)


class SqlShape(Shape):
    """A database as a source of domains and accounts."""

    sql: Annotated[SqlAddress, PlainValidator(as_database)] = Field(
        description="URL of the database, best without a password"
    )
    password_file: PathField | None = Field(
        default=None, description="file with the password of the user, one line"
    )
    queries: Annotated[Queries | Path | str, PlainValidator(as_queries)] | None = Field(
        default=None, description="for a foreign database: name of ready queries, a file, or the queries"
    )
    parameters: Parameters = Field(default={}, description="values of the queries' parameters, by name")
    poll_seconds: Annotated[Seconds, Field(ge=0.1, le=86400)] | None = Field(
        default=None, description="pause between two looks; absent: ext.poll_seconds, with queries 10"
    )
    pool: Annotated[Int, Field(ge=1, le=100)] = Field(default=3, description="connections at once")
    seconds: Annotated[Seconds, Field(ge=0.5, le=60)] = Field(
        default=3.0, description="time limit of connecting and of a statement; ten times it for mass reading"
    )
    tls: Flag = Field(default=False, description="true: TLS, and the server must prove its name")
    ca_file: PathField | None = Field(
        default=None, description="PEM file with the authority of the server; absent: those of the system"
    )
    cert_file: PathField | None = Field(
        default=None, description="PEM file with the certificate of this client and its chain"
    )
    key_file: PathField | None = Field(
        default=None, description="PEM file with the key of the client's certificate"
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.password_file is not None and self.sql.password is not None:
            raise DisagreementError("has a password in its URL and password_file; keep the file")
        if self.password_file is not None and self.sql.user is None:
            raise DisagreementError("has password_file, which needs a user in the URL: //USER@HOST/DATABASE")
        if self.parameters and self.queries is None:
            raise DisagreementError("has parameters, which need queries")
        return self

    @model_validator(mode="after")
    def _tls_fits(self) -> Self:
        given = [key for key in ("ca_file", "cert_file", "key_file") if getattr(self, key) is not None]
        if given and not self.tls:
            raise DisagreementError(f"has {given[0]}, which needs tls: true")
        if self.tls and self.sql.host is None:
            raise DisagreementError("has tls, which needs a host in the URL")
        if (self.cert_file is None) != (self.key_file is None):
            raise DisagreementError("needs both cert_file and key_file, or none")
        return self


@dataclass(frozen=True, slots=True)
class YamlFolder:
    """A folder of YAML files."""

    path: Path

    @property
    def name(self) -> str:
        """For messages, and unique in a site."""
        return f"yaml:{self.path}"


@dataclass(frozen=True, slots=True)
class SqlDatabase:
    """A database of ours or, with ``queries``, a foreign one: what ``SqlShape`` says of each."""

    address: SqlAddress
    password_file: Path | None = None
    queries: Queries | Path | str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    poll_seconds: float | None = None
    pool: int = 3
    seconds: float = 3.0
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def name(self) -> str:
        """For messages, and unique in a site; never with credentials."""
        if self.queries is None:
            return str(self.address)
        if isinstance(self.queries, Queries):
            return f"{self.address}#queries"
        return f"{self.address}#{self.queries if isinstance(self.queries, str) else self.queries.stem}"


DirectorySource = YamlFolder | SqlDatabase
