"""Phone models as data: whose templates a model uses, by which names it is known, for which firmware.

Owns the reading of ``templates/models.yml`` and the order in which template names are tried for a model. Does
not own which templates exist (``catalogue``). The file's shape::

    generic: {T4: T46S}                 # a model listed nowhere: the longest beginning of its name decides
    T46U:
      like: T46S                        # what it has not itself it takes from there
      aliases: [SIP-T46U]
      vendor: yealink
      firmware: [{versions: ">=66.80,<66.90", template: T46U-v80}]
      facts: {keys: 27}                 # anything templates' authors and tools want to know
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.config.document import SyntaxProblem, read
from era_ap.errors import Problem, Reason, Refused, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from era_ap.config.document import Document

MAX_VERSION = 64

_KEYS = ("like", "aliases", "vendor", "firmware", "keys", "facts")
_RANGE_KEYS = ("versions", "template")
_GENERIC = "generic"
_TERM = re.compile(r"(>=|<=|==|!=|>|<|=)?\s*(\S+)")
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
class _Term:
    sign: str
    version: Version
    prefix: bool

    def holds(self, version: Version) -> bool:
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
    terms: tuple[_Term, ...]

    def holds(self, version: Version) -> bool:
        """Whether ``version`` lies in the range."""
        return all(term.holds(version) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of models.yml, as written; ``line`` is where it stands."""

    name: str
    like: str | None = None
    aliases: tuple[str, ...] = ()
    firmware: tuple[FirmwareRange, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    line: int = 0


class Models:
    """All models; names are compared without regard to letter case and to nothing else."""

    def __init__(self, models: Iterable[Model] = (), generic: Mapping[str, str] | None = None) -> None:
        self._models = {model.name.lower(): model for model in models}
        self._aliases: dict[str, str] = {}
        for key, model in self._models.items():
            for alias in model.aliases:
                self._aliases.setdefault(alias.lower(), key)
        self._generic = {prefix.lower(): template for prefix, template in (generic or {}).items()}

    @classmethod
    def parse(cls, text: str, origin: str = "templates/models.yml") -> tuple[Models, tuple[Problem, ...]]:
        """Read the text of models.yml; what is not valid is left out and is a ``Problem``."""
        return _Reader(origin).read(text)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and self._find(model) is not None

    def bases(self, model: str, firmware: str | None = None) -> tuple[str, ...]:
        """Names of templates for ``model``, best first: for its firmware, its own, then along 'like'.

        Ranges that the model takes over from another one prefer a template but exclude no version. Raises
        ``Refused`` (FIRMWARE_UNSUPPORTED, MODEL_CYCLE).
        """
        version = read_version(firmware) if firmware else None
        names = [model]
        for entry in self._chain(model):
            names.append(entry.name)
            if entry.like is not None:
                names.append(entry.like)
        if version is not None and firmware is not None:
            names = [*self._of_firmware(model, firmware, version), *names]
        generic = self.generic(model)
        if generic is not None:
            names.append(generic)
        bases: dict[str, str] = {}
        for name in names:
            bases.setdefault(name.lower(), name)
        return tuple(bases.values())

    def generic(self, model: str) -> str | None:
        """The template for a model that is listed nowhere, by the longest beginning of its name."""
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
        return self._models.get(key) or self._models.get(self._aliases.get(key, ""))

    def _chain(self, name: str) -> list[Model]:
        chain: list[Model] = []
        entry = self._find(name)
        while entry is not None:
            if entry in chain:
                circle = [model.name for model in (*chain[chain.index(entry) :], entry)]
                raise Refused(Reason.MODEL_CYCLE, " is like ".join(circle))
            chain.append(entry)
            entry = self._find(entry.like) if entry.like is not None else None
        return chain

    def _of_firmware(self, name: str, firmware: str, version: Version) -> tuple[str, ...]:
        for place, entry in enumerate(self._chain(name)):
            if not entry.firmware:
                continue
            for candidate in entry.firmware:
                if candidate.holds(version):
                    return (candidate.template,)
            if place == 0:
                known = "; ".join(candidate.versions for candidate in entry.firmware)
                raise Refused(Reason.FIRMWARE_UNSUPPORTED, f"{entry.name} has {firmware}; known are {known}")
            break
        return ()


class _Reader:
    """Reads one text; collects what is wrong with it."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._problems: list[Problem] = []
        self._document: Document | None = None

    def read(self, text: str) -> tuple[Models, tuple[Problem, ...]]:
        try:
            self._document = read(text)
        except SyntaxProblem as problem:
            self._note(problem.line, problem.sentence)
            return Models(), tuple(self._problems)
        for at, sentence in self._document.findings:
            self._bad(sentence, *at)
        value = self._document.value
        if value is not None and not isinstance(value, dict):
            self._note(1, "the file is a mapping of models: 'T46U: {like: T46S}'")
            value = None
        entries = dict(value or {})
        generic = self._texts(entries.pop(_GENERIC, None), _GENERIC)
        found = [self._model(name, entry) for name, entry in entries.items()]
        models = Models(self._unambiguous([model for model in found if model is not None]), generic)
        for model in models:
            try:
                models.facts(model.name)
            except Refused as refused:
                self._note(model.line, refused.detail, Reason.MODEL_CYCLE)
        return models, tuple(self._problems)

    def _model(self, name: str, entry: object) -> Model | None:
        if entry is None:
            entry = {}
        if not isinstance(entry, dict):
            self._bad("is a mapping, for example {like: T46S}", name)
            return None
        for key in entry:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1)
                hint = f"did you mean '{near[0]}'?" if near else "put facts of your own under 'facts'"
                self._bad(f"unknown key; {hint}", name, key)
        facts = {key: entry[key] for key in ("vendor", "keys") if key in entry}
        own = entry.get("facts")
        if own is not None and not isinstance(own, dict):
            self._bad("is a mapping", name, "facts")
            own = None
        return Model(
            name=name,
            like=self._text(entry.get("like"), name, "like"),
            aliases=self._aliases(entry.get("aliases"), name),
            firmware=self._ranges(entry.get("firmware"), name),
            facts=MappingProxyType({**(own or {}), **facts}),
            line=self._line(name),
        )

    def _aliases(self, value: object, name: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return (str(value),)
        if isinstance(value, list) and all(isinstance(alias, str) for alias in value):
            return tuple(str(alias) for alias in value)
        self._bad("is a list of names", name, "aliases")
        return ()

    def _ranges(self, value: object, name: str) -> tuple[FirmwareRange, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            self._bad("is a list of {versions, template}", name, "firmware")
            return ()
        ranges = []
        for number, entry in enumerate(value):
            if not isinstance(entry, dict) or set(entry) != set(_RANGE_KEYS):
                self._bad("has the keys 'versions' and 'template', both", name, "firmware", number)
                continue
            versions = self._text(entry["versions"], name, "firmware", number, "versions")
            template = self._text(entry["template"], name, "firmware", number, "template")
            terms = self._terms(versions or "", name, "firmware", number, "versions")
            if versions and template and terms:
                ranges.append(FirmwareRange(versions, template, terms))
        return tuple(ranges)

    def _terms(self, versions: str, *at: str | int) -> tuple[_Term, ...]:
        terms = []
        for part in versions.split(","):
            match = _TERM.fullmatch(part.strip())
            sign = {None: "==", "=": "=="}.get(match[1], match[1]) if match else ""
            prefix = bool(match) and part.strip().endswith(".*")
            version = read_version(match[2].removesuffix(".*")) if match else None
            if version is None or (prefix and sign not in ("==", "!=")):
                self._bad(f"'{part.strip()}' is not a condition like '>=66.80', '<66.90' or '66.84.*'", *at)
                return ()
            terms.append(_Term(sign, version, prefix))
        return tuple(terms)

    def _unambiguous(self, models: list[Model]) -> list[Model]:
        """A name stands for one model: the first in the file keeps it."""
        taken: dict[str, str] = {}
        kept = []
        for model in models:
            if model.name.lower() in taken:
                self._bad(
                    f"the name differs only in letter case from {taken[model.name.lower()]}", model.name
                )
                continue
            taken[model.name.lower()] = model.name
            kept.append(model)
        for model in kept:
            for alias in model.aliases:
                owner = taken.setdefault(alias.lower(), model.name)
                if owner != model.name:
                    self._bad(f"'{alias}' already stands for {owner}", model.name, "aliases")
        return kept

    def _texts(self, value: object, name: str) -> dict[str, str]:
        if value is None:
            return {}
        if isinstance(value, dict) and all(isinstance(v, str) and k and v for k, v in value.items()):
            return {str(prefix): str(template) for prefix, template in value.items()}
        self._bad("is a mapping of beginnings of model names to template names", name)
        return {}

    def _text(self, value: object, *at: str | int) -> str | None:
        if value is None or (isinstance(value, str) and value):
            return None if value is None else str(value)
        self._bad("is a name", *at)
        return None

    def _bad(self, sentence: str, *at: str | int) -> None:
        place = ".".join(str(part) for part in at)
        self._note(self._line(*at), f"{place}: {sentence}")

    def _line(self, *at: str | int) -> int:
        lines = self._document.lines if self._document is not None else {}
        return next((lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in lines), 0)

    def _note(self, line: int, sentence: str, reason: Reason = Reason.MODELS_INVALID) -> None:
        where = f"{self._origin}:{line}" if line else self._origin
        self._problems.append(Problem(reason, where, sentence, Severity.ERROR))
