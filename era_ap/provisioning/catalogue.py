"""What is in the storage, ready to be used: templates, models, constants, names of ready-made files (spec 2).

Owns the building of an immutable catalogue from a snapshot of files: only what changed is parsed; what does
not parse leaves its last good version in service and a ``Problem``. Does not read files (``store``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.choices import Choices
from era_ap.provisioning.constants import read_constants
from era_ap.provisioning.includes import include_problems
from era_ap.provisioning.language import Kind, decode, parse
from era_ap.provisioning.models_file import ModelsFile, combine, read_models
from era_ap.provisioning.wellformed import why_broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from era_ap.provisioning.language import Template
    from era_ap.provisioning.models import Models

MODELS_FILE = "models.yml"

_EMPTIED = "suddenly empty, as a file is that is being written"
_KEPT = "; its last good version stays in service"

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one content of a file from another without reading it; times are in nanoseconds."""

    mtime_ns: int
    size: int
    inode: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that was read whole; ``revision`` changes with the content."""

    path: str
    data: bytes = field(repr=False)
    revision: str


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of ``configs/``, not read; ``path`` is relative to that folder."""

    path: str
    stamp: Stamp

    def __hash__(self) -> int:
        return hash(self.path)  # at no cost; each request for a file looks it up twice

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp.size

    @property
    def revision(self) -> str:
        """Changes with the content, and is the same on every instance that shares the storage."""
        return f"{self.stamp.mtime_ns:x}-{self.stamp.size:x}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The storage at one moment.

    Keys are paths relative to the folder; so is ``path`` of a file. ``refused`` says why something in the
    storage (``templates/x``) is not among the others.
    """

    templates: Mapping[str, TextFile]
    constants: TextFile | None
    statics: Mapping[str, StaticFile]
    refused: Mapping[str, Refused] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One template: ``template`` is the version in service, ``source`` the last one seen."""

    source: TextFile
    template: Template | None
    refusal: Refused | None = None
    well_formed: bool = True


Good = TypeVar("Good")


@dataclass(frozen=True, slots=True, eq=False)
class _Reading(Generic[Good]):
    """The last reading of models.yml or of the constants; ``good`` is what is in service."""

    revision: str | None
    good: Good
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """One state of the storage. ``revision`` grows whenever something a phone may get has changed.

    ``templates`` is keyed by lower-case path; ``statics`` by path as written. ``choices`` are remembered here
    because they end with it.
    """

    revision: int
    templates: Mapping[str, Template]
    statics: Mapping[str, StaticFile]
    constants: Mapping[str, str]
    models: Models
    problems: tuple[Problem, ...]
    hostnames: frozenset[str]
    _entries: Mapping[str, _Entry]
    _constants_reading: _Reading[Mapping[str, str]]
    _models_readings: Mapping[str, _Reading[ModelsFile]]
    _models_problems: tuple[Problem, ...]
    _refused: Mapping[str, Refused]
    _folded_statics: Mapping[str, tuple[StaticFile, ...]]
    _folders: frozenset[str]
    choices: Choices = field(default_factory=Choices)

    def template(self, name: str) -> Template | None:
        """The template of that name in any letter case; None if there is none in service."""
        return self.templates.get(name.lower())

    def refusal_of(self, name: str) -> Refused | None:
        """Why a template that exists is not in service; None if it is, or does not exist."""
        key = name.lower()
        if key in self.templates:
            return None
        entry = self._entries.get(key)
        return entry.refusal if entry is not None else self._refused.get(f"templates/{key}")

    def last_good(self, name: str) -> bytes | None:
        """The content in service of a template whose file has another one that is not usable; else None."""
        entry = self._entries.get(name.lower())
        if entry is None or entry.refusal is None or entry.template is None:
            return None
        return entry.template.text.encode(entry.template.encoding)

    def static(self, path: str) -> StaticFile | None:
        """The ready-made file of that path: exact letter case first, then any if that is unique.

        Raises ``Refused`` (STATIC_AMBIGUOUS, STATIC_IS_FOLDER, and why a file that exists may not be served).
        """
        exact = self.statics.get(path)
        if exact is not None:
            return exact
        folded = path.lower()
        found = self._folded_statics.get(folded, ())
        if len(found) > 1:
            raise Refused(Reason.STATIC_AMBIGUOUS, ", ".join(f"configs/{entry.path}" for entry in found))
        if found:
            return found[0]
        if folded in self._folders:
            raise Refused(Reason.STATIC_IS_FOLDER, f"configs/{path}")
        if self._refused:
            self._check_refused(f"configs/{folded}")
        return None

    def _check_refused(self, place: str) -> None:
        while "/" in place:
            refused = self._refused.get(place)
            if refused is not None:
                raise Refused(refused.reason, refused.detail)
            place = place.rpartition("/")[0]


def build(previous: Catalogue | None, snapshot: Snapshot) -> Catalogue:
    """The catalogue of ``snapshot``; ``previous`` itself where nothing, problems included, would differ."""
    problems = [
        *snapshot.problems,
        *(Problem(refused.reason, where, refused.detail) for where, refused in snapshot.refused.items()),
    ]
    entries = _entries(previous, snapshot, problems)
    templates = {key: entry.template for key, entry in entries.items() if entry.template is not None}
    constants = _read_constants(previous, snapshot.constants)
    readings = _read_models(previous, snapshot)
    models, model_problems = _combined(previous, readings)
    problems += [problem for reading in readings.values() for problem in reading.problems]
    problems += [*constants.problems, *model_problems, *_loose_models(models, templates)]
    found = _sorted([*problems, *include_problems(templates)])
    changed = (
        previous is None
        or templates != previous.templates
        or constants.good != previous.constants
        or models is not previous.models
        or snapshot.statics != previous.statics
        or found != previous.problems
    )
    if previous is not None and not changed:
        return previous
    return Catalogue(
        revision=1 if previous is None else previous.revision + 1,
        templates=MappingProxyType(templates),
        statics=MappingProxyType(dict(snapshot.statics)),
        constants=constants.good,
        models=models,
        problems=found,
        hostnames=frozenset().union(*(template.hostnames for template in templates.values())),
        _entries=MappingProxyType(entries),
        _constants_reading=constants,
        _models_readings=MappingProxyType(readings),
        _models_problems=model_problems,
        _refused=MappingProxyType({where.lower(): refused for where, refused in snapshot.refused.items()}),
        _folded_statics=_fold(snapshot.statics),
        _folders=_folders(snapshot.statics),
    )


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(
        sorted(set(problems), key=lambda problem: (problem.where, problem.reason.code, problem.detail))
    )


def _entries(previous: Catalogue | None, snapshot: Snapshot, problems: list[Problem]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    before = previous._entries if previous is not None else {}
    for path in sorted(snapshot.templates):
        key = path.lower()
        if not is_template(path):
            continue
        if key in entries:
            first = f"templates/{entries[key].source.path}"
            sentence = f"differs from {first} only in letter case and is not used; rename or remove one"
            problems.append(Problem(Reason.TEMPLATE_AMBIGUOUS, f"templates/{path}", sentence))
            continue
        entry = _entry(before.get(key), snapshot.templates[path])
        entries[key] = entry
        if entry.refusal is not None:
            where, detail = _place(f"templates/{path}", entry.refusal.detail)
            kept = _KEPT if entry.template is not None else ""
            problems.append(Problem(entry.refusal.reason, where, detail + kept))
    return entries


def _entry(before: _Entry | None, source: TextFile) -> _Entry:
    """The entry of a file: the one before if it has not changed, else read anew."""
    if before is not None and (before.source.path, before.source.revision) == (source.path, source.revision):
        return before
    good = before.template if before is not None else None
    if good is not None and (good.name, good.revision) == (source.path, source.revision):
        return _Entry(source, good, None, before is not None and before.well_formed)
    if before is not None and good is not None and good.text and not source.data:
        return _Entry(source, good, Refused(Reason.FILE_EMPTIED, _EMPTIED), before.well_formed)
    try:
        text, encoding = decode(source.data)
        template = parse(source.path, text, encoding=encoding, revision=source.revision)
    except Refused as refused:
        return _Entry(source, good, refused, before is not None and before.well_formed)
    complaint = why_broken(template)
    if before is not None and good is not None and good.kind is Kind.XML and before.well_formed and complaint:
        return _Entry(source, good, Refused(Reason.XML_BROKEN, complaint), well_formed=True)
    return _Entry(source, template, None, complaint is None)


def is_template(path: str) -> bool:
    """Whether a file of ``templates/`` is one: not models.yml, not a README."""
    name = path.rpartition("/")[2].lower()
    return not _is_models_file(path) and name.partition(".")[0] != "readme"


def _is_models_file(path: str) -> bool:
    return path.lower().rpartition("/")[2] == MODELS_FILE


def _read_constants(previous: Catalogue | None, file: TextFile | None) -> _Reading[Mapping[str, str]]:
    if file is None:
        return _Reading(None, _NOTHING)
    before = previous._constants_reading if previous is not None else None
    if before is not None and before.revision == file.revision:
        return before
    values, problems = read_constants(file.data, f"constants/{file.path}")
    if before is not None and before.good and not file.data:
        problems = (Problem(Reason.FILE_EMPTIED, f"constants/{file.path}", _EMPTIED + _KEPT),)
    if before is not None and (
        values == before.good or (before.revision is not None and _has_error(problems))
    ):
        values = before.good
    return _Reading(file.revision, values, problems)


def _read_models(previous: Catalogue | None, snapshot: Snapshot) -> dict[str, _Reading[ModelsFile]]:
    """The reading of each models.yml by its lower-case path: of ``templates/`` first, then of its folders."""
    paths = sorted((path for path in snapshot.templates if _is_models_file(path)), key=_top_first)
    before = previous._models_readings if previous is not None else {}
    return {
        path.lower(): _read_models_file(before.get(path.lower()), snapshot.templates[path]) for path in paths
    }


def _top_first(path: str) -> tuple[bool, str]:
    return "/" in path, path.lower()


def _read_models_file(before: _Reading[ModelsFile] | None, file: TextFile) -> _Reading[ModelsFile]:
    if before is not None and before.revision == file.revision:
        return before
    origin = f"templates/{file.path}"
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems: tuple[Problem, ...] = (
            Problem(Reason.MODELS_INVALID, origin, "not UTF-8; save it as UTF-8"),
        )
        models = ModelsFile()
    else:
        models, problems = read_models(text, origin, file.path.rpartition("/")[0])
    if before is not None and before.revision is not None and not file.data:
        problems = (Problem(Reason.FILE_EMPTIED, origin, _EMPTIED + _KEPT),)
    if before is not None and _has_error(problems):
        models = before.good
    return _Reading(file.revision, models, problems)


def _combined(
    previous: Catalogue | None, readings: Mapping[str, _Reading[ModelsFile]]
) -> tuple[Models, tuple[Problem, ...]]:
    files = [reading.good for reading in readings.values()]
    if previous is not None:
        before = [reading.good for reading in previous._models_readings.values()]
        if len(files) == len(before) and all(new is old for new, old in zip(files, before, strict=True)):
            return previous.models, previous._models_problems
    return combine(files)


def _has_error(problems: tuple[Problem, ...]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _loose_models(models: Models, templates: Mapping[str, Template]) -> list[Problem]:
    """Models that are like something that is neither a model nor the beginning of a template's name."""
    stems = {key[:end] for key in templates for end in (*_dots(key), len(key))}
    return [
        Problem(
            Reason.MODELS_INVALID,
            f"{model.origin}:{model.line}",
            f"{model.name} is like {model.like}, which is neither a model of models.yml nor a template",
            Severity.WARNING,
        )
        for model in models
        if model.like is not None
        and model.like not in models
        and not stems.intersection(name.lower() for name in model.names(model.like))
    ]


def _dots(key: str) -> list[int]:
    return [at for at, character in enumerate(key) if character == "."]


def _fold(statics: Mapping[str, StaticFile]) -> Mapping[str, tuple[StaticFile, ...]]:
    folded: dict[str, list[StaticFile]] = {}
    for path in sorted(statics):
        folded.setdefault(path.lower(), []).append(statics[path])
    return MappingProxyType({key: tuple(entries) for key, entries in folded.items()})


def _folders(statics: Mapping[str, StaticFile]) -> frozenset[str]:
    folders = set()
    for path in statics:
        folder = path.lower().rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(folders)


def _place(where: str, detail: str) -> tuple[str, str]:
    """``where`` with the line that the detail begins with, as in "line 3: …", and the rest of the detail."""
    head, colon, rest = detail.partition(": ")
    if colon and head.startswith("line ") and head[5:].isdigit():
        return f"{where}:{head[5:]}", rest
    return where, detail
