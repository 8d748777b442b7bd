"""Findings about includes that can be seen without filling anything in: missing files and circles (spec 6).

Only names written without placeholders are looked at; a branch that is taken never is reported as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Severity
from era_ap.provisioning.language import Category, Placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from era_ap.provisioning.language import Node, Template


def include_problems(templates: Mapping[str, Template]) -> list[Problem]:
    """Warnings about the literal includes of ``templates``, which is keyed by lower-case path."""
    problems = []
    for template in templates.values():
        for name in sorted(template.includes):
            if name.lower() not in templates:
                sentence = f"[include.{name}]: templates/ has no such file"
                problems.append(_warning(Reason.INCLUDE_MISSING, template, name, sentence))
    for circle in _circles(templates):
        files = [templates[key].name for key in (*circle, circle[0])]
        name = next(n for n in templates[circle[0]].includes if n.lower() == circle[1 % len(circle)])
        problems.append(_warning(Reason.INCLUDE_CYCLE, templates[circle[0]], name, " > ".join(files)))
    return problems


def _circles(templates: Mapping[str, Template]) -> list[tuple[str, ...]]:
    """One circle for each include that closes one, beginning with its first name."""
    circles: dict[tuple[str, ...], None] = {}
    done: set[str] = set()
    for start in sorted(templates):
        if start in done:
            continue
        path = [start]
        waiting = [_included(templates, start)]
        while waiting:
            key = next(waiting[-1], None)
            if key is None:
                done.add(path.pop())
                waiting.pop()
            elif key in path:
                circle = path[path.index(key) :]
                first = circle.index(min(circle))
                circles[tuple(circle[first:] + circle[:first])] = None
            elif key not in done:
                path.append(key)
                waiting.append(_included(templates, key))
    return list(circles)


def _included(templates: Mapping[str, Template], key: str) -> Iterator[str]:
    return iter(sorted({name.lower() for name in templates[key].includes} & templates.keys()))


def _warning(reason: Reason, template: Template, name: str, sentence: str) -> Problem:
    line = next(_lines(template.nodes, name), 0)
    where = f"templates/{template.name}:{line}" if line else f"templates/{template.name}"
    return Problem(reason, where, sentence, Severity.WARNING)


def _lines(nodes: tuple[Node, ...], name: str) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, Placeholder):
            if node.category is Category.INCLUDE and node.key == name:
                yield node.line
            yield from _lines(node.parts or (), name)
