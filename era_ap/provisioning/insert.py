"""What a placeholder inserts: a value made safe, a constant with what it is made of, another file (spec 6).

Owns what is scanned again and what is not, and the warnings of missing values. Data (account, BLF and
reserved values, addresses, numbers) is inserted made safe and never scanned. Constants are scanned again,
their literal text made safe; includes and the templates of lists are markup, spliced as they are. Does not
own the walking (``walk``) nor the lists (``expand``).

Line endings of what is spliced: where the including file goes on after the placeholder, its own line goes on
too, so the line ending at the end of the spliced file is left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.masking import is_secret
from era_ap.provisioning.escape import Place
from era_ap.provisioning.language import Category, Placeholder, parse
from era_ap.provisioning.limits import SHOWN, named
from era_ap.provisioning.values import Missing, Values
from era_ap.provisioning.walk import Walker

if TYPE_CHECKING:
    from era_ap.provisioning.language import Kind, Node, Template
    from era_ap.provisioning.meter import Meter
    from era_ap.provisioning.scope import Scope


class Inserter(Walker):
    """A walk that knows the values of a scope; ``kind`` and ``encoding``, of the output, decide the escaping.

    ``warnings`` are in the order they came up; ``files`` are the names of the templates used.
    """

    def __init__(self, scope: Scope, kind: Kind, meter: Meter, encoding: str, depth: int) -> None:
        super().__init__(kind, meter, encoding, depth)
        self._scope = scope
        dialect = scope.layout.dialect if scope.layout is not None else None
        self._dialect = dialect if dialect is not None and dialect.touches_values else None
        self.warnings: dict[Problem, None] = {}
        self.files: dict[str, None] = {}
        self._values = values = Values(scope, self.warnings)
        self._sources = (values.sipuser, values.account, values.blf, values.nslookup, values.random)
        self._origin = ""
        self._constants: dict[str, Template] = {}

    def _put(self, value: str, out: list[str]) -> None:
        text = self._safe(value)
        out.append(text)
        self._meter.grow(len(text))

    def _missing(self, node: Placeholder, missing: Missing) -> None:
        detail = _told(node, missing.detail)
        if self._scope.missing_is_error:
            raise Refused(missing.reason, detail)
        problem = Problem(missing.reason, f"{self._file}:{self._line}", detail, Severity.WARNING)
        self.warnings[problem] = None
        self._origin = "missing"

    def _data(self, node: Placeholder, key: str, out: list[str]) -> None:
        value = self._sources[node.category](key, node.path if node.parts is None else tuple(key.split(".")))
        if type(value) is str:
            self._put(value if self._dialect is None else self._carried(node, key, value), out)
        elif type(value) is Missing:
            self._missing(node, value)

    def _carried(self, node: Placeholder, key: str, value: str) -> str:
        """``value`` as the dialect of the model writes it. Raises ``Refused`` (VALUE_FORBIDDEN)."""
        dialect, blf_key = self._dialect, self._values.blf_key
        if dialect is None or self._place is Place.KEY:
            return value
        if (
            node.category is Category.BLF_FIELD
            and blf_key is not None
            and blf_key.known is not None
            and key in blf_key.numbers
        ):
            return value
        flaw = dialect.flaw(value)
        if flaw is not None:
            what = f"the value of {node.source} has {named(flaw)}, which this model's files cannot carry"
            if key.rpartition(".")[2] not in SHOWN:
                raise Refused(Reason.VALUE_FORBIDDEN, what)
            value = dialect.blanked(value)
            where = f"{self._file}:{self._line}"
            self.warnings[
                Problem(Reason.VALUE_CHANGED, where, f"{what}; a blank stands there", Severity.WARNING)
            ] = None
        return dialect.carried(value)

    def _constant(self, node: Placeholder, key: str, out: list[str]) -> None:
        value, origin = self._values.constant(key)
        if type(value) is Missing:
            self._missing(node, value)
            return
        if origin and "[" in str(value):
            self._scanned(f"constants.{key}", str(value), out)
        else:
            self._put(str(value) if self._dialect is None else self._carried(node, key, str(value)), out)
        self._origin = origin

    def _scanned(self, name: str, value: str, out: list[str]) -> None:
        """Expand a constant: its placeholders as anywhere, its literal text made safe like data."""
        template = self._constants.get(name)
        if template is None:
            try:
                template = self._constants[name] = _parsed(name, value)
            except Refused as refused:
                raise Refused(refused.reason, f"in the value of [{name}], {refused.detail}") from None
        nodes: list[Node] = []
        for node in template.nodes:
            if isinstance(node, Placeholder):
                nodes.append(node)
            else:
                nodes.append(self._safe(node if isinstance(node, str) else node.text))
        self._splice(template, nodes, out, whole=False)

    def _include(self, node: Placeholder, key: str, out: list[str]) -> None:
        if leaves_storage(key):
            raise Refused(Reason.INCLUDE_OUTSIDE, _told(node, f"{key[:120]!r} is no name inside templates/"))
        template = self._scope.templates(key)
        if template is None:
            name = _told(node, key[:120])
            raise Refused(Reason.INCLUDE_MISSING, f"templates/ has no {name!r}", (*self._stack, name))
        self.files[template.name] = None
        whole = node.last and self._whole
        self._splice(template, template.nodes if whole else template.body, out, whole=whole)
        self._origin = template.name


@lru_cache(maxsize=1024)
def _parsed(name: str, value: str) -> Template:
    """The same constants come with every phone."""
    return parse(name, value)


def _told(node: Placeholder, words: str) -> str:
    """``words`` that quote a key, or the placeholder as written if a secret may be part of that key."""
    return node.source[:120] if node.parts is not None and is_secret(node.source) else words


def leaves_storage(name: str) -> bool:
    """Whether an include could name a file outside ``templates/``, on any system."""
    if name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":":
        return True
    return ".." in name and ".." in name.split("/")
