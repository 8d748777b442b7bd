"""The management port: health, readiness, methods, sizes, and both sockets of one number."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from era_ap import config
from era_ap.health import Condition, Health, Need, Phase, Source, judge
from era_ap.web.management import BODY_BYTES, Asked, Management, Page, Pages, health_pages, metrics_page

ANSWER_SECONDS = 5.0


def role(management: str = "{port: 0}", interfaces: str = "{lan: 127.0.0.1}") -> config.ApRole:
    ext = f"{{management: {management}}}"
    text = (
        "{site: lab, master_domain: example.com, storage: s, directory: 'yaml:d', "
        f"interfaces: {interfaces}, "
        f"roles: [{{name: ap1, roletype: ap, iface: lan, group: 1, order: 1, ext: {ext}}}]}}"
    )
    return config.parse(text, Path("/nowhere")).ap("ap1")


@asynccontextmanager
async def serving(pages: Pages, errors: list[BaseException] | None = None) -> AsyncIterator[int]:
    found = errors if errors is not None else []
    management = Management(role(), pages, structlog.get_logger(), found.append)
    with structlog.testing.capture_logs():
        _, port = management.bind()
    assert management.notices is not None
    await management.start()
    try:
        yield port
    finally:
        management.close()
        management.notices.close()


async def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await asyncio.wait_for(reader.read(), ANSWER_SECONDS)
    writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, rest


def run(pages: Pages, talk: Callable[[int], Any], errors: list[BaseException] | None = None) -> Any:
    async def work() -> Any:
        async with serving(pages, errors) as port:
            return await talk(port)

    return asyncio.run(work())


def health(condition: Condition, phase: Phase = Phase.RUNNING) -> Callable[[], Health]:
    age = None if condition is Condition.MISSING else 61.0
    return lambda: judge(phase, (Source("storage", condition, age, need=Need.ALL),))


@pytest.mark.parametrize(
    ("condition", "phase", "status", "word"),
    [
        (Condition.FRESH, Phase.RUNNING, 200, "ready"),
        (Condition.STALE, Phase.RUNNING, 200, "degraded"),
        (Condition.MISSING, Phase.RUNNING, 503, "not ready"),
        (Condition.FRESH, Phase.STARTING, 503, "starting"),
        (Condition.FRESH, Phase.STOPPING, 503, "stopping"),
    ],
)
def test_readyz_tells_who_may_send_phones_here_and_why(
    condition: Condition, phase: Phase, status: int, word: str
) -> None:
    pages = health_pages(health(condition, phase), {"role": "ap1"})
    got, headers, body = run(pages, lambda port: ask(port, "GET", "/readyz"))
    document = json.loads(body)
    assert (got, document["status"], document["role"]) == (status, word, "ap1")
    assert document["sources"]["storage"]["state"] == condition.value
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"


def test_healthz_whatever_readiness_says() -> None:
    pages = health_pages(health(Condition.MISSING), {})
    assert run(pages, lambda port: ask(port, "GET", "/healthz"))[::2] == (200, b"ok\n")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("HEAD", "/healthz", 200, b""),
        ("POST", "/healthz", 405, b"Method Not Allowed\n"),
        ("GET", "/take", 405, b"Method Not Allowed\n"),
        ("GET", "/", 404, b"Not Found\n"),
        ("GET", "/healthz/", 404, b"Not Found\n"),
        ("GET", "/healthz?verbose=1", 200, b"ok\n"),
        ("DELETE", "/nothing", 404, b"Not Found\n"),
    ],
)
def test_exact_paths_and_methods(method: str, path: str, status: int, body: bytes) -> None:
    pages = {**health_pages(health(Condition.FRESH), {}), ("POST", "/take"): lambda asked: Page(asked.body)}
    got, headers, answer = run(pages, lambda port: ask(port, method, path))
    assert (got, answer) == (status, body)
    if status == 405:
        assert headers["allow"] == ("post" if path == "/take" else "get, head")


def test_a_body_is_handed_over_and_one_that_is_too_large_is_not() -> None:
    asked: list[Asked] = []

    def take(what: Asked) -> Page:
        asked.append(what)
        return Page(b"")

    pages = {("POST", "/take"): take}
    assert run(pages, lambda port: ask(port, "POST", "/take", b"x" * BODY_BYTES))[0] == 200
    assert run(pages, lambda port: ask(port, "POST", "/take", b"x" * (BODY_BYTES + 1)))[0] == 413
    assert [len(each.body) for each in asked] == [BODY_BYTES]


def test_metrics_in_the_form_that_is_asked_for() -> None:
    pages = metrics_page(lambda accept: (f"asked for {accept}".encode(), "text/x"))
    got, headers, body = run(pages, lambda port: ask(port, "GET", "/metrics"))
    assert (got, headers["content-type"], body) == (200, "text/x", b"asked for ")


def test_a_page_that_raises_is_told_of_and_answered() -> None:
    def broken(_asked: Asked) -> Page:
        raise ZeroDivisionError("particulars")

    errors: list[BaseException] = []
    got, _, body = run({("GET", "/"): broken}, lambda port: ask(port, "GET", "/"), errors)
    assert (got, body) == (500, b"Internal Server Error\n")
    assert [type(error) for error in errors] == [ZeroDivisionError]


# --- where it stands


def bind(of: config.ApRole) -> Management:
    management = Management(of, {}, structlog.get_logger(), lambda _: None)
    with structlog.testing.capture_logs():
        management.bind()
    return management


def close(management: Management) -> None:
    management.close()
    assert management.notices is not None
    management.notices.close()


def test_it_stands_on_the_interface_between_instances_with_both_sockets() -> None:
    management = bind(role())
    assert management.where[0] == "127.0.0.1"
    assert management.notices is not None
    assert management.notices.getsockname() == management.where
    close(management)


def test_or_where_it_is_told_to() -> None:
    management = bind(role("{address: 127.9.9.9, port: 0}"))
    assert management.where[0] == "127.9.9.9"
    close(management)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_a_port_that_is_taken_is_a_clear_error(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError) as error:
            bind(role(f"{{port: {port}}}"))
    assert str(error.value) == (
        f"cannot serve management at 127.0.0.1 on port {port}: Address already in use; "
        "each role of a host needs an ext.management.port of its own"
    )


def test_two_instances_never_share_it() -> None:
    first = bind(role())
    with pytest.raises(OSError, match="Address already in use"):
        bind(role(f"{{port: {first.where[1]}}}"))
    close(first)


def test_without_an_address_of_its_interface_only_this_host_can_ask() -> None:
    management = bind(role(interfaces="{lan: nothing7}"))
    assert management.where[0] == "127.0.0.1"
    close(management)


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77"])
def test_the_address_of_its_interface_may_come_later(address: str) -> None:
    management = bind(role(interfaces=f'{{lan: "{address}"}}'))
    assert management.where[0] == address
    assert management.notices is not None
    assert management.notices.getsockname()[:2] == management.where
    close(management)


def test_an_address_that_was_set_and_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(OSError, match=r"cannot serve management at 192\.0\.2\.77 on port 0: Cannot assign"):
        bind(role("{address: 192.0.2.77, port: 0}"))
