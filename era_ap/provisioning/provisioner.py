"""The one place where it is decided what a phone gets, the same for every transport (spec 5).

Owns the order static file, mask, account, template, filling; the reuse of a rendering for a short time; the
memory of refusals. Does no I/O: a static file is named, not read, and host names or computing time that
are lacking are reported (``NamesNeeded``, ``TIME_LIMIT``) for an edge to supply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from era_ap.errors import Outcome, Reason, Refused
from era_ap.provisioning.gatekeeper import Gatekeeper
from era_ap.provisioning.kept import Kept, KeptAnswers, Key, Sources, StaticHit
from era_ap.provisioning.language import Kind
from era_ap.provisioning.logins import login_of
from era_ap.provisioning.names import MaskTable, builtin_masks, compile_mask
from era_ap.provisioning.ownership import Alone
from era_ap.provisioning.render import render
from era_ap.provisioning.request import Content, Refusal, Subject
from era_ap.provisioning.resolution import Resolution, resolve
from era_ap.provisioning.scope import Budget, Rendering, Scope
from era_ap.provisioning.scoping import Scoping
from era_ap.provisioning.trust import DISTRUST

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.directory.index import DirectoryIndex
    from era_ap.directory.model import Domain
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.ownership import Elsewhere
    from era_ap.provisioning.request import FileRequest
    from era_ap.provisioning.scoping import Rules
    from era_ap.provisioning.trust import Trust


WARNINGS_TOLD = 3


@dataclass(slots=True)  # not frozen, which takes longer to make
class Filling:
    """A rendering to be done; holds all it needs, so that it may be done in any thread."""

    key: Key
    template: Template
    scope: Scope
    subject: Subject
    found: Resolution

    def render(self, clock: Callable[[], float], seconds: float, *, trace: bool = False) -> Rendering:
        """Fill in the template; raises ``Refused`` or ``NamesNeeded``."""
        return render(self.template, self.scope, Budget(clock, seconds=seconds), trace=trace)


class Provisioner:
    """Answers requests from the catalogue and the directory in service.

    ``addresses`` gives the known addresses of a host name (None: not known yet). Catalogue and directory
    are None until their first load; assign to swap them, as ``elsewhere``, what other instances have seen of
    the directory. Without ``trust`` everybody is trusted.
    """

    def __init__(
        self,
        rules: Rules,
        addresses: Callable[[str], tuple[str, ...] | None],
        trust: Trust | None = None,
    ) -> None:
        self.rules = rules
        self.addresses = addresses
        self.catalogue: Catalogue | None = None
        self.directory: DirectoryIndex | None = None
        self.elsewhere: Elsewhere = Alone()
        self._gate = Gatekeeper(
            trust, lambda mac: login_of(mac, self.rules.master_domain, self.directory, self.catalogue)
        )
        self._kept = KeptAnswers()
        self._scoping = Scoping()
        self._builtin = builtin_masks()
        self._masks = MaskTable(self._builtin)
        self._masks_of: Domain | None = None

    def reconfigure(self, rules: Rules) -> None:
        """Take new rules; nothing that was made under the old ones is repeated."""
        self.rules = rules
        self._kept.clear()

    # --- answering

    def answer(self, request: FileRequest, now: float) -> Content | Refusal | StaticHit | Filling:
        """Decide about ``request`` at ``now`` (seconds, monotonic); never raises for what a phone asks."""
        asked = (request.name.lstrip("/"), request.local, request.query, request.mac_hint)
        kept = self._kept.get(asked)
        if (
            kept is not None
            and now < kept.until
            and (kept.revisions == self._revisions() or self._renews(kept, Key(*asked)))
        ):
            return self._gate.refusal(request, kept.reply.subject) or kept.reply
        key = Key(*asked)
        found = self.resolve(request.name, request)
        if found.refusal is not None:
            return self.refuse(key, found.refusal, subject_of(found), now)
        if found.static is not None:
            hit = StaticHit(found.static, subject_of(found))
            self._kept.put(key, Kept(hit, now + self.rules.reuse_seconds, self._revisions()))
            return hit
        try:
            return self.filling(found, request.local, request.query, request.mac_hint)
        except Refused as refused:
            return self.refuse(key, refused, subject_of(found), now)

    def judge_upload(self, request: FileRequest) -> Refusal | None:
        """Why ``request.peer`` may not upload a file of that name; the catalogue has no say in it."""
        found = resolve(request.name, None, None, self.mask_table())
        refused = found.refusal
        if refused is None or refused.reason is Reason.STORAGE_UNAVAILABLE:
            refused = self._gate.judge(request, found.mac, found.path, private=True)
        if refused is None:
            return None
        return Refusal(refused.reason, replace(subject_of(found), detail=refused.detail))

    def fill(self, filling: Filling, rendering: Rendering, now: float) -> Content:
        """Make the answer of a finished rendering and keep it for repetition."""
        reason = Reason.RENDERED if filling.scope.lines else Reason.COMMON
        subject = (
            replace(filling.subject, detail=_warned(rendering)) if rendering.warnings else filling.subject
        )
        content = Content(rendering.data, reason, subject, rendering.kind is Kind.XML)
        files = (filling.template.name, *rendering.files)
        again = (
            content if reason is Reason.COMMON else Content(content.data, Reason.REUSED, subject, content.xml)
        )
        self._kept.put(
            filling.key,
            Kept(
                again,
                now + self.rules.reuse_seconds,
                self._revisions(),
                files,
                self._sources(filling.found, files),
            ),
        )
        return content

    def refuse(self, key: Key, refused: Refused, subject: Subject, now: float) -> Refusal:
        """Make the refusal and keep it; errors of a template are not computed again for every retry."""
        through = f" (through {' > '.join(refused.chain)})" if refused.chain else ""
        refusal = Refusal(refused.reason, replace(subject, detail=refused.detail + through))
        if refused.reason.outcome is not Outcome.UNAVAILABLE and refused.reason not in DISTRUST:
            self._kept.put(key, Kept(refusal, now + self.rules.reuse_seconds, self._revisions()))
        return refusal

    # --- the steps, also used by explain

    def resolve(self, name: str, request: FileRequest | None = None) -> Resolution:
        """Which file, phone and template ``name`` means; see ``resolution``.

        With a ``request`` also whether it may have that, and what it tells beside the name.
        """
        sources = (self.catalogue, self.directory, self.mask_table())
        if request is None:
            found = resolve(name, *sources, elsewhere=self.elsewhere)
        else:
            found = resolve(
                name,
                *sources,
                query=request.query,
                mac_hint=request.mac_hint,
                elsewhere=self.elsewhere,
                admit=self._gate.admission(request),
            )
        if found.refusal is not None and found.refusal.reason is Reason.NO_MASK:
            found.refusal = _no_mask_yet(self.directory, self.rules.master_domain) or found.refusal
        return found

    def filling(self, found: Resolution, local: str, query: str = "", mac_hint: str = "") -> Filling:
        """Prepare the rendering of a resolution that has a template; ``local`` is our address, if known.

        Raises ``Refused`` if an account without registration has no gate (spec 12).
        """
        assert found.template is not None and self.catalogue is not None
        return Filling(
            key=Key(found.name.lstrip("/"), local, query, mac_hint),
            template=found.template,
            scope=self._scoping.scope(
                found, self.rules, self.catalogue, self.directory, self.addresses, local
            ),
            subject=subject_of(found),
            found=found,
        )

    def mask_table(self) -> MaskTable:
        """The master domain's masks, then the built-in ones; a mask that is not valid is left out."""
        master = _domain(self.directory, self.rules.master_domain)
        if master is not self._masks_of:
            usable = []
            for number, spec in enumerate(master.masks if master else (), 1):
                try:
                    usable.append(compile_mask(spec, f"mask {number} of {self.rules.master_domain}"))
                except Refused:
                    continue  # ``check`` and ``explain`` report it; one bad mask must not take others down
            self._masks = MaskTable((*usable, *self._builtin))
            self._masks_of = master
        return self._masks

    # --- keeping

    def _revisions(self) -> tuple[int, int, int]:
        return (
            self.catalogue.revision if self.catalogue is not None else -1,
            self.directory.revision if self.directory is not None else -1,
            self.elsewhere.revision,
        )

    def _renews(self, kept: Kept, key: Key) -> bool:
        """Whether an answer of earlier revisions is made of what is in service still; it is marked so."""
        if kept.sources is None:
            return False
        found = resolve(
            key.name,
            self.catalogue,
            self.directory,
            self.mask_table(),
            query=key.query,
            mac_hint=key.mac_hint,
            elsewhere=self.elsewhere,
        )
        if found.template is None or self._sources(found, kept.files) != kept.sources:
            return False
        kept.revisions = self._revisions()
        return True

    def _sources(self, found: Resolution, files: tuple[str, ...]) -> Sources:
        catalogue = self.catalogue
        assert catalogue is not None
        phone = found.phone
        accounts = [(account.key, account.revision) for account, _ in phone.lines] if phone else []
        domains = dict.fromkeys([*[key.domain for key, _ in accounts], self.rules.master_domain])
        return Sources(
            templates=catalogue.choices.templates(files, catalogue.template),
            accounts=tuple(accounts),
            domains=tuple([(name, _domain_revision(self.directory, name)) for name in domains]),
            site_constants=catalogue.constants,
            bases=found.bases,
            layout=found.layout,
        )


def _no_mask_yet(directory: DirectoryIndex | None, master_domain: str) -> Refused | None:
    """Why a name that no mask fits may still have one; None if all masks are known."""
    if directory is not None and (directory.is_complete or directory.domain(master_domain) is not None):
        return None
    return Refused(Reason.DIRECTORY_UNAVAILABLE, f"the masks of {master_domain} are not known yet")


def _domain(directory: DirectoryIndex | None, name: str) -> Domain | None:
    return directory.domain(name) if directory is not None else None


def _domain_revision(directory: DirectoryIndex | None, name: str) -> str | None:
    domain = _domain(directory, name)
    return domain.revision if domain is not None else None


def subject_of(found: Resolution) -> Subject:
    """Whom and what a resolution concerns, for the journal."""
    phone = found.phone
    return Subject(
        mac=found.mac,
        account=str(phone.lines[0][0].key) if phone else "",
        file=found.path or found.name[:512],
        model=found.model,
        revision=_revision(found),
    )


def _warned(rendering: Rendering) -> str:
    """The first warnings of a rendering, for the journal; ``explain`` has them all."""
    told = [f"{problem.reason.code} at {problem.where}: {problem.detail}" for problem in rendering.warnings]
    more = f"; and {len(told) - WARNINGS_TOLD} more" if len(told) > WARNINGS_TOLD else ""
    return "; ".join(told[:WARNINGS_TOLD]) + more


def _revision(found: Resolution) -> str:
    if found.template is not None:
        return found.template.revision
    return found.static.revision if found.static is not None else ""
