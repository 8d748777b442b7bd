"""Requested names: what they say about phone and file type (spec 5, steps 1 and 3).

Owns the normalising of a name, the mask notation and the look-up of a name in an ordered list of masks. Does
not own which masks there are: the master domain has its own, known vendors' are ``data/masks.yml``.
Matching is linear in the length of the name: every part of a pattern before the last ``*`` is atomic.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import yaml

from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 512
MAX_MASK = 256

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_URL = re.compile(r"/*[A-Za-z]{3,5}://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATED_ZEROS = re.compile(r"00(?:[:.-]?00){5}")
_OTHER_MAC = "0000000000c1"
_TOKEN = re.compile(r"(\[mac\]|\[model\]|\*+)", re.IGNORECASE)
_SIDE_BY_SIDE = re.compile(r"(?:\*|\[model\]){2}", re.IGNORECASE)
_FOREIGN_TOKEN = re.compile(r"\[\w*\]?|\{\w*\}|\$\w+|%\w+%?")
_TYPE = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MAC = r"(?!00(?:[:.-]?00){5})([0-9a-f]{2}(?:[:.-]?[0-9a-f]{2}){5})"
_KEYS = ("mask", "type", "template", "vendor")


def normalise(name: str) -> str:
    """The path ``name`` means, relative, with ``/`` between its segments and no empty or ``.`` segment.

    Blanks at both ends and a leading ``scheme://host`` are dropped: phones copy them from DHCP options.
    Raises ``Refused`` (NAME_EMPTY, NAME_INVALID, NAME_TRAVERSAL, NAME_DRIVE, NAME_TOO_LONG).
    """
    if _PLAIN.fullmatch(name):  # as most are
        return name
    if len(name) > MAX_NAME:
        raise Refused(Reason.NAME_TOO_LONG, f"{len(name)} characters")
    if _NOT_TEXT.search(name):
        raise Refused(Reason.NAME_INVALID, ascii(name))
    path = name.strip(" ").replace("\\", "/")
    if "://" in path:
        path = _URL.sub("", path, count=1)
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    for segment in segments:
        if segment.strip(" ") == "..":
            raise Refused(Reason.NAME_TRAVERSAL, ascii(name))
        if _DRIVE.match(segment):
            raise Refused(Reason.NAME_DRIVE, ascii(name))
    if not segments:
        raise Refused(Reason.NAME_EMPTY, ascii(name))
    return "/".join(segments)


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask: which names it fits and what they mean.

    ``type`` is the last part of the template's name, ``template`` the whole name (then the file is common to
    many phones and filled with constants only); ``origin`` says where the mask stands; ``vendor`` is a
    remark. ``is_corrected``: overrides belong to such files; not to the side files of the built-in masks with
    a type (boot, web, directory …), whose keys are others than the phone's.
    """

    text: str
    type: str | None
    template: str | None
    origin: str
    vendor: str = ""
    is_corrected: bool = True

    @property
    def pattern(self) -> str:
        """The mask as a regular expression over lower-case text, with a group for MAC and one for model."""
        return _pattern(self.text.lower())


@dataclass(slots=True)  # not frozen, which takes twice as long to make: each request has one
class NameMatch:
    """What a mask found in a name.

    ``mac`` is 12 lower-case hex digits; ``extension`` is in lower case and "" where there is none.
    """

    mask: Mask
    mac: str | None
    model: str | None
    extension: str


def compile_mask(spec: object, origin: str) -> Mask:
    """Read a mask: text, or ``{mask, type, template}``; raises ``Refused`` (MASK_INVALID)."""
    if isinstance(spec, str):
        spec = {"mask": spec}
    if not isinstance(spec, Mapping):
        raise _invalid(origin, f"a mask is text or {{mask, type, template}}, not {spec!a}")
    for key in spec:
        if key not in _KEYS:
            raise _invalid(origin, f"unknown key {key!a}{_nearest(str(key), _KEYS)}")
    for key, value in spec.items():
        if value is not None and not isinstance(value, str):
            raise _invalid(origin, f"'{key}' must be text, not {value!a}")
    text = _checked_text(spec.get("mask"), origin)
    kind = _checked_type(spec.get("type"), origin)
    template = _checked_template(spec.get("template"), origin)
    has_mac = "[mac]" in text.lower()
    if not has_mac and template is None:
        raise _invalid(origin, f"'{text}' has no [mac], so it must name a template: {{mask: …, template: …}}")
    if has_mac and template is not None:
        raise _invalid(
            origin, f"'{text}' has [mac]: the model names the template; use 'type' to choose another"
        )
    if template is not None and kind is not None:
        raise _invalid(origin, "'type' and 'template' exclude each other")
    return Mask(text, kind, template, origin, spec.get("vendor") or "")


class MaskTable:
    """An ordered list of masks; the first that fits a name decides.

    A mask with ``/`` is compared with the whole path, one without with its last segment (which is the whole
    path where there is no folder).
    """

    def __init__(self, masks: Iterable[Mask]) -> None:
        self.masks = tuple(masks)
        numbered = list(enumerate(self.masks))
        self._of_path = _Alternatives([(n, mask) for n, mask in numbered if "/" in mask.text])
        self._of_segment = _Alternatives([(n, mask) for n, mask in numbered if "/" not in mask.text])

    def match(self, path: str) -> NameMatch:
        """What the normalised ``path`` means; raises ``Refused`` (MAC_ZERO, NO_MASK)."""
        found = self._find(path)
        if found is not None:
            return found
        replaced = _SEPARATED_ZEROS.sub(_OTHER_MAC, path)
        if replaced != path and (other := self._find(replaced)) is not None and other.mac == _OTHER_MAC:
            raise Refused(Reason.MAC_ZERO, f"'{path}' by mask '{other.mask.text}' of {other.mask.origin}")
        raise Refused(Reason.NO_MASK, f"none of {len(self.masks)} masks fits '{path}'")

    def _find(self, path: str) -> NameMatch | None:
        start = path.rfind("/") + 1
        found = self._of_segment.find(path[start:])
        if start:
            of_path = self._of_path.find(path)
            if of_path is not None and (found is None or of_path[0] < found[0]):
                found, start = of_path, 0
        if found is None:
            return None
        number, match, mac_group, model_group = found
        mac, model, tail = None, None, path[start:]
        if mac_group:
            mac = match[mac_group].translate(_NO_SEPARATORS)
            tail = path[start + match.end(mac_group) :]
        if model_group:
            begin, end = match.span(model_group)
            model = path[start + begin : start + end]
        return NameMatch(self.masks[number], mac, model, _extension(tail))


class _Alternatives:
    """Masks as one regular expression; each has a group around it that tells which one fitted."""

    def __init__(self, masks: list[tuple[int, Mask]]) -> None:
        self._known: dict[int, tuple[int, int, int]] = {}
        parts = []
        group = 1
        for number, mask in masks:
            tokens = [token.lower() for token in _TOKEN.findall(mask.text)]
            groups = [token for token in tokens if token.startswith("[")]
            place = {token: group + 1 + at for at, token in enumerate(groups)}
            self._known[group] = (number, place.get("[mac]", 0), place.get("[model]", 0))
            parts.append(f"({mask.pattern})")
            group += 1 + len(groups)
        self._regex = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> tuple[int, re.Match[str], int, int] | None:
        """The number of the first mask that fits, the match, and its groups of MAC and model (0: none)."""
        lowered = text.lower()
        if len(lowered) != len(text):  # a letter whose lower case is two characters; positions would shift
            lowered = text.translate(_ASCII_LOWER)
        match = self._regex.fullmatch(lowered) if self._regex is not None else None
        if match is None:
            return None
        assert match.lastindex is not None
        number, mac, model = self._known[match.lastindex]
        return number, match, mac, model


_NO_SEPARATORS = {ord(c): None for c in ":.-"}
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def builtin_masks() -> tuple[Mask, ...]:
    """The masks of the known vendors, specific ones first; read from package data, so call it once."""
    text = resources.files("era_ap").joinpath("data/masks.yml").read_text(encoding="utf-8")
    masks = []
    for number, entry in enumerate(yaml.load(text, Loader=yaml.BaseLoader), 1):  # nosec B506 # noqa: S506 - text scalars only
        mask = compile_mask(entry, f"built-in mask {number}")
        masks.append(replace(mask, is_corrected=mask.type is None))
    return tuple(masks)


def _pattern(text: str) -> str:
    """Between two wildcards the leftmost place of a literal is good enough, hence the atomic groups."""
    chunks: list[str] = [""]
    wildcards: list[str] = []
    for part in _TOKEN.split(text):
        if part == "[mac]":
            chunks[-1] += _MAC
        elif part == "[model]":
            wildcards.append("([^/]+?)")
            chunks.append("")
        elif part.startswith("*"):
            wildcards.append("[^/]*?")
            chunks.append("")
        else:
            chunks[-1] += re.escape(part)
    if not wildcards:
        return chunks[0]
    inner = "".join(f"(?>{wild}{chunk})" for wild, chunk in zip(wildcards[:-1], chunks[1:-1], strict=True))
    return f"{chunks[0]}{inner}{wildcards[-1].replace('*?', '*')}{chunks[-1]}"


@lru_cache(maxsize=256)
def _extension(tail: str) -> str:
    """What follows the last dot; ``tail`` begins after the MAC, whose separator may be a dot."""
    segment = tail.rpartition("/")[2].partition("?")[0]
    return segment.rpartition(".")[2].lower() if "." in segment else ""


def _checked_text(text: str | None, origin: str) -> str:
    if not text:
        raise _invalid(origin, "the mask is empty")
    if len(text) > MAX_MASK:
        raise _invalid(origin, f"a mask is limited to {MAX_MASK} characters")
    try:
        text = normalise(text)
    except Refused as refused:
        raise _invalid(origin, refused.reason.advice) from None
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    for token in ("[mac]", "[model]"):
        if tokens.count(token) > 1:
            raise _invalid(origin, f"'{text}' has {token} more than once")
    foreign = _FOREIGN_TOKEN.search(_TOKEN.sub("/", text))
    if foreign:
        near = _nearest(foreign[0].lower(), ("[mac]", "[model]"))
        raise _invalid(
            origin, f"'{foreign[0]}' in '{text}' is not a part of a mask: use [mac], [model] or *{near}"
        )
    if _SIDE_BY_SIDE.search(re.sub(r"\*+", "*", text)):
        raise _invalid(origin, f"'{text}' has two wildcards side by side; it is not clear where one ends")
    return text


def _checked_type(kind: str | None, origin: str) -> str | None:
    if not kind:
        return None
    kind = kind.removeprefix(".").lower()
    if not _TYPE.fullmatch(kind):
        raise _invalid(origin, f"type {kind!a} may hold letters, digits, '.', '_' and '-'")
    return kind


def _checked_template(template: str | None, origin: str) -> str | None:
    if not template:
        return None
    try:
        return normalise(template)
    except Refused as refused:
        raise _invalid(origin, f"template {template!a}: {refused.reason.advice}") from None


def _invalid(origin: str, sentence: str) -> Refused:
    return Refused(Reason.MASK_INVALID, f"{origin}: {sentence}")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
