"""``era-ap phone --pnp``: a virtual phone that looks for its server by multicast, as vendors' phones do.

Owns what an operator sees of the exchange; the phone is ``sip.virtual_phone``.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import click

from era_ap.cli.common import print_json
from era_ap.directory.notation import parse_mac
from era_ap.phone import got_own_file
from era_ap.sip.following import follow
from era_ap.sip.message import parse
from era_ap.sip.shapes import shapes
from era_ap.sip.virtual_phone import Search, pick_interface, search

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.phone import Fetch
    from era_ap.sip.shapes import Shape


def look_for_server(
    mac: str,
    vendor: str,
    model: str,
    *,
    interface: str,
    group_port: int,
    timeout: float,
) -> tuple[Search, tuple[Fetch, ...]]:
    """Search, then follow the URL. Raises click errors for what cannot be meant."""
    known = shapes()
    if vendor not in known:
        raise click.BadParameter(f"with --pnp one of {', '.join(known)}", param_hint="--vendor")
    digits = parse_mac(mac)
    if digits is None:
        raise click.BadParameter(f"{mac!r} is not a MAC: 12 hex digits", param_hint="MAC")
    shape = known[vendor]
    try:
        where = pick_interface(interface)
        found = search(
            shape,
            digits,
            where,
            random.SystemRandom(),
            model=model,
            seconds=timeout,
            group_port=group_port,
        )
        fetches = _follow(found, digits, shape, model, timeout)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot send on this interface: {error}") from None
    return found, fetches


def show(found: Search, fetches: tuple[Fetch, ...], fields: Callable[[Fetch], object], as_json: bool) -> bool:
    """Print the exchange; whether the phone ended with a file of its own."""
    done = got_own_file(fetches)
    if as_json:
        print_json(
            {
                "ok": done,
                "interface": found.interface,
                "address": found.address,
                "url": found.url,
                "meaning": found.meaning,
                "messages": [
                    {
                        "at": round(each.at, 4),
                        "direction": "sent" if each.sent else "received",
                        "peer": f"{each.peer[0]}:{each.peer[1]}",
                        "text": each.text,
                    }
                    for each in found.messages
                ],
                "fetches": [fields(each) for each in fetches],
            }
        )
        return done
    for each in found.messages:
        arrow = "to" if each.sent else "from"
        click.echo(f"--- {each.at * 1000:.0f} ms, {arrow} {each.peer[0]}:{each.peer[1]}")
        click.echo(_printable(each.text).rstrip())
        click.echo()
    click.echo(f"{found.meaning}{': ' + found.url if found.url else ''}")
    return done


def _follow(found: Search, mac: str, shape: Shape, model: str, timeout: float) -> tuple[Fetch, ...]:
    if not found.url:
        return ()
    sent = parse(found.messages[0].text.encode())
    agent = (sent.get("User-Agent") if sent is not None else None) or ""
    vendor = shape.name.partition("-")[0]
    return follow(found.url, mac, vendor, model or shape.model, agent=agent, timeout=timeout)


def _printable(text: str) -> str:
    """A message on a terminal: what is no text is shown as a question mark."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text.replace("\r\n", "\n"))
