"""Whether a request may have what belongs to one phone: its MAC alone is a secret only on trusted networks.

Owns the order of judgement, the same for every transport: a temporary address decides alone; a source within
``ext.mac_is_enough`` of its transport needs nothing else; anybody else needs credentials, or gets nothing. It
is asked before the directory is, so a stranger gets one answer for every MAC, whoever owns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.admission import read_address
from era_ap.config import HttpAuth
from era_ap.errors import Outcome, Reason, Refused
from era_ap.provisioning.credentials import (
    CredentialCheck,
    Login,
    basic_challenge,
    digest_challenges,
)
from era_ap.provisioning.request import Ticket, Transport
from era_ap.provisioning.tokens import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from era_ap.admission import Network
    from era_ap.provisioning.request import FileRequest

DISTRUST: Final = frozenset(
    {
        reason
        for reason in Reason
        if reason.outcome is Outcome.UNAUTHORIZED or reason.code.startswith("token-")
    }
    | {Reason.MAC_NOT_ENOUGH}
)
"""Refusals that concern who asks, not what is asked for; never kept for others."""

_SOURCES_REMEMBERED: Final = 16_384


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What the site configuration says. ``near``: networks in which a MAC is enough, by transport.

    ``keys`` are the site's, the newest first: it signs, all of them verify. At least one.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    near: Mapping[Transport, Sequence[Network]] = field(default_factory=dict)
    auth: HttpAuth = HttpAuth.NONE


class Trust:
    """Judges requests. ``wall`` gives epoch seconds; ``policy`` is replaced with ``replace``."""

    def __init__(self, policy: TrustPolicy, wall: Callable[[], float]) -> None:
        self.policy = policy
        self._wall = wall
        self._credentials = CredentialCheck(policy.keys)
        self._near: dict[tuple[Transport, str], bool] = {}
        self._ranges = _ranges(policy)

    def replace(self, policy: TrustPolicy) -> None:
        """Take other settings from now on; used nonces stay used."""
        self.policy = policy
        self._credentials.keys = policy.keys
        self._near.clear()
        self._ranges = _ranges(policy)

    def judge(
        self,
        request: FileRequest,
        mac: str,
        path: str,
        login: Callable[[str], Login | None],
        *,
        private: bool = False,
    ) -> Refused | None:
        """Why ``request`` may not have ``path``; None if it may.

        ``mac`` is whose file it is, "" for a file of no particular phone; ``private`` protects that one too.
        ``login`` gives the credentials of a MAC, the same way for one that nobody owns.
        """
        proof = request.proof
        if isinstance(proof, Ticket):
            verdict = verify(self.policy.keys, proof.token, mac or None, path, request.peer, self._wall())
            return Refused(verdict) if isinstance(verdict, Reason) else None
        if not (mac or private) or self.is_near(request.transport, request.peer):
            return None
        if self.policy.auth is HttpAuth.NONE or request.transport is Transport.TFTP:
            return Refused(
                Reason.MAC_NOT_ENOUGH,
                f"{request.peer} is not within ext.mac_is_enough.{request.transport.value}",
            )
        if proof is None:
            return Refused(Reason.CREDENTIALS_NEEDED)
        reason = self._credentials.check(proof, login(mac), request.peer, self._wall())
        return Refused(reason) if reason is not None else None

    def is_near(self, transport: Transport, peer: str) -> bool:
        """Whether a MAC is enough for requests of ``peer`` (textual address) over ``transport``."""
        key = (transport, peer)
        near = self._near.get(key)
        if near is None:
            if len(self._near) >= _SOURCES_REMEMBERED:
                self._near.clear()
            near = self._near[key] = self._judge_source(transport, peer)
        return near

    def takes_basic(self, *, basic_only: bool) -> bool:
        """Whether a phone is asked for Basic; ``basic_only`` says that its vendor knows nothing else."""
        auth = self.policy.auth
        return auth is HttpAuth.BASIC or (auth is HttpAuth.VENDOR and basic_only)

    def challenges(self, peer: str, reason: Reason, *, basic: bool, md5_only: bool) -> tuple[str, ...]:
        """The ``WWW-Authenticate`` headers of an answer that refuses for ``reason``."""
        if basic:
            return (basic_challenge(),)
        stale = reason in (Reason.CREDENTIALS_STALE, Reason.CREDENTIALS_REPLAYED)
        return digest_challenges(self._credentials.nonce(peer, self._wall()), stale=stale, md5_only=md5_only)

    def _judge_source(self, transport: Transport, peer: str) -> bool:
        if transport is Transport.CLI:
            return True
        address = read_address(peer)
        if address is None:
            return False
        number, version = int(address), address.version
        for base, mask, of_version in self._ranges.get(transport, ()):
            if number & mask == base and version == of_version:
                return True
        return False


def _ranges(policy: TrustPolicy) -> dict[Transport, list[tuple[int, int, int]]]:
    """First address, mask and IP version of each network: in a boot storm each phone is a new source, and to
    ask the networks takes far longer.
    """
    return {
        transport: [(int(each.network_address), int(each.netmask), each.version) for each in networks]
        for transport, networks in policy.near.items()
    }
