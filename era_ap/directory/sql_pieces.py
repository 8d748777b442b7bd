"""News of a source in pieces small enough for the event loop.

Owns the cutting. Touches no database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from era_ap.directory.model import Account, AccountKey, Domain
from era_ap.directory.source import PIECE, Change
from era_ap.errors import Problem


class News(NamedTuple):
    """What is to be handed over; lists, to be filled."""

    accounts: list[Account]
    removed: list[AccountKey]
    domains: list[Domain]
    removed_domains: list[str]


def pieces(news: News, problems: tuple[Problem, ...]) -> Iterator[Change]:
    """``news`` as changes of at most ``PIECE`` of each kind; none if there is none."""
    begin = 0
    while any(len(each) > begin for each in news):
        part = slice(begin, begin + PIECE)
        yield Change(
            tuple(news.accounts[part]),
            tuple(news.removed[part]),
            tuple(news.domains[part]),
            tuple(news.removed_domains[part]),
            problems,
        )
        begin += PIECE
