"""The one place where a request is stopped that may not have what it asks for, whatever transport it came by.

Owns the connection of ``trust`` to answers: before a name is looked up, and before a kept answer is given
again. Does not own the judgement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.provisioning.request import Refusal, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.errors import Refused
    from era_ap.provisioning.credentials import Login
    from era_ap.provisioning.request import FileRequest
    from era_ap.provisioning.resolution import Resolution
    from era_ap.provisioning.trust import Trust


class Gatekeeper:
    """Without ``trust`` everybody is trusted; ``login`` gives the credentials that a MAC must show."""

    def __init__(self, trust: Trust | None, login: Callable[[str], Login | None]) -> None:
        self._trust = trust
        self._login = login

    def judge(self, request: FileRequest, mac: str, path: str, *, private: bool = False) -> Refused | None:
        """Why ``request`` may not have ``path`` of the phone ``mac``; see ``trust``."""
        if self._trust is None:
            return None
        return self._trust.judge(request, mac, path, self._login, private=private)

    def admission(self, request: FileRequest) -> Callable[[Resolution], None]:
        """What ``resolution`` calls when it knows whose file is wanted; raises ``Refused``."""
        if self._trust is None:
            return _welcome

        def admit(found: Resolution) -> None:
            refused = self.judge(request, found.mac, found.path)
            if refused is not None:
                raise refused

        return admit

    def refusal(self, request: FileRequest, subject: Subject) -> Refusal | None:
        """The refusal of an answer that was made for somebody else and is about ``subject``."""
        if self._trust is None:
            return None
        refused = self._trust.judge(request, subject.mac, subject.file, self._login)
        if refused is None:
            return None
        return Refusal(refused.reason, Subject(mac=subject.mac, file=subject.file, detail=refused.detail))


def _welcome(_found: Resolution) -> None:
    """Nobody is stopped."""
