"""Why a phone gets what it gets, or why it gets nothing: the answer of ``era-ap explain``.

Owns the telling: it takes the same steps as an answer and reports what each of them found, with secrets
masked. Decides nothing by itself, so that it cannot disagree with what phones get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.model import parse_mac
from era_ap.errors import Problem, Reason, Refused
from era_ap.provisioning.audit import mask_problems
from era_ap.provisioning.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.provisioning.resolution import Resolution
    from era_ap.provisioning.scope import Rendering


@dataclass(frozen=True, slots=True)
class Explanation:
    """One request, explained. ``rendering`` is None where nothing was filled in.

    ``related`` are findings about the files that had a part in it; after a refusal, all others follow.
    """

    found: Resolution
    reason: Reason
    detail: str
    chain: tuple[str, ...]
    nearest: tuple[str, ...]
    rendering: Rendering | None
    related: tuple[Problem, ...]


def explain(
    provisioner: Provisioner,
    name: str,
    *,
    local: str,
    clock: Callable[[], float],
    refused_before: Refused | None = None,
) -> Explanation:
    """Explain the request for ``name``; raises ``NamesNeeded`` like a rendering does.

    ``refused_before`` is a refusal that came before the name was looked at (a closed network).
    """
    found = provisioner.resolve(name)
    rendering = None
    refusal = refused_before or found.refusal
    if refusal is None and found.template is not None:
        try:
            rendering = provisioner.filling(found, local).render(clock, 0.5, trace=True)
        except Refused as refused:
            refusal = found.refusal = refused
    if refusal is not None:
        return Explanation(
            found=found,
            reason=refusal.reason,
            detail=refusal.detail,
            chain=refusal.chain,
            nearest=() if refused_before else nearest(provisioner, found),
            rendering=None,
            related=_nearest_first(_findings(provisioner), found, refusal),
        )
    reason = Reason.STATIC if found.static else Reason.RENDERED if found.phone else Reason.COMMON
    files = frozenset(rendering.files) if rendering else frozenset()
    related = tuple(problem for problem in _findings(provisioner) if _concerns(problem, found, files))
    return Explanation(found, reason, "", (), (), rendering, related)


def phone_name(mac: str, name: str) -> str:
    """The name a phone with ``mac`` would ask for: ``{mac}`` and ``{MAC}`` in ``name`` are replaced.

    Raises ``ValueError`` if ``mac`` is no MAC.
    """
    digits = parse_mac(mac)
    if digits is None:
        raise ValueError(f"{mac!r} is not a MAC: 12 hex digits, with or without separators")
    return name.replace("{mac}", digits).replace("{MAC}", digits.upper())


def _findings(provisioner: Provisioner) -> tuple[Problem, ...]:
    catalogue, directory = provisioner.catalogue, provisioner.directory
    found = [
        *(catalogue.problems if catalogue is not None else ()),
        *(directory.problems if directory is not None else ()),
    ]
    if directory is not None:
        found += mask_problems(directory.domain(provisioner.rules.master_domain))
    return tuple(found)


def _nearest_first(problems: tuple[Problem, ...], found: Resolution, refusal: Refused) -> tuple[Problem, ...]:
    """What has to do with the refused request, then the rest: any of it may be why nothing was found."""
    files = frozenset((*refusal.chain, *found.candidates))
    return tuple(sorted(problems, key=lambda problem: not _concerns(problem, found, files)))


def _concerns(problem: Problem, found: Resolution, files: frozenset[str]) -> bool:
    places = {f"templates/{name}" for name in files} | {"templates/models.yml"}
    if found.phone is not None:
        places.update(account.origin for account, _ in found.phone.lines)
    where = problem.where.partition(":")[0]
    return (
        where in places or where.startswith("constants/") or bool(found.mac and found.mac in problem.detail)
    )
