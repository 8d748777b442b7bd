"""``era-ap render`` and ``era-ap explain``: what a phone gets, and why."""

from __future__ import annotations

import base64
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from era_ap.cli.common import (
    config_option,
    json_option,
    load_offline,
    print_json,
    problem_fields,
    problem_line,
    role_option,
)
from era_ap.directory.index import Conflict
from era_ap.errors import Reason, Refused
from era_ap.provisioning.explain import Explanation, phone_name
from era_ap.provisioning.explain import explain as explain_name
from era_ap.provisioning.kept import Key, StaticHit
from era_ap.provisioning.provisioner import Filling
from era_ap.provisioning.request import Content, FileRequest, Refusal, Transport
from era_ap.provisioning.scope import NamesNeeded
from era_ap.provisioning.trust import Trust
from era_ap.settings import network_refusal, own_address, trust_policy

if TYPE_CHECKING:
    from era_ap.errors import Problem
    from era_ap.offline import Offline
    from era_ap.provisioning.scope import Rendering, TraceEntry

_NAME_ROUNDS = 4
_FINDINGS = 10


def _file_name(mac: str, name: str) -> str:
    try:
        return phone_name(mac, name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MAC") from None


def _check_mac(offline: Offline, mac: str, name: str) -> None:
    """A name that belongs to another phone is a slip of the operator, not an answer."""
    asked = offline.provisioner.resolve(name).mac
    if asked and asked != phone_name(mac, "{mac}"):
        raise click.UsageError(f"the name {name} belongs to the phone {asked}, not to {mac}")


@click.command(short_help="Print the bytes that a phone gets.")
@click.argument("mac")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the file here.")
@config_option
@role_option
@json_option
def render(mac: str, name: str, output: Path | None, config: Path, role: str | None, as_json: bool) -> None:
    """Print the exact bytes that the phone MAC gets for the file NAME.

    NAME is the name the phone asks for; {mac} and {MAC} in it stand for the MAC in lower and upper case.
    """
    name = _file_name(mac, name)
    offline = load_offline(config, role, as_json=as_json)
    _check_mac(offline, mac, name)
    reply = _bytes_of(offline, FileRequest(name, "", Transport.CLI, own_address(offline.role)))
    if isinstance(reply, Refusal):
        advice = reply.reason.advice
        if as_json:
            print_json(
                {"ok": False, "reason": reply.reason.code, "detail": reply.subject.detail, "advice": advice}
            )
        else:
            click.echo(f"{reply.reason.code}: {reply.subject.detail or advice}\n{advice}", err=True)
        sys.exit(1)
    if as_json:
        print_json({"ok": True, "reason": reply.reason.code, "bytes": len(reply.data)} | _content(reply.data))
    elif output is not None:
        output.write_bytes(reply.data)
    else:
        sys.stdout.buffer.write(reply.data)
        sys.stdout.buffer.flush()


def _content(data: bytes) -> dict[str, str]:
    """The bytes as a field of a JSON document: text where they are UTF-8, else base64 (RFC 4648)."""
    try:
        return {"content": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(data).decode("ascii")}


def _bytes_of(offline: Offline, request: FileRequest) -> Content | Refusal:
    provisioner = offline.provisioner
    answer = provisioner.answer(request, time.monotonic())
    if isinstance(answer, StaticHit):
        try:
            return Content(offline.store.read(answer.entry), Reason.STATIC, answer.subject)
        except Refused as refused:
            return provisioner.refuse(Key(""), refused, answer.subject, time.monotonic())
    if not isinstance(answer, Filling):
        return answer
    try:
        return provisioner.fill(answer, _rendered(offline, answer), time.monotonic())
    except Refused as refused:
        return provisioner.refuse(answer.key, refused, answer.subject, time.monotonic())


def _rendered(offline: Offline, filling: Filling) -> Rendering:
    for _ in range(_NAME_ROUNDS):
        try:
            return filling.render(time.monotonic, 0.5)
        except NamesNeeded as needed:
            offline.ask(offline.book.need(needed.names, time.monotonic()))
    raise Refused(Reason.NAME_UNRESOLVED, "host names are built from each other without end")


@click.command(short_help="Tell why a phone gets what it gets.")
@click.argument("mac")
@click.argument("name")
@click.option("--from", "peer", default="", help="Address it asks from, for ext.allow and mac_is_enough.")
@click.option(
    "--transport",
    type=click.Choice([each.value for each in Transport if each is not Transport.CLI]),
    default=Transport.TFTP.value,
    show_default=True,
    help="With --from: how it asks.",
)
@config_option
@role_option
@json_option
def explain(
    mac: str, name: str, peer: str, transport: str, config: Path, role: str | None, as_json: bool
) -> None:
    """Tell why the phone MAC gets what it gets for the file NAME, or why it gets nothing.

    Shows the mask, the accounts, the model, the templates, where every value came from (secrets masked) and
    what the overrides did; or the reason of the refusal and what would have matched. Exit 1 on a refusal.
    """
    name = _file_name(mac, name)
    offline = load_offline(config, role, as_json=as_json)
    _check_mac(offline, mac, name)
    told = _explained(offline, FileRequest(name, peer, Transport(transport), own_address(offline.role)))
    related = told.related if told.reason.outcome.http_status == 200 else _all_findings(offline, told)
    if as_json:
        print_json(_document(told, related))
    else:
        _print(told, related)
    sys.exit(0 if told.reason.outcome.http_status == 200 else 1)


def _all_findings(offline: Offline, told: Explanation) -> tuple[Problem, ...]:
    """What could not be loaded at all, then the findings as the explanation orders them."""
    known = frozenset(told.related)
    return (*(problem for problem in offline.problems if problem not in known), *told.related)


def _explained(offline: Offline, request: FileRequest) -> Explanation:
    closed = _closed(offline, request) if request.peer else None
    for _ in range(_NAME_ROUNDS):
        try:
            return explain_name(
                offline.provisioner,
                request.name,
                local=request.local,
                clock=time.monotonic,
                refused_before=closed,
            )
        except NamesNeeded as needed:
            offline.ask(offline.book.need(needed.names, time.monotonic()))
    raise click.ClickException("host names are built from each other without end")


def _closed(offline: Offline, request: FileRequest) -> Refused | None:
    """Why a phone at that address would be refused whatever its file is."""
    try:
        closed = network_refusal(offline.role, ip_address(request.peer))
    except ValueError:
        raise click.BadParameter(f"{request.peer!r} is not an IP address", param_hint="--from") from None
    found = offline.provisioner.resolve(request.name)
    trust = Trust(trust_policy(offline.role, ()), time.time)
    return closed or trust.judge(request, found.mac, found.path, lambda _: None)


def _document(told: Explanation, related: tuple[Problem, ...]) -> dict[str, object]:
    found, rendering = told.found, told.rendering
    match = found.match
    document: dict[str, object] = {
        "name": found.name,
        "path": found.path,
        "reason": told.reason.code,
        "outcome": told.reason.outcome.name.lower(),
        "advice": told.reason.advice,
        "detail": told.detail,
        "chain": list(told.chain),
        "nearest": list(told.nearest),
        "static": found.static.path if found.static else None,
        "mask": {"mask": match.mask.text, "type": match.mask.type, "origin": match.mask.origin}
        if match
        else None,
        "mac": found.mac or None,
        "accounts": _accounts(found.owner),
        "model": found.model or None,
        "firmware": found.firmware,
        "candidates": list(found.candidates),
        "template": found.template.name if found.template else None,
        "revision": found.template.revision if found.template else None,
        "related": [problem_fields(problem) for problem in related],
    }
    if rendering is not None:
        document |= {
            "bytes": len(rendering.data),
            "files": list(rendering.files),
            "warnings": [problem_fields(problem) for problem in rendering.warnings],
            "values": [_entry(entry) for entry in rendering.trace if entry.effect is None],
            "overrides": [_entry(entry) for entry in rendering.trace if entry.effect is not None],
        }
    return document


def _accounts(owner: object) -> list[dict[str, object]]:
    if isinstance(owner, Conflict):
        return [{"account": str(key)} for key in owner.keys]
    lines = getattr(owner, "lines", ())
    return [
        {"account": str(account.key), "line": device.line, "file": account.origin}
        for account, device in lines
    ]


def _entry(entry: TraceEntry) -> dict[str, object]:
    fields: dict[str, object] = {
        "placeholder": entry.placeholder,
        "where": entry.where,
        "value": entry.value,
        "origin": entry.origin,
        "depth": entry.depth,
    }
    if entry.effect is not None:
        fields |= {"before": entry.before, "effect": entry.effect.value}
    return fields


def _print(told: Explanation, related: tuple[Problem, ...]) -> None:
    found = told.found
    say = click.echo
    say(f"{found.name}: {told.reason.code}")
    say(f"  {told.reason.advice}")
    if told.detail:
        say(f"  {told.detail}")
    if told.chain:
        say(f"  through    {' > '.join(told.chain)}")
    for thing in told.nearest:
        say(f"  nearest    {thing}")
    if found.static:
        say(f"  file       configs/{found.static.path}, {found.static.size} bytes")
    if found.match:
        kind = f", type {found.match.mask.type}" if found.match.mask.type else ""
        say(f"  mask       {found.match.mask.text}{kind} ({found.match.mask.origin})")
    if found.mac:
        say(f"  phone      {found.mac}")
    for account in _accounts(found.owner):
        place = f" (line {account['line']}, {account['file']})" if "line" in account else ""
        say(f"  account    {account['account']}{place}")
    if found.model:
        say(f"  model      {found.model}" + (f", firmware {found.firmware}" if found.firmware else ""))
    if found.candidates:
        say(f"  looked for {', '.join(found.candidates)}")
    if found.template:
        say(f"  template   {found.template.name}, revision {found.template.revision}")
    if told.rendering is not None:
        _print_rendering(told.rendering)
    _print_findings(related)


def _print_findings(findings: tuple[Problem, ...]) -> None:
    for problem in findings[:_FINDINGS]:
        click.echo(f"  {problem_line(problem)}")
    if len(findings) > _FINDINGS:
        click.echo(f"  and {len(findings) - _FINDINGS} more findings; era-ap check shows all")


def _print_rendering(rendering: Rendering) -> None:
    say = click.echo
    say(f"  files      {', '.join(rendering.files)}")
    say(f"  size       {len(rendering.data)} bytes")
    for entry in rendering.trace:
        indent = "  " * entry.depth
        if entry.effect is None:
            say(f"  {indent}{entry.placeholder} = {entry.value!r}  from {entry.origin}  ({entry.where})")
        else:
            say(
                f"  override   {entry.placeholder}: {entry.effect.value}, {entry.before!r} -> {entry.value!r}"
            )
    for problem in rendering.warnings:
        say(f"  {problem_line(problem)}")
