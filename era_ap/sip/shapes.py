"""The SUBSCRIBE of each vendor's phones, composed from data (data/pnp_phones.yml) for one virtual phone.

Owns reading that file and filling it in. Says nothing about how the message is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shape:
    """How one kind of phone asks; ``port`` is where its firmware takes answers."""

    name: str
    port: int
    model: str
    message: str

    def compose(self, mac: str, address: str, port: int, rng: random.Random, model: str = "") -> bytes:
        """One SUBSCRIBE of the phone ``mac`` (12 hex digits) that takes answers at ``address``:``port``."""
        values = {
            "{mac}": mac.lower(),
            "{MAC}": mac.upper(),
            "{model}": model or self.model,
            "{ip}": address,
            "{port}": str(port),
            "{n}": str(rng.randrange(10**7, 10**9)),
            "{letters}": ".".join("".join(rng.choices("ABCDEFGHIJ", k=3)) for _ in range(4)),
        }
        text = self.message
        for macro, value in values.items():
            text = text.replace(macro, value)
        return ("\r\n".join(text.splitlines()) + "\r\n\r\n").encode()


def shapes() -> Mapping[str, Shape]:
    """All shapes by name."""
    text = resources.files("era_ap").joinpath("data/pnp_phones.yml").read_text(encoding="utf-8")
    document: dict[str, dict[str, Any]] = yaml.load(text, yaml.BaseLoader)  # nosec B506 # noqa: S506 - texts only
    return {
        name: Shape(name, int(entry["port"]), str(entry["model"]), str(entry["message"]))
        for name, entry in document.items()
    }
