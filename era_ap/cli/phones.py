"""``era-ap phones``: which phones are known. ``era-ap phone``: a virtual one that asks like a vendor's."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from era_ap.cli.common import config_option, json_option, load_offline, print_json, role_option
from era_ap.cli.pnp import look_for_server, show
from era_ap.directory.index import Phone
from era_ap.logs import read_journal
from era_ap.phone import End, Fetch, boot, got_own_file, profiles

if TYPE_CHECKING:
    from era_ap.directory.index import DirectoryIndex

_LAST = ("last", "reason")
_COLUMNS = ("mac", "model", "accounts", "state", "last", "reason")


@dataclass(slots=True)
class _Asked:
    """What a MAC asked for last, and last by PnP; empty: nothing."""

    newest: dict[str, object] = field(default_factory=dict)
    by_pnp: dict[str, object] = field(default_factory=dict)


@click.command(short_help="List the phones of the directory.")
@click.option("--model", default="", help="Only phones of this model.")
@click.option("--domain", default="", help="Only phones of this domain and the domains below it.")
@config_option
@role_option
@json_option
def phones(model: str, domain: str, config: Path, role: str | None, as_json: bool) -> None:
    """List the phones of the directory, and when each of them last asked (if ext.journal is set).

    Phones that looked for a server by PnP and that no account lists stand at the end, as discovered.
    """
    offline = load_offline(config, role, as_json=as_json)
    if offline.provisioner.directory is None:
        click.echo("the directory cannot be read; era-ap check tells why", err=True)
        sys.exit(1)
    last = _last_requests(offline.role.ext.journal)
    rows = [
        row
        | {key: value for key, value in last.get(str(row["mac"]), _Asked()).newest.items() if key in _LAST}
        for row in _rows(offline.provisioner.directory)
        if _wanted(row, model.lower(), domain.lower())
    ]
    rows += [
        row
        for row in _discovered(offline.provisioner.directory, last)
        if _wanted(row, model.lower(), domain.lower())
    ]
    if as_json:
        print_json({"phones": rows})
        return
    for row in rows:
        row["last"] = _when(row.get("last"))
    widths = [max([len(name), *(len(str(row.get(name, ""))) for row in rows)]) for name in _COLUMNS]
    header: dict[str, object] = {name: name for name in _COLUMNS}
    for row in (header, *rows):
        cells = (str(row.get(name, "")).ljust(width) for name, width in zip(_COLUMNS, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _when(at: object) -> str:
    """Seconds since the epoch as a local time; "" where they are not known."""
    if not isinstance(at, int | float):
        return ""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def _rows(directory: DirectoryIndex) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for mac in sorted(directory.macs):
        found = directory.phone_of(mac)
        is_phone = isinstance(found, Phone)
        lines = found.lines if isinstance(found, Phone) else ()
        rows.append(
            {
                "mac": mac,
                "model": (lines[0][1].model or "") if lines else "",
                "accounts": ", ".join(str(key) for key in directory.owners(mac)),
                "state": "known" if is_phone else "conflict",
            }
        )
    return rows


def _discovered(directory: DirectoryIndex, last: dict[str, _Asked]) -> list[dict[str, object]]:
    """Phones of the journal that asked by PnP and are in no account."""
    return [
        {"mac": mac, "model": asked.by_pnp["model"], "accounts": "", "state": "discovered"}
        | {key: asked.newest[key] for key in _LAST}
        | {key: asked.by_pnp[key] for key in ("peer", "detail")}
        for mac, asked in sorted(last.items())
        if asked.by_pnp and not directory.owners(mac)
    ]


def _wanted(row: dict[str, object], model: str, domain: str) -> bool:
    if model and str(row["model"]).lower() != model:
        return False
    domains = [key.rpartition("@")[2] for key in str(row["accounts"]).split(", ")]
    return not domain or any(name == domain or name.endswith(f".{domain}") for name in domains)


def _last_requests(journal: Path | None) -> dict[str, _Asked]:
    """What each MAC asked for last, by the journal's files; a line that is cut short is passed over."""
    last: dict[str, _Asked] = {}
    try:
        for record in read_journal(journal) if journal is not None else ():
            if record.get("mac"):
                row = {key: record.get(key, "") for key in ("reason", "model", "peer", "detail")}
                asked = last.setdefault(str(record["mac"]), _Asked())
                asked.newest = {"last": record.get("at", "")} | row
                if record.get("transport") == "pnp":
                    asked.by_pnp = row
    except OSError as error:
        click.echo(f"the journal cannot be read: {error}", err=True)
    return last


@click.command(short_help="Boot a virtual phone.")
@click.argument("mac")
@click.option("--vendor", default="generic", show_default=True, help="Whose phones it asks like.")
@click.option("--model", default="", help="Model, where the vendor's names depend on it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="TFTP server.")
@click.option("--port", default=69, show_default=True, type=click.IntRange(1, 65535), help="Its port.")
@click.option("--pnp", is_flag=True, help="Look for the server by SIP multicast and follow its URL.")
@click.option("--interface", default="", help="With --pnp: name or address of the interface to send on.")
@click.option(
    "--pnp-port",
    default=5060,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="With --pnp: port that servers listen on.",
)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="TFTP option to ask for.")
@click.option("--timeout", default=5.0, show_default=True, help="Seconds for one file.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Folder for what it gets.")
@json_option
def phone(
    mac: str,
    vendor: str,
    model: str,
    host: str,
    port: int,
    pnp: bool,
    interface: str,
    pnp_port: int,
    options: tuple[str, ...],
    timeout: float,
    save: Path | None,
    as_json: bool,
) -> None:
    """Boot a virtual phone with this MAC and show what it asks for and gets; exit 1 without its own file."""
    if pnp:
        found, fetches = look_for_server(
            mac, vendor, model, interface=interface, group_port=pnp_port, timeout=timeout
        )
        done = show(found, fetches, _fields, as_json)
        _finish(fetches, done, save, as_json)
    if vendor not in profiles():
        raise click.BadParameter(f"one of {', '.join(sorted(profiles()))}", param_hint="--vendor")
    try:
        wanted = dict(_option(text) for text in options) if options else None
        fetches = boot(vendor, mac, model, host, port, options=wanted, timeout=timeout)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    done = got_own_file(fetches)
    if as_json:
        print_json({"ok": done, "fetches": [_fields(fetch) for fetch in fetches]})
    _finish(fetches, done, save, as_json)


def _finish(fetches: tuple[Fetch, ...], done: bool, save: Path | None, as_json: bool) -> NoReturn:
    """Show and keep what was fetched; the exit code tells whether the phone has its own file."""
    if save is not None:
        _save(fetches, save)
    if not as_json:
        for fetch in fetches:
            click.echo(_line(fetch))
        click.echo("the phone has its own file" if done else "the phone has got no file of its own")
    sys.exit(0 if done else 1)


def _option(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"--option {text}: expected NAME=NUMBER, such as blksize=1428")
    return name, int(value)


def _save(fetches: tuple[Fetch, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for fetch in fetches:
        if fetch.data is not None:
            flat = fetch.name.partition("://")[2] or fetch.name
            flat = flat.strip("/").replace("/", "_").replace("\\", "_")
            (folder / (flat.lstrip(".") or "file")).write_bytes(fetch.data)


def _line(fetch: Fetch) -> str:
    if fetch.end is End.FILE:
        got = f"{len(fetch.data or b'')} bytes" + (", its own" if fetch.own else "")
    elif fetch.code is not None:
        got = f"ERROR {fetch.code}: {fetch.text}"
    else:
        got = f"{fetch.end.value}: {fetch.text}"
    return f"{fetch.name:<32} {got}  ({fetch.seconds * 1000:.0f} ms)"


def _fields(fetch: Fetch) -> dict[str, object]:
    return {
        "name": fetch.name,
        "end": fetch.end.value,
        "bytes": len(fetch.data) if fetch.data is not None else None,
        "own": fetch.own,
        "error": fetch.code,
        "text": fetch.text,
        "seconds": round(fetch.seconds, 4),
    }
