"""The one way XML is read here: no DTD, no entities, no network, no huge documents.

Owns the parser's settings and the finding of what surrounds the root element. lxml's defaults can be changed
by any library of the process, so every parser is an explicit one. XML 1.0 sections 2.8 (prolog) and 2.8 rule
[27] (Misc).
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from era_ap.errors import Reason, Refused

_MISC: Final = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)


def parse_xml(data: bytes) -> etree._ElementTree:
    """The document. Raises ``Refused`` (XML_ENTITY, XML_BROKEN) with the parser's line and message."""
    if b"<!DOCTYPE" in data and data.startswith(b"<!DOCTYPE", prolog_end(data.decode("latin-1"))):
        raise Refused(Reason.XML_ENTITY, "the file has a DOCTYPE")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        strip_cdata=False,
        remove_blank_text=False,
        remove_comments=False,
        remove_pis=False,
    )
    try:
        tree = etree.ElementTree(etree.fromstring(data, parser))
    except etree.XMLSyntaxError as error:
        raise Refused(Reason.XML_BROKEN, str(error.msg or "no element found")) from None
    except ValueError as error:
        raise Refused(Reason.XML_BROKEN, str(error)) from None
    dtd: object = tree.docinfo.internalDTD
    if dtd is not None:
        raise Refused(Reason.XML_ENTITY, "the file has a DOCTYPE")
    return tree


def prolog_end(text: str) -> int:
    """Where the root element or a DOCTYPE begins: after blanks, comments and instructions."""
    position = 0
    match = _MISC.match(text)
    while match is not None:
        position = match.end()
        match = _MISC.match(text, position)
    return position


def epilog_start(text: str, root: etree._Element) -> int:
    """Where the end tag of the root element ends: before the comments and instructions that follow it."""
    position = len(text.rstrip())
    for node in reversed(list(root.itersiblings())):
        opening = "<!--" if isinstance(node, etree._Comment) else "<?"
        position = len(text[: max(text.rfind(opening, 0, position), 0)].rstrip())
    return position
