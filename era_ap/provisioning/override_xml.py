"""Correcting a filled XML file by XPath or by a fragment (spec 8).

Owns what a path or a fragment changes. Existing nodes get the value, a missing simple path is created, None
removes. An element gets text only if it holds no elements. A fragment's elements replace those of the same
path with the same ``idx``, ``id`` and ``name``, attribute by attribute and, where they have text, in text;
the others are added. The fragment may repeat the root element or begin below it. What surrounds the root
element stays byte for byte.
"""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from lxml import etree

from era_ap.errors import Reason, Refused
from era_ap.provisioning import override_xpath
from era_ap.provisioning.safe_xml import epilog_start, parse_xml, prolog_end
from era_ap.provisioning.scope import Change, Effect

if TYPE_CHECKING:
    from collections.abc import Callable

_IDENTITY = ("idx", "id", "name")


class XmlEditor:
    """An XML file being corrected; ``tick`` is called now and then and may end the work by raising.

    Raises ``Refused`` (XML_BROKEN, XML_ENTITY) if the file cannot be read.
    """

    def __init__(self, text: str, tick: Callable[[], None]) -> None:
        self._tick = tick
        start = prolog_end(text)
        # Blank lines in place of the prolog: its encoding is not that of a str, and line numbers stay right.
        body = "\n" * text.count("\n", 0, start) + text[start:]
        self._tree = parse_xml(body.encode("utf-8", "replace"))
        self._root = self._tree.getroot()
        self._elements = sum(1 for _ in self._tree.iter())
        self._before = text[:start]
        self._after = text[epilog_start(text, self._root) :]
        self._crlf = "\r\n" in text

    def text(self) -> str:
        """The file as it is now."""
        root = etree.tostring(self._root, encoding="unicode", with_tail=False)
        return (
            f"{self._before}{root.replace(chr(10), chr(13) + chr(10)) if self._crlf else root}{self._after}"
        )

    def change(self, path: str, value: str | None, use: int | None) -> Change:
        """Give what ``path`` selects the value, or remove it where ``value`` is None.

        Raises:
            Refused: OVERRIDE_XPATH for a path that is not allowed or selects what can have no value.
        """
        self._tick()
        override_xpath.check(path, self._elements)
        nodes = self._select(path)
        chosen = nodes if use is None else nodes[use : use + 1]
        if value is None:
            before = _value_of(chosen[0]) if chosen else ""
            for node in chosen:
                self._remove(path, node)
            return Change(path, before, "", Effect.REMOVED if chosen else Effect.NOTHING)
        if chosen:
            before = _value_of(chosen[0])
            for node in chosen:
                _set(path, node, value)
            return Change(path, before, value, Effect.REPLACED)
        if nodes and isinstance(nodes[-1], etree._Element):
            added = _add_after(nodes[-1])
        else:
            return self._create(path, value)
        added.text = value
        return Change(path, "", value, Effect.ADDED)

    def merge(self, body: str) -> list[Change]:
        """Apply a fragment. Raises ``Refused`` (OVERRIDE_FRAGMENT) if it is not well-formed or holds bare
        text.
        """
        fragment = self._read(body)
        changes: list[Change] = []
        elements = list(fragment.iterchildren("*"))
        if len(elements) == 1 and elements[0].tag == self._root.tag:
            _merge_attributes(self._root, elements[0], f"/{self._root.tag}", changes)
            fragment = elements[0]
        _merge_children(self._root, fragment, f"/{self._root.tag}", changes, self._tick)
        return changes

    def _read(self, body: str) -> etree._Element:
        start = prolog_end(body)
        spaces = "".join(
            f" xmlns{':' + prefix if prefix else ''}={quoteattr(uri)}"
            for prefix, uri in self._root.nsmap.items()
        )
        lines = "\n" * body.count("\n", 0, start)
        document = f"{lines}<fragment{spaces}>{body[start:]}</fragment>"
        try:
            fragment = parse_xml(document.encode("utf-8", "replace")).getroot()
        except Refused as refused:
            raise Refused(Reason.OVERRIDE_FRAGMENT, refused.detail) from None
        texts = [fragment.text, *(each.tail for each in fragment)]
        if any(text and text.strip() for text in texts):
            raise Refused(Reason.OVERRIDE_FRAGMENT, "the fragment holds text outside its elements")
        return fragment

    def _select(self, path: str) -> list[object]:
        try:
            found = self._tree.xpath(path)
        except etree.XPathError as error:
            raise Refused(Reason.OVERRIDE_XPATH, f"the XPath {path[:120]!r} is not valid: {error}") from None
        if not isinstance(found, list):
            raise Refused(Reason.OVERRIDE_XPATH, f"the XPath {path[:120]!r} selects no nodes")
        return list(found)

    def _remove(self, path: str, node: object) -> None:
        if isinstance(node, etree._Element):
            if node is self._root or node.getparent() is None:
                raise Refused(Reason.OVERRIDE_XPATH, f"{path[:120]!r} would remove the whole document")
            _cut(node)
        elif isinstance(node, etree._ElementUnicodeResult):
            _put_text(node, None)

    def _create(self, path: str, value: str) -> Change:
        """Make the missing attribute of existing elements, or the missing end of a simple path."""
        attribute = override_xpath.attribute_of(path)
        elements_path = attribute[0] if attribute else path
        elements = [
            each
            for each in (self._select(elements_path) if attribute else [])
            if isinstance(each, etree._Element)
        ]
        if not elements:
            element = self._make(elements_path)
            if element is None:
                detail = "selects nothing, and only a path like /a/b[@idx='1'] can be created"
                return Change(path, "", "", Effect.NOTHING, detail)
            elements = [element]
        for each in elements:
            if attribute:
                _set_attribute(path, each, attribute[1], value)
            else:
                each.text = value
        return Change(path, "", value, Effect.ADDED)

    def _make(self, path: str) -> etree._Element | None:
        steps = override_xpath.simple_steps(path)
        if steps is None or not _fits(self._root, steps[0]):
            return None
        element = self._root
        for step in steps[1:]:
            child = next((each for each in element if _fits(each, step)), None)
            if child is None:
                child = _new_element(path, step)
                _append(element, child)
            element = child
        return element


def _new_element(path: str, step: override_xpath.Step) -> etree._Element:
    try:
        return etree.Element(step.name, dict(step.attributes))
    except ValueError as error:
        raise Refused(Reason.OVERRIDE_XPATH, f"{path[:120]!r}: {error}") from None


def _fits(element: etree._Element, step: override_xpath.Step) -> bool:
    return element.tag == step.name and all(element.get(name) == value for name, value in step.attributes)


def _value_of(node: object) -> str:
    return (node.text or "") if isinstance(node, etree._Element) else str(node)


def _set(path: str, node: object, value: str) -> None:
    if isinstance(node, etree._Element) and isinstance(node.tag, str):
        if next(node.iterchildren("*"), None) is not None:
            raise Refused(Reason.OVERRIDE_XPATH, f"{path[:120]!r} selects <{node.tag}>, which holds elements")
        for child in list(node):
            node.remove(child)
        node.text = value
    elif isinstance(node, etree._ElementUnicodeResult):
        _put_text(node, value)
    else:
        raise Refused(Reason.OVERRIDE_XPATH, f"{path[:120]!r} selects neither elements, attributes nor text")


def _put_text(node: etree._ElementUnicodeResult, value: str | None) -> None:
    """Change an attribute or a piece of text that an XPath selected."""
    parent = node.getparent()
    if parent is None:
        return
    if node.is_attribute and node.attrname is not None:
        if value is None:
            del parent.attrib[node.attrname]
        else:
            parent.set(node.attrname, value)
    elif node.is_tail:
        parent.tail = value
    else:
        parent.text = value


def _set_attribute(path: str, element: etree._Element, name: str, value: str) -> None:
    try:
        element.set(name, value)
    except ValueError as error:
        raise Refused(Reason.OVERRIDE_XPATH, f"{path[:120]!r}: {error}") from None


def _cut(element: etree._Element) -> None:
    """Remove an element with the white space after it; other text after it stays."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    assert parent is not None
    last = element.getnext() is None
    parent.remove(element)
    if before is not None:
        text = before.tail or ""
        before.tail = (tail if last and not text.strip() else text) if not tail.strip() else text + tail
    else:
        text = parent.text or ""
        parent.text = (tail if last and not text.strip() else text) if not tail.strip() else text + tail
        if len(parent) == 0 and not (parent.text or "").strip():
            parent.text = None


def _append(parent: etree._Element, child: etree._Element) -> None:
    """Add a last child, indented like its siblings."""
    if len(parent):
        last = parent[-1]
        child.tail = last.tail
        before = parent.text if len(parent) == 1 else parent[-2].tail
        last.tail = before if before and not before.strip() else last.tail
    parent.append(child)


def _add_after(element: etree._Element) -> etree._Element:
    """A new element of the same name after ``element``."""
    parent = element.getparent()
    if parent is None:
        raise Refused(Reason.OVERRIDE_XPATH, "a document has one root element")
    added = element.makeelement(element.tag)
    _insert_after(element, added)
    return added


def _insert_after(element: etree._Element, added: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    if element.getnext() is None:
        _append(parent, added)
        return
    added.tail = element.tail
    parent.insert(parent.index(element) + 1, added)


def _merge_children(
    target: etree._Element, source: etree._Element, path: str, changes: list[Change], tick: Callable[[], None]
) -> None:
    present: dict[object, deque[etree._Element]] = {}
    for child in target.iterchildren("*"):
        present.setdefault(_identity(child), deque()).append(child)
    for element in source.iterchildren("*"):
        tick()
        here = f"{path}/{_step(element)}"
        same = present.get(_identity(element))
        if not same:
            added = deepcopy(element)
            added.tail = None
            _append(target, added)
            changes.append(Change(here, "", (element.text or "").strip(), Effect.ADDED))
            continue
        match = same.popleft()
        _merge_attributes(match, element, here, changes)
        if next(element.iterchildren("*"), None) is not None:
            _merge_children(match, element, here, changes, tick)
        elif element.text or not set(element.attrib) - set(_IDENTITY):
            before = match.text or ""
            for child in list(match):
                match.remove(child)
            match.text = element.text
            changes.append(Change(here, before.strip(), (element.text or "").strip(), Effect.REPLACED))


def _merge_attributes(
    target: etree._Element, source: etree._Element, path: str, changes: list[Change]
) -> None:
    for key, new in source.items():
        name, value = str(key), str(new)
        before = target.get(name)
        if before != value:
            target.set(name, value)
            effect = Effect.ADDED if before is None else Effect.REPLACED
            changes.append(Change(f"{path}/@{name}", before or "", value, effect))


def _identity(element: etree._Element) -> object:
    return element.tag, *(element.get(name) for name in _IDENTITY)


def _step(element: etree._Element) -> str:
    conditions = "".join(
        f"[@{name}='{element.get(name)}']" for name in _IDENTITY if element.get(name) is not None
    )
    return f"{element.tag}{conditions}"
