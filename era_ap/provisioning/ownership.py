"""Whose phone a MAC is: by the own directory, and by what other instances have seen that this one has not.

Owns how the two go together (spec 4 and 9). Does not own what other instances have seen (``cluster``); it is
only looked up, in memory, so that no question of a phone makes anybody look into a directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from era_ap.directory.index import Conflict, Phone
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from era_ap.directory.index import DirectoryIndex
    from era_ap.directory.model import AccountKey


class Elsewhere(Protocol):
    """What other instances have seen; ``revision`` grows when ``owners`` may give something else."""

    @property
    def revision(self) -> int: ...

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac``, sorted."""
        ...


class Alone:
    """There are no other instances."""

    revision: Final = 0

    def owners(self, _mac: str) -> tuple[AccountKey, ...]:
        """Nobody has seen anything."""
        return ()


def owner_of(mac: str, directory: DirectoryIndex | None, elsewhere: Elsewhere) -> Phone | Conflict:
    """The phone with that MAC, or the claims of several domains, also of one that only others have seen.

    Raises ``Refused``: MAC_UNKNOWN, or DIRECTORY_UNAVAILABLE where the MAC may well be known elsewhere.
    """
    if directory is None:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, "no scan of the directory has succeeded yet")
    owner = directory.phone_of(mac)
    claims = elsewhere.owners(mac)
    if claims and claims[0].domain != claims[-1].domain:
        owner = _together(mac, owner, claims)
    if owner is not None:
        return owner
    if claims:
        seen = f"{', '.join(map(str, claims))} lists the MAC {mac}"
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"{seen}, as another instance has seen, but this one not")
    reason = directory.why_unknown
    if reason is Reason.MAC_UNKNOWN:
        raise Refused(reason, f"no account lists the MAC {mac}")
    raise Refused(reason, f"no account that is known here lists the MAC {mac}, but not all are known")


def _together(
    mac: str, owner: Phone | Conflict | None, claims: tuple[AccountKey, ...]
) -> Phone | Conflict | None:
    """A conflict that others have seen counts here too, unless this instance knows of a later change."""
    if isinstance(owner, Conflict):
        return owner
    own = tuple(account.key for account, _ in owner.lines) if owner is not None else ()
    if own and own[0].domain not in {key.domain for key in claims}:
        return owner
    return Conflict(mac, tuple(sorted({*own, *claims})))
