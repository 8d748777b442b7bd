"""The resolver against name servers on loopback: answers, silence, refusals, lateness."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from era_ap import resolver as resolver_module
from era_ap.provisioning.addresses import AddressBook
from era_ap.resolver import Resolver

Answer = Callable[[dns.message.Message], dns.message.Message | None]


class NameServer(asyncio.DatagramProtocol):
    """A name server of few words; ``asked`` are the names it was asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(query.question[0].name.to_text())
        reply = self._answer(query)
        if reply is not None:
            self.transport.sendto(reply.to_wire(), addr)


def answering(*addresses: str, ttl: int = 60) -> Answer:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        question = query.question[0]
        if addresses and question.rdtype == 1:
            reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "A", *addresses))
        return reply

    return answer


def refusing(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


def ask(answer: Answer, *names: str, times: int = 1) -> tuple[AddressBook, NameServer]:
    book = AddressBook()

    async def run() -> NameServer:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(
            lambda: NameServer(answer), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        resolver = Resolver(book, time.monotonic, ["127.0.0.1"], port=port)
        for _ in range(times):
            await resolver.ask(names)
        resolver.close()
        transport.close()
        return server

    return book, asyncio.run(run())


def test_all_addresses_of_an_answer_are_known() -> None:
    book, _ = ask(answering("192.0.2.1", "192.0.2.2"), "ntp.example.com")
    assert set(book.addresses("ntp.example.com") or ()) == {"192.0.2.1", "192.0.2.2"}


def test_a_name_that_does_not_exist_has_no_address() -> None:
    book, _ = ask(refusing, "gone.example.com")
    assert book.addresses("gone.example.com") == ()


def test_silence_ends_within_the_limit_and_counts_as_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "LIMIT_SECONDS", 0.3)
    start = time.monotonic()
    book, _ = ask(lambda _: None, "silent.example.com")
    assert time.monotonic() - start < 2.0
    assert book.addresses("silent.example.com") == ()


def test_an_address_needs_no_name_server() -> None:
    book, server = ask(refusing, "192.0.2.7")
    assert book.addresses("192.0.2.7") == ("192.0.2.7",)
    assert server.asked == []


def test_what_is_no_host_name_is_no_defect() -> None:
    book, _ = ask(refusing, "a" * 300, "b..c", "with blank")
    assert book.addresses("b..c") == ()


def test_a_name_asked_for_twice_at_once_is_one_query() -> None:
    _, server = ask(answering("192.0.2.1"), "ntp.example.com", "ntp.example.com")
    assert server.asked == ["ntp.example.com."]


def test_refresh_asks_only_for_what_is_due() -> None:
    book = AddressBook()
    book.want(["ntp.example.com"], time.monotonic())
    book.learn("ntp.example.com", ("192.0.2.1",), 600.0, time.monotonic())

    async def run() -> None:
        resolver = Resolver(book, time.monotonic, ["127.0.0.1"], port=9)
        await resolver.refresh()
        resolver.close()

    asyncio.run(run())
    assert book.addresses("ntp.example.com") == ("192.0.2.1",)
