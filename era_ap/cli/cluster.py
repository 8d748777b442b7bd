"""``era-ap cluster``: members, leaders, terms, MAC cache, sessions, as ZooKeeper holds them; and one repair.

Owns words and tables. Reads only, but for ``forget``; takes no part in the cluster. Where ZooKeeper cannot be
reached it says why, and what the instances themselves say on their management ports.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from era_ap import config as configuration
from era_ap.cli.cluster_contact import Unreachable, ask_instances, connected
from era_ap.cli.common import config_option, fail_with, json_option, print_json, role_option
from era_ap.cluster.access import Access
from era_ap.cluster.contract import RefusedWriteError, UnavailableError
from era_ap.cluster.overview import Expected, Survey, findings
from era_ap.cluster.survey import forget as strike
from era_ap.cluster.survey import survey
from era_ap.errors import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from era_ap.cluster.overview import GroupSurvey
    from era_ap.cluster.view import Member
    from era_ap.config import ApRole, Site

_COLUMNS = ("member", "order", "state", "host", "version", "templates", "peer", "phones", "since", "session")


@click.group(invoke_without_command=True)
@config_option
@role_option
@json_option
@click.pass_context
def cluster(context: click.Context, config: Path, role: str | None, as_json: bool) -> None:
    """Show members, leaders, terms and the MAC cache of the site.

    Exit code 1 if something is not as it should be; the output says what.
    """
    if context.invoked_subcommand is not None:
        return
    site, own = _role(config, role, as_json=as_json)
    if site.zookeeper is None:
        _show_alone(site, as_json=as_json)
        return
    try:
        found = asyncio.run(_look(site, own, as_json=as_json))
    except (Unreachable, UnavailableError) as error:
        _show_unreachable(site, own, str(error), as_json=as_json)
        sys.exit(1)
    problems = tuple(findings(found, _expected(site)))
    if as_json:
        print_json(_document(site, found, problems))
    else:
        _show(site, found, problems)
    sys.exit(1 if problems else 0)


@cluster.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Remove its own nodes too, and free groups whose nodes are lost.")
@config_option
@role_option
def forget(name: str, force: bool, config: Path, role: str | None) -> None:
    """Let others take over from NAME, an instance that is gone for good.

    A group whose last leader may still act without ZooKeeper waits for those who would know. If all of them
    are gone for good it waits for ever; strike each of them with this command. Never strike an instance that
    still runs: then two could act as leaders.
    """
    site, own = _role(config, role, as_json=False)
    if site.zookeeper is None:
        _fail("the site names no zookeeper; there is nothing to forget")
    try:
        done = asyncio.run(_forget(site, own, name, force=force))
    except (Unreachable, UnavailableError, RefusedWriteError) as error:
        _fail(f"nothing was changed for certain: {error}")
    for sentence in done:
        click.echo(sentence)
    if not done:
        click.echo(f"no group waits for {name}")


def _role(config: Path, role: str | None, *, as_json: bool) -> tuple[Site, ApRole]:
    try:
        site = configuration.load(config)
        return site, site.ap(role) if role is not None else site.first_ap()
    except configuration.ConfigError as error:
        fail_with(error.problems, as_json=as_json)


def _access(site: Site, role: ApRole, *, as_json: bool) -> Access:
    access = Access.of(site, role)
    try:
        access.check()
    except Refused as refused:
        fail_with((Problem(refused.reason, site.origin, refused.detail),), as_json=as_json)
    return access


async def _look(site: Site, role: ApRole, *, as_json: bool) -> Survey:
    async with connected(_access(site, role, as_json=as_json)) as ensemble:
        return await survey(ensemble, {each.group for each in site.roles})


async def _forget(site: Site, role: ApRole, name: str, *, force: bool) -> tuple[str, ...]:
    async with connected(_access(site, role, as_json=False)) as ensemble:
        found = await survey(ensemble, {each.group for each in site.roles})
        if found.member(name) is not None and not force:
            _fail(f"{name} is registered: it runs, or ended a moment ago; stop it first, or use --force")
        return await strike(ensemble, found, name, force=force)


def _expected(site: Site) -> list[Expected]:
    return [Expected(role.name, role.group, role.order) for role in site.roles]


def _fail(sentence: str) -> None:
    click.echo(sentence, err=True)
    sys.exit(1)


# --- what people read


def _show(site: Site, found: Survey, problems: Sequence[str]) -> None:
    click.echo(f"site {site.site} at {site.zookeeper}")
    for group in found.groups:
        click.echo("")
        click.echo(_group_line(group))
        rows = [_row(member, group) for member in found.members if member.group == group.number]
        _table(rows)
        click.echo(f"  {_cache_line(group)}")
    if problems:
        click.echo("")
    for problem in problems:
        click.echo(f"problem: {problem}")


def _group_line(group: GroupSurvey) -> str:
    nodes = group.nodes
    line = f"group {group.number}: "
    line += f"{nodes.holder.name} leads" if nodes.holder is not None else "no leader"
    if nodes.epoch is not None:
        line += f", term {nodes.epoch.number} (zxid {nodes.epoch.zxid:#x})"
    if nodes.claim is not None and nodes.claim.relies:
        line += f", without ZooKeeper it asks {', '.join(_names(nodes.claim.relies))}"
    return line


def _row(member: Member, group: GroupSurvey) -> tuple[str, ...]:
    holder = group.nodes.holder
    state = "leads" if holder is not None and holder.session == member.session else "stands by"
    return (
        member.name,
        str(member.order),
        f"unfit: {member.why}" if member.why else state,
        member.host,
        member.version,
        member.revision,
        member.peer,
        ",".join(member.phones),
        _when(member.since),
        f"{member.session:#x}",
    )


def _table(rows: Iterable[Sequence[str]]) -> None:
    lines = [_COLUMNS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines if len(lines) > 1 else ():
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(f"  {'  '.join(cells)}".rstrip())


def _cache_line(group: GroupSurvey) -> str:
    cache = group.cache
    if cache is None:
        return "MAC cache: none"
    return (
        f"MAC cache: {cache.macs:,} MACs in {cache.domains:,} domains, "
        f"written {_age(cache.written):,.0f} s ago in term {cache.term} (zxid {cache.epoch:#x})"
    )


def _age(written_ms: int) -> float:
    return max(0.0, time.time() - written_ms / 1000)


def _when(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") if at else ""
    except (OverflowError, ValueError):  # what stands there, anybody may have written
        return ""


def _names(keys: Iterable[str]) -> list[str]:
    return sorted({key.rpartition("/")[0] for key in keys if key})


def _show_alone(site: Site, *, as_json: bool) -> None:
    sentence = "the site names no zookeeper: each instance is on its own and leads"
    if as_json:
        print_json({"site": site.site, "zookeeper": None, "detail": sentence})
    else:
        click.echo(sentence)


def _show_unreachable(site: Site, role: ApRole, why: str, *, as_json: bool) -> None:
    instances = asyncio.run(ask_instances(site))
    if as_json:
        told = [
            {"name": each.name, "url": each.url, "answer": each.answer, "detail": each.detail}
            for each in instances
        ]
        print_json(
            {
                "site": site.site,
                "zookeeper": site.zookeeper,
                "reachable": False,
                "detail": why,
                "instances": told,
            }
        )
        return
    click.echo(f"ZooKeeper cannot be reached from here: {why}", err=True)
    click.echo("what the instances say of themselves:", err=True)
    for instance in instances:
        click.echo(f"  {instance.name}  {instance.url}  {instance.sentence}", err=True)


# --- what programs read


def _document(site: Site, found: Survey, problems: Sequence[str]) -> dict[str, object]:
    return {
        "site": site.site,
        "zookeeper": site.zookeeper,
        "reachable": True,
        "members": [_member_fields(member) for member in found.members],
        "groups": [_group_fields(group) for group in found.groups],
        "problems": list(problems),
    }


def _member_fields(member: Member) -> dict[str, object]:
    return {
        "name": member.name,
        "group": member.group,
        "order": member.order,
        "fit": member.fit,
        "why": member.why,
        "settled": member.settled,
        "host": member.host,
        "version": member.version,
        "templates": member.revision,
        "peer": member.peer,
        "phones": list(member.phones),
        "since": member.since,
        "session": f"{member.session:#x}",
    }


def _group_fields(group: GroupSurvey) -> dict[str, Any]:
    holder, epoch, claim, cache = group.nodes.holder, group.nodes.epoch, group.nodes.claim, group.cache
    fields: dict[str, Any] = {"group": group.number, "leader": None, "term": None, "cache": None}
    if holder is not None:
        fields["leader"] = {"name": holder.name, "term": holder.number, "session": f"{holder.session:#x}"}
    if epoch is not None:
        fields["term"] = {"number": epoch.number, "zxid": epoch.zxid, "leader": epoch.leader}
    fields["asks"] = _names(claim.relies) if claim is not None else []
    if cache is not None:
        fields["cache"] = {
            "term": cache.term,
            "zxid": cache.epoch,
            "written": cache.written / 1000,
            "age_seconds": round(_age(cache.written), 1),
            "macs": cache.macs,
            "rows": cache.rows,
            "domains": cache.domains,
            "complete": cache.complete,
            "directory_readable": cache.sees,
        }
    return fields
