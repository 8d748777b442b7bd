"""Whether an XML template could become well-formed, judged before anything is filled in.

Owns a neutral reading of a template: placeholders replaced by harmless text, the whole tried as a document
and as a fragment. A template that passes may still fail when filled; one that passed before and not now was
broken by an edit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lxml import etree

from era_ap.provisioning.language import Kind, Placeholder, Switch

if TYPE_CHECKING:
    from era_ap.provisioning.language import Template

_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*\?>")
_NEUTRAL = ("x", "")


def why_broken(template: Template) -> str | None:
    """None if some neutral reading is well-formed, else the parser's complaint with its line."""
    if template.kind is not Kind.XML:
        return None if template.text.strip() else "the file is empty"
    complaint: str | None = None
    for neutral in _NEUTRAL:
        text = "".join(_neutralised(node, neutral) for node in template.nodes)
        declaration = _DECLARATION.match(text)
        body = text[declaration.end() :] if declaration else text
        lines = text.count("\n", 0, len(text) - len(body))
        for candidate in (body, f"<fragment>{body}</fragment>"):
            found = _complaint(candidate, lines)
            if found is None:
                return None
            complaint = complaint or found
    return complaint


def _neutralised(node: str | Switch | Placeholder, neutral: str) -> str:
    if isinstance(node, Placeholder):
        return f"{node.indent}{neutral}{node.ending}"
    return node.text if isinstance(node, Switch) else node


def _complaint(text: str, lines_before: int) -> str | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        line = (error.lineno or 1) + lines_before
        return f"line {line}: {re.sub(r', line [0-9]+, column [0-9]+.*', '', error.msg or 'not well-formed')}"
    return None
