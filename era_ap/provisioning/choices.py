"""What was decided for a phone and holds for all others that ask alike, while one catalogue is in service.

Owns the bounds of that memory: models and extensions may be whatever phones make up. Does not own the
decisions (``resolution``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.provisioning.language import Template
    from era_ap.provisioning.layout import Layout

    Find = Callable[[str], Template | None]

REMEMBERED: Final = 1024


class Asked(NamedTuple):
    """What decides about the template, beside the catalogue; ``type`` is that of the mask."""

    model: str
    firmware: str | None
    type: str | None
    extension: str


class Choice(NamedTuple):
    """The template and what belongs to it."""

    bases: tuple[str, ...]
    layout: Layout | None
    candidates: tuple[str, ...]
    template: Template


class Choices:
    """The choices made before, and the templates that files were made of."""

    def __init__(self) -> None:
        self._made: dict[Asked, Choice] = {}
        self._templates: dict[tuple[str, ...], tuple[Template | None, ...]] = {}

    def get(self, asked: Asked) -> Choice | None:
        """The choice made before."""
        return self._made.get(asked)

    def put(self, asked: Asked, choice: Choice) -> None:
        """Keep a choice, if there is room."""
        if len(self._made) < REMEMBERED:
            self._made[asked] = choice

    def templates(self, names: tuple[str, ...], find: Find) -> tuple[Template | None, ...]:
        """The templates of those names."""
        found = self._templates.get(names)
        if found is None:
            found = tuple([find(name) for name in names])
            if len(self._templates) < REMEMBERED:
                self._templates[names] = found
        return found
