"""Phone models as data: whose templates a model uses, by which names it is known, for which firmware.

Owns the order in which template names are tried for a model, and what it takes over from others. Does not own
the reading (``models_file``) nor which templates exist (``catalogue``). The shape of a file::

    generic: {T4: T46S}                 # a model listed nowhere: the longest beginning of its name decides
    T46U:
      like: T46S                        # what it has not itself it takes from there
      aliases: [SIP-T46U]
      vendor: Yealink
      firmware: [{versions: ">=66.80,<66.90", template: T46U-v80}]
      accounts: 16                      # this and the next three: see ``layout``
      keys: {line: 27}
      types: {blf: 16}
      dialect: {label_length: 20}
      facts: {screen: colour}           # anything templates' authors and tools want to know
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.errors import Reason, Refused
from era_ap.provisioning.layout import compile_layout, lay_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from era_ap.provisioning.layout import Layout, Part

MAX_VERSION = 64

_REMEMBERED = 1024

_COMPONENT = re.compile(r"([0-9]*)(.*)", re.DOTALL)

Version = tuple[tuple[int, str], ...]


def read_version(text: str) -> Version | None:
    """A firmware version as components that compare by value; None if the text is no version."""
    text = text.strip().lower().removeprefix("v")
    if len(text) > MAX_VERSION or not text[:1].isascii() or not text[:1].isdigit():
        return None
    components = [_COMPONENT.fullmatch(part) for part in re.split(r"[.\-_+ /]+", text)]
    return tuple((int(part[1] or 0), part[2]) for part in components if part)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a range of versions; ``prefix`` compares only as many components as it has."""

    sign: str
    version: Version
    prefix: bool

    def holds(self, version: Version) -> bool:
        """Whether ``version`` fulfils it."""
        wanted = self.version
        if self.prefix:
            return (version[: len(wanted)] == wanted) is (self.sign == "==")
        length = max(len(version), len(wanted))
        ours, theirs = (v + ((0, ""),) * (length - len(v)) for v in (version, wanted))
        order = (ours > theirs) - (ours < theirs)
        return {
            ">=": order >= 0,
            "<=": order <= 0,
            ">": order > 0,
            "<": order < 0,
            "==": order == 0,
            "!=": order != 0,
        }[self.sign]


@dataclass(frozen=True, slots=True)
class FirmwareRange:
    """Firmware versions that need a template of their own; ``terms`` all have to hold."""

    versions: str
    template: str
    terms: tuple[Term, ...]

    def holds(self, version: Version) -> bool:
        """Whether ``version`` lies in the range."""
        return all(term.holds(version) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of a models.yml, as written; it stands in line ``line`` of ``origin``.

    ``folder`` is the folder of ``templates/`` that the file and the model's templates are in, "" at the top.
    """

    name: str
    like: str | None = None
    aliases: tuple[str, ...] = ()
    firmware: tuple[FirmwareRange, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    part: Part = field(default_factory=dict)
    folder: str = ""
    origin: str = ""
    line: int = 0

    def names(self, name: str) -> tuple[str, ...]:
        """Names of a template that this entry calls ``name``: at the top, then in its own folder."""
        return (name, f"{self.folder}/{name}") if self.folder and "/" not in name else (name,)


class Models:
    """All models; names are compared without regard to letter case and to nothing else.

    Of several entries of one name ``models`` has the first; with its folder before it (``yealink/T46S``) each
    of ``all_models`` can be named.
    """

    def __init__(
        self,
        models: Iterable[Model] = (),
        generic: Mapping[str, str] | None = None,
        all_models: Iterable[Model] = (),
    ) -> None:
        self._models = {model.name.lower(): model for model in models}
        self._aliases: dict[str, Model] = {}
        for model in self._models.values():
            for alias in model.aliases:
                self._aliases.setdefault(alias.lower(), model)
        for model in all_models:
            if model.folder:
                self._aliases.setdefault(f"{model.folder}/{model.name}".lower(), model)
        self._generic = {prefix.lower(): template for prefix, template in (generic or {}).items()}
        self._layouts: dict[tuple[str, ...], Layout | None] = {}
        self._bases: dict[tuple[str, str | None], tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and self._find(model) is not None

    def bases(self, model: str, firmware: str | None = None) -> tuple[str, ...]:
        """Names of templates for ``model``, best first: for its firmware, its own, then along 'like'.

        Ranges that the model takes over from another one prefer a template but exclude no version. Raises
        ``Refused`` (FIRMWARE_UNSUPPORTED, MODEL_CYCLE).
        """
        known = self._bases.get((model, firmware))
        if known is not None:
            return known
        names: list[str] = []
        owner, template = self._of_firmware(model, firmware)
        if owner is not None and template is not None:
            names += owner.names(template)
            for entry in self._chain(template):
                names += self._names_of(entry)
        names.append(model)
        for entry in self._chain(model):
            names += self._names_of(entry)
        generic = self.generic(model)
        if generic is not None:
            names.append(generic)
            for entry in self._chain(generic):
                names += self._names_of(entry)
        bases: dict[str, str] = {}
        for name in names:
            bases.setdefault(name.lower(), name)
        if len(self._bases) < _REMEMBERED:  # a model may be whatever a phone calls itself
            self._bases[model, firmware] = tuple(bases.values())
        return tuple(bases.values())

    def layout(self, model: str, firmware: str | None = None) -> Layout | None:
        """What is known of the keys, lines and limits of ``model``; None if that is nothing.

        A range of firmware whose template is a model by itself goes before what the model takes over. Raises
        ``Refused`` (MODEL_CYCLE, FIRMWARE_UNSUPPORTED).
        """
        _, template = self._of_firmware(model, firmware)
        known = model if model in self else self.generic(model) or ""
        key = (known.lower() if known in self else "", (template or "").lower())
        if key not in self._layouts:
            self._layouts[key] = compile_layout(self.part(known, template))
        return self._layouts[key]

    def part(self, model: str, template: str | None = None) -> Part:
        """The sections of ``model`` laid over those it takes over. Raises ``Refused`` (MODEL_CYCLE)."""
        chain = self._chain(model)
        if template is not None:
            chain[1:1] = self._chain(template)
        part: Part = {}
        for entry in reversed(chain):
            part = lay_over(part, entry.part)
        return part

    def generic(self, model: str) -> str | None:
        """The model or template for a model that is listed nowhere, by the longest beginning of its name."""
        if model in self:
            return None
        fitting = [prefix for prefix in self._generic if model.lower().startswith(prefix)]
        return self._generic[max(fitting, key=len)] if fitting else None

    def facts(self, model: str) -> Mapping[str, object]:
        """What models.yml says about ``model`` and what it takes over; raises ``Refused`` (MODEL_CYCLE)."""
        facts: dict[str, object] = {}
        for entry in self._chain(model):
            facts = {**entry.facts, **facts}
        return MappingProxyType(facts)

    def _find(self, name: str) -> Model | None:
        key = name.lower()
        return self._models.get(key) or self._aliases.get(key)

    def _names_of(self, entry: Model) -> tuple[str, ...]:
        loose = entry.like is not None and self._find(entry.like) is None
        return (*entry.names(entry.name), *(entry.names(entry.like) if entry.like and loose else ()))

    def _chain(self, name: str) -> list[Model]:
        chain: list[Model] = []
        entry = self._find(name)
        while entry is not None:
            if any(entry is each for each in chain):
                circle = [model.name for model in (*chain[chain.index(entry) :], entry)]
                raise Refused(Reason.MODEL_CYCLE, " is like ".join(circle))
            chain.append(entry)
            entry = self._find(entry.like) if entry.like is not None else None
        return chain

    def _of_firmware(self, name: str, firmware: str | None) -> tuple[Model | None, str | None]:
        """The entry whose range holds the version, and the template of that range."""
        version = read_version(firmware) if firmware else None
        if version is None:
            return None, None
        for place, entry in enumerate(self._chain(name)):
            if not entry.firmware:
                continue
            for candidate in entry.firmware:
                if candidate.holds(version):
                    return entry, candidate.template
            if place == 0:
                known = "; ".join(candidate.versions for candidate in entry.firmware)
                raise Refused(Reason.FIRMWARE_UNSUPPORTED, f"{entry.name} has {firmware}; known are {known}")
            break
        return None, None
