"""Types of single values of the site configuration: how text as typed becomes a number, an address, a path.

Owns the strictness: only what is clearly of a type is read as it. Every converter takes the text of a
document (``Plain`` where it stood without quotes) or the finished Python value; ``ValueError`` has a
sentence.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, ValidationInfo, model_validator

from era_ap.config.document import Plain
from era_ap.config.problems import DisagreementError

Network = IPv4Network | IPv6Network
E = TypeVar("E", bound=enum.Enum)

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_INTERFACE = re.compile(r"[^\s/:]+(:[^\s/:]+)?")
_INTERFACE_SIZE = 15  # IFNAMSIZ less the closing NUL


class Shape(BaseModel):
    """Base of all shapes: unknown keys are errors, a key without a value counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None}
        return value


def as_text(value: object) -> str:
    """Text, quoted or not; never a list, a mapping or control characters."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    if not value or not value.isprintable():
        raise ValueError("must be text without control characters, and not empty")
    return str(value)


def as_int(value: object) -> int:
    """A whole number in decimal notation, without quotes and without leading zeros."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Plain) and _INT.fullmatch(value):
        return int(value)
    quoted = isinstance(value, str) and not isinstance(value, Plain) and _INT.fullmatch(value)
    raise ValueError("must be a whole number" + (" without quotes" if quoted else ""))


def as_seconds(value: object) -> float:
    """A number of seconds, fractions allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Plain) and _NUMBER.fullmatch(value):
        return float(value)
    raise ValueError("must be a number of seconds, like 0.5")


def as_flag(value: object) -> bool:
    """true or false; YAML's yes, no, on and off are taken too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Plain) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise ValueError("must be true or false")


def as_address(value: object) -> str:
    """An IPv4 or IPv6 address, in its shortest notation."""
    try:
        return str(ip_address(as_text(value)))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def as_network(value: object) -> Network:
    """A network like 10.0.0.0/8; a single address is a network of one."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = as_text(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be a network like 10.0.0.0/8 or fd00::/8") from None
    raise ValueError(f"has bits set beyond its prefix; write {loose}")


def as_domain(value: object) -> str:
    """A domain name (RFC 1123 section 2.1) in lower case, without the dot at its end."""
    text = as_text(value)
    if not text.isascii():
        raise ValueError("must be a domain name in ASCII; write an international name in its xn-- form")
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("must be a domain name like a.example.com")
    return name


def as_path(value: object, info: ValidationInfo) -> Path:
    """A path; a relative one is relative to the folder of the configuration file (context ``base``)."""
    if isinstance(value, Path):
        return value
    return resolve(as_text(value), info)


def resolve(text: str, info: ValidationInfo) -> Path:
    """``text`` as a path, ``~`` expanded, relative to the context's ``base``."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError("must be a path; its home folder (~) is not known") from None
    base: Path | None = (info.context or {}).get("base")
    return base / path if base else path


def as_interface(value: object) -> str:
    """An address, or the name of an interface of the operating system."""
    text = as_text(value)
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    numeric = re.fullmatch(r"[0-9.]+(/.*)?", text) or "::" in text
    if numeric or len(text) > _INTERFACE_SIZE or not _INTERFACE.fullmatch(text):
        raise ValueError(
            "must be an IPv4 or IPv6 address (without /prefix) or the name of a network interface"
        )
    return text


def matching(pattern: str, sentence: str) -> Callable[[object], str]:
    """A converter for text that fits ``pattern`` as a whole."""
    compiled = re.compile(pattern)

    def convert(value: object) -> str:
        text = as_text(value)
        if not compiled.fullmatch(text):
            raise ValueError(sentence)
        return text

    return convert


def one_of(kind: type[E]) -> Callable[[object], E]:
    """A converter for the values of an enum."""
    values = ", ".join(str(member.value) for member in kind)

    def convert(value: object) -> E:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"must be one of {values}") from None

    return convert


def some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list that is not empty."""
    if not value:
        raise DisagreementError("must not be empty")
    return value


def distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list in which nothing stands twice."""
    twice = next((item for n, item in enumerate(value) if item in value[:n]), None)
    if twice is not None:
        raise DisagreementError(f"must not list {twice} twice")
    return value


Int = Annotated[int, BeforeValidator(as_int)]
Seconds = Annotated[float, BeforeValidator(as_seconds)]
Flag = Annotated[bool, BeforeValidator(as_flag)]
AddressField = Annotated[str, BeforeValidator(as_address)]
NetworkField = Annotated[Network, PlainValidator(as_network)]
DomainField = Annotated[str, BeforeValidator(as_domain)]
InterfaceField = Annotated[str, BeforeValidator(as_interface)]
PathField = Annotated[Path, PlainValidator(as_path)]
RoleName = Annotated[
    str, BeforeValidator(matching("[A-Za-z][A-Za-z0-9]*", "must be Latin letters and digits, first a letter"))
]
Alias = Annotated[
    str,
    BeforeValidator(
        matching(r"[^\s\[\]{},:#]+", "must be a word without blanks, brackets, commas or colons")
    ),
]
