"""The reading of ``templates/models.yml`` and of ``models.yml`` in the folders of ``templates/``.

Owns the shape of one file and what is wrong with it, and how several files become one set of models: the file
at the top goes before those of the folders, which may not contradict each other. The shape of an entry is
described in ``models`` and ``layout``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.config.document import SyntaxProblem, read
from era_ap.errors import Problem, Reason, Refused
from era_ap.provisioning.layout import SECTIONS, read_part, unknown_names
from era_ap.provisioning.models import FirmwareRange, Model, Models, Term, read_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from era_ap.config.document import Document

_KEYS = ("like", "aliases", "vendor", "firmware", "facts", *SECTIONS)
_RANGE_KEYS = ("versions", "template")
_GENERIC = "generic"
_TERM = re.compile(r"(>=|<=|==|!=|>|<|=)?\s*(\S+)")


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """What one file says; ``generic`` maps beginnings of model names to models or templates."""

    models: tuple[Model, ...] = ()
    generic: Mapping[str, str] = field(default_factory=dict)


def read_models(
    text: str, origin: str = "templates/models.yml", folder: str = ""
) -> tuple[ModelsFile, tuple[Problem, ...]]:
    """Read the text of one models.yml; what is not valid is left out and is a ``Problem``.

    ``folder`` is the folder of ``templates/`` it stands in, "" at the top.
    """
    return _Reader(origin, folder).read(text)


def combine(files: Iterable[ModelsFile]) -> tuple[Models, tuple[Problem, ...]]:
    """All files as one set of models, the file at the top first."""
    models: dict[str, Model] = {}
    generic: dict[str, str] = {}
    problems: list[Problem] = []
    for file in files:
        for model in file.models:
            before = models.setdefault(model.name.lower(), model)
            if before is not model and before.folder:
                what = f"{model.name}: already stands in {before.origin}; this one is not used"
                problems.append(Problem(Reason.MODELS_INVALID, f"{model.origin}:{model.line}", what))
        generic = {**file.generic, **generic}
    found = Models(models.values(), generic, [model for file in files for model in file.models])
    problems += _loose_ends(found)
    return found, tuple(problems)


def parse(text: str, origin: str = "templates/models.yml") -> tuple[Models, tuple[Problem, ...]]:
    """The models of one text alone, with all that is wrong with it."""
    file, problems = read_models(text, origin)
    models, further = combine([file])
    return models, (*problems, *further)


def _loose_ends(models: Models) -> Iterator[Problem]:
    """What shows only when a model is seen with those it takes over: circles and undefined names."""
    for model in models:
        where = f"{model.origin}:{model.line}"
        try:
            part = models.part(model.name)
        except Refused as refused:
            yield Problem(Reason.MODEL_CYCLE, where, refused.detail)
            continue
        for at, what in unknown_names(part, model.part):
            yield Problem(Reason.MODELS_INVALID, where, f"{'.'.join((model.name, *at))}: {what}")


class _Reader:
    """Reads one text; collects what is wrong with it."""

    def __init__(self, origin: str, folder: str) -> None:
        self._origin = origin
        self._folder = folder
        self._problems: list[Problem] = []
        self._document: Document | None = None

    def read(self, text: str) -> tuple[ModelsFile, tuple[Problem, ...]]:
        try:
            self._document = read(text)
        except SyntaxProblem as problem:
            self._note(problem.line, problem.sentence)
            return ModelsFile(), tuple(self._problems)
        for at, sentence in self._document.findings:
            self._bad(sentence, *at)
        value = self._document.value
        if value is not None and not isinstance(value, dict):
            self._note(1, "the file is a mapping of models: 'T46U: {like: T46S}'")
            value = None
        entries = dict(value or {})
        generic = self._texts(entries.pop(_GENERIC, None), _GENERIC)
        found = [self._model(name, entry) for name, entry in entries.items()]
        models = tuple(self._unambiguous([model for model in found if model is not None]))
        return ModelsFile(models, generic), tuple(self._problems)

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
        facts = {key: entry[key] for key in ("vendor",) if key in entry}
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
            part=read_part(entry, lambda at, what: self._bad(what, name, *at)),
            folder=self._folder,
            origin=self._origin,
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

    def _terms(self, versions: str, *at: str | int) -> tuple[Term, ...]:
        terms = []
        for part in versions.split(","):
            match = _TERM.fullmatch(part.strip())
            sign = {None: "==", "=": "=="}.get(match[1], match[1]) if match else ""
            prefix = bool(match) and part.strip().endswith(".*")
            version = read_version(match[2].removesuffix(".*")) if match else None
            if version is None or (prefix and sign not in ("==", "!=")):
                self._bad(f"'{part.strip()}' is not a condition like '>=66.80', '<66.90' or '66.84.*'", *at)
                return ()
            terms.append(Term(sign, version, prefix))
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

    def _note(self, line: int, sentence: str) -> None:
        where = f"{self._origin}:{line}" if line else self._origin
        self._problems.append(Problem(Reason.MODELS_INVALID, where, sentence))
