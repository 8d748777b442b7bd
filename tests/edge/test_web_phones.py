"""HTTP for phones as an ASGI application, driven in process: methods, parts, challenges, budget, uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from era_ap.admission import Admission, AdmissionPolicy
from era_ap.config import HttpAuth
from era_ap.errors import Reason, Refused
from era_ap.provisioning.request import FileRequest, Reply, Subject
from era_ap.provisioning.tokens import issue
from era_ap.sip.vendors import builtin_vendors
from era_ap.tftp.server.uploads import UploadPolicy
from era_ap.web.agents import Agents, builtin_basic
from era_ap.web.exchange import WebReport
from era_ap.web.phones import PhoneApp, Surroundings
from era_ap.web.representation import Describer
from era_ap.web.sink import Sink
from tests.unit.memory_site import FAR, KEY, MAC, NEAR, OTHER, UNKNOWN, MemorySite, policy

NAME = f"/{MAC}.cfg"
LARGE = bytes(range(256)) * 2000
Test = Callable[["Web"], Coroutine[None, None, None]]


class LargeFile:
    """A stream of ``LARGE`` that can be made to fail."""

    def __init__(self, fails_at: int = 10**9) -> None:
        self.size = len(LARGE)
        self.reason = Reason.STATIC
        self.subject = Subject(file="large.rom", revision="1")
        self.closed = False
        self._fails_at = fails_at

    def read(self, offset: int, length: int) -> bytes | Awaitable[bytes]:
        async def later() -> bytes:
            if offset >= self._fails_at:
                raise Refused(Reason.FILE_CHANGED)
            return LARGE[offset : offset + length]

        return later() if offset else LARGE[:length]

    def close(self) -> None:
        self.closed = True


@dataclass
class Web:
    site: MemorySite
    uploads: UploadPolicy | None = None
    proxies: tuple[str, ...] = ()
    limits: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    reports: list[WebReport] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.stream: LargeFile | None = None
        self.admission = Admission(self.limits)
        self.app = PhoneApp(
            Surroundings(
                opener=self,
                trust=self.site.trust,
                admission=self.admission,
                agents=Agents(builtin_vendors(), builtin_basic()),
                describer=Describer(KEY),
                sink=Sink(self.uploads, self.site.provisioner.judge_upload),
                on_end=self.reports.append,
                on_error=self.errors.append,
                is_proxy=lambda address: address in self.proxies,
                clock=lambda: self.now,
            )
        )

    def open(self, request: FileRequest) -> Reply | Awaitable[Reply]:
        if request.name == "/large.rom":
            self.stream = LargeFile()
            return self.stream
        if request.name == "/changing.rom":
            self.stream = LargeFile(fails_at=100_000)
            return self.stream
        if request.name == "/defect":
            raise RuntimeError("a defect")
        reply = self.site.open(request)
        if request.name.startswith("/later"):

            async def later() -> Reply:
                return reply

            return later()
        return reply

    async def ask(
        self, path: str = NAME, method: str = "GET", peer: str = NEAR, content: bytes = b"", **headers: str
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(peer, 40000))
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=transport, base_url="http://192.168.1.1") as client:
            return await client.request(method, path, headers=lines, content=content or None)


def run(test: Test, web: Web | None = None) -> Web:
    web = web or Web(MemorySite())
    asyncio.run(test(web))
    assert web.errors == []
    return web


def test_a_phone_gets_the_bytes_of_provisioning_and_one_report_is_made() -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(user_agent="yealink SIP-T46S 66.86.0.15 00:15:65:00:00:01")
        assert answer.status_code == 200
        assert answer.content == b"user = 101\nsecret = s3cret101\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "server" not in answer.headers

    (report,) = run(test).reports
    assert (report.reason, report.status, report.method) == (Reason.RENDERED, 200, "GET")
    assert (report.peer, report.transport.value, report.octets) == (NEAR, "http", 30)
    assert report.agent.startswith("yealink SIP-T46S")
    assert (report.subject.mac, report.subject.account) == (MAC, "101@a.example.com")


def test_head_says_what_get_would() -> None:
    async def test(web: Web) -> None:
        for path in (NAME, "/large.rom", "/fw/T46S.rom", f"/{UNKNOWN}.cfg"):
            whole, head = await web.ask(path), await web.ask(path, "HEAD")
            assert head.status_code == whole.status_code
            assert head.content == b""
            assert head.headers == whole.headers

    run(test)


@pytest.mark.parametrize("path", [NAME, "/large.rom"])
def test_parts_and_conditions(path: str) -> None:
    async def test(web: Web) -> None:
        whole = await web.ask(path)
        etag = whole.headers["etag"]
        part = await web.ask(path, range="bytes=5-9")
        assert (part.status_code, part.content) == (206, whole.content[5:10])
        assert part.headers["content-range"] == f"bytes 5-9/{len(whole.content)}"
        rest = await web.ask(path, range="bytes=20-", if_range=etag)
        assert (rest.status_code, rest.content) == (206, whole.content[20:])
        again = await web.ask(path, range="bytes=20-", if_range='"other"')
        assert (again.status_code, again.content) == (200, whole.content)
        same = await web.ask(path, if_none_match=etag)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == etag
        assert "content-length" not in same.headers
        beyond = await web.ask(path, range="bytes=99999999-")
        assert (beyond.status_code, beyond.content) == (416, b"")
        assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
        assert (await web.ask(path, if_match='"other"')).status_code == 412

    run(test)


def test_a_large_file_is_read_in_pieces_and_closed() -> None:
    async def test(web: Web) -> None:
        assert (await web.ask("/large.rom")).content == LARGE
        assert web.stream is not None
        assert web.stream.closed
        assert (await web.ask("/large.rom", range="bytes=-10")).content == LARGE[-10:]

    run(test)


def test_a_file_that_changes_under_way_is_cut_off_not_made_up() -> None:
    class Connection:
        is_lost = False
        is_cut = False

        def abort(self) -> None:
            self.is_cut = True

    async def test(web: Web) -> None:
        sent: list[MutableMapping[str, Any]] = []
        connection = Connection()

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "raw_path": b"/changing.rom",
            "query_string": b"",
            "headers": [],
            "client": (NEAR, 1),
            "state": {"connection": connection},
        }
        await web.app(scope, send, send)  # type: ignore[arg-type]
        assert connection.is_cut
        got = b"".join(message.get("body", b"") for message in sent)
        assert got == LARGE[: len(got)]
        assert sent[-1]["more_body"] is True

    assert run(test).reports[-1].reason is Reason.FILE_CHANGED


def test_an_answer_that_comes_later_is_awaited() -> None:
    async def test(web: Web) -> None:
        assert (await web.ask("/later.cfg")).status_code == 404

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", f"/{UNKNOWN}.cfg", 404, Reason.MAC_UNKNOWN),
        ("GET", "/nothing", 404, Reason.NO_MASK),
        ("GET", "/", 403, Reason.NAME_EMPTY),
        ("GET", "/%2e%2e/etc/passwd", 403, Reason.NAME_TRAVERSAL),
        ("GET", "/a%00b", 403, Reason.NAME_INVALID),
        ("GET", "/%c0%ae%c0%ae/x", 400, Reason.HTTP_MALFORMED),
        ("PUT", "/x.log", 403, Reason.WRITE_REFUSED),
        ("POST", "/x.log", 403, Reason.WRITE_REFUSED),
        ("DELETE", NAME, 405, Reason.METHOD_UNKNOWN),
        ("OPTIONS", NAME, 405, Reason.METHOD_UNKNOWN),
        ("TRACE", NAME, 405, Reason.METHOD_UNKNOWN),
    ],
)
def test_a_refusal_says_nothing_of_us(method: str, path: str, status: int, reason: Reason) -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(path, method)
        assert answer.status_code == status
        assert len(answer.content) < 40
        assert ("allow" in answer.headers) is (status == 405)

    assert run(test).reports[-1].reason is reason


def test_a_defect_is_reported_and_answered() -> None:
    web = Web(MemorySite())
    answer = asyncio.run(web.ask("/defect"))
    assert answer.status_code == 500
    assert b"defect" not in answer.content
    assert [type(error) for error in web.errors] == [RuntimeError]
    assert web.reports[-1].reason is Reason.INTERNAL


def test_before_the_first_load_a_phone_is_asked_to_come_again() -> None:
    web = Web(MemorySite())
    web.site.provisioner.catalogue = None
    answer = asyncio.run(web.ask())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_one_budget_of_unknown_macs_whatever_the_transport() -> None:
    async def test(web: Web) -> None:
        for number in range(10):  # as if over TFTP
            web.admission.note_unknown(NEAR, f"{number:012x}", web.now)
        statuses = []
        for number in range(20):
            web.now += 1.1
            statuses.append((await web.ask(f"/0015650a00{number:02x}.cfg")).status_code)
        assert statuses == [404] * 10 + [403] * 10
        web.now += 1.1
        assert (await web.ask()).status_code == 403  # a known one is not told apart
        assert (await web.ask(peer="192.168.1.77")).status_code == 200

    run(test)


def test_a_stranger_gets_the_same_answer_for_every_mac() -> None:
    async def test(web: Web) -> None:
        answers = [await web.ask(f"/{mac}.cfg", peer=FAR) for mac in (MAC, OTHER, UNKNOWN)]
        assert {answer.status_code for answer in answers} == {403}
        assert len({(answer.content, str(answer.headers)) for answer in answers}) == 1

    run(test)


@pytest.mark.parametrize(
    ("auth", "agent", "schemes"),
    [
        (HttpAuth.BASIC, "", ["Basic"]),
        (HttpAuth.DIGEST, "curl/7", ["Digest SHA-256", "Digest MD5"]),
        (HttpAuth.DIGEST, "Panasonic_KX-UT113/01.133 (0080f0c8c381)", ["Digest MD5"]),
        (HttpAuth.VENDOR, "Panasonic_KX-UT113/01.133 (0080f0c8c381)", ["Basic"]),
        (HttpAuth.VENDOR, "yealink SIP-T28P 2.70.0.140 00:15:65:13:ae:0b", ["Digest MD5"]),
    ],
)
def test_a_stranger_is_challenged_as_the_phone_can(auth: HttpAuth, agent: str, schemes: list[str]) -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(peer=FAR, user_agent=agent)
        assert answer.status_code == 401
        found = answer.headers.get_list("www-authenticate")
        for header, scheme in zip(found, schemes, strict=True):
            assert all(word in header for word in scheme.split())

    run(test, Web(MemorySite(policy(auth))))


@pytest.mark.parametrize("auth", [HttpAuth.BASIC, HttpAuth.DIGEST])
def test_right_credentials_open_the_file_and_guesses_are_counted(auth: HttpAuth) -> None:
    kind = httpx.BasicAuth if auth is HttpAuth.BASIC else httpx.DigestAuth
    web = Web(MemorySite(policy(auth), devices={MAC: {"http_password": "geheim"}}))

    async def get(password: str) -> int:
        transport = httpx.ASGITransport(web.app, client=(FAR, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return (await client.get(NAME, auth=kind(MAC, password))).status_code

    async def test(web: Web) -> None:
        assert await get("geheim") == 200
        guesses = []
        for number in range(30):
            web.now += 1.1
            guesses.append(await get(f"guess{number}"))
        assert guesses.count(401) == 20
        assert guesses[20:] == [403] * 10
        assert await get("geheim") == 403  # not even the right one tells it from the others now

    run(test, web)


def test_a_temporary_address_works_for_its_phone_and_source() -> None:
    async def test(web: Web) -> None:
        token = issue(KEY, MAC, "", FAR, web.site.wall + 600)
        whole = (await web.ask()).content
        for path in (f"/p/{token}{NAME}", f"/p//{token}/{NAME}", f"/p/{token}/", f"/p/{token}"):
            answer = await web.ask(path, peer=FAR)
            assert (answer.status_code, answer.content) == (200, whole), path
        refused = [
            await web.ask(f"/p/{token}{NAME}", peer="203.0.113.10"),
            await web.ask(f"/p/{token}/{OTHER}.cfg", peer=FAR),
            await web.ask(f"/p/{token[:-2]}AA{NAME}", peer=FAR),
            await web.ask(f"/p/{token}x{NAME}", peer=FAR),
            await web.ask(f"/p/{token}/%2e%2e/x", peer=FAR),
        ]
        web.site.wall += 1000
        refused.append(await web.ask(f"/p/{token}{NAME}", peer=FAR))
        assert len({(answer.status_code, answer.content) for answer in refused}) == 1
        codes = [report.reason for report in web.reports[-6:]]
        assert codes == [
            Reason.TOKEN_SOURCE, Reason.TOKEN_MAC, Reason.TOKEN_FORGED, Reason.TOKEN_MALFORMED,
            Reason.NAME_TRAVERSAL, Reason.TOKEN_EXPIRED,
        ]  # fmt: skip
        assert token not in str(web.reports)

    run(test)


def test_a_mac_beside_the_name() -> None:
    async def test(web: Web) -> None:
        whole = (await web.ask()).content
        agent = "yealink SIP-T46S 66.86.0.15 00:15:65:00:00:01"
        assert (await web.ask(f"/prov.php?mac={MAC}")).content == whole
        assert (await web.ask("/T46S.cfg", user_agent=agent)).content == whole
        assert (await web.ask(f"/{OTHER}.cfg", user_agent=agent)).content != whole
        assert (await web.ask("/sip.ld", user_agent=agent)).status_code == 404

    run(test)


# --- proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        (NEAR, FAR, 200),  # not a proxy of ours: the header is nobody's word
        ("192.168.1.2", FAR, 403),
        ("192.168.1.2", f"{NEAR}, {FAR}", 403),
        ("192.168.1.2", f"{FAR}, {NEAR}", 200),
        ("192.168.1.2", f"{FAR}, {NEAR}, 192.168.1.2", 200),
        ("192.168.1.2", "nonsense", 403),
        ("192.168.1.2", "", 403),
    ],
)
def test_who_is_behind_a_proxy(peer: str, forwarded: str, status: int) -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(peer=peer, x_forwarded_for=forwarded, x_forwarded_proto="https")
        assert answer.status_code == status
        assert (web.reports[-1].transport.value == "https") is (peer != NEAR)

    run(test, Web(MemorySite(), proxies=("192.168.1.2",)))


# --- uploads


def test_an_upload_goes_to_the_sink(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(f"/logs/{MAC}-app.log", "PUT", content=b"line\n" * 1000)
        assert answer.status_code == 200
        assert (await web.ask("/a/%2e%2e/%2e%2e/b.log", "POST", content=b"x")).status_code == 403

    web = run(test, Web(MemorySite(), uploads=UploadPolicy(tmp_path)))
    assert [report.reason for report in web.reports] == [Reason.UPLOADED, Reason.NAME_TRAVERSAL]
    assert web.reports[0].octets == 5000
    assert (tmp_path / NEAR / f"{MAC}-app.log").read_bytes() == b"line\n" * 1000


def test_an_upload_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        answer = await web.ask(f"/{MAC}-app.log", "PUT", content=b"x" * 101)
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"

        async def body() -> object:
            for _ in range(20):
                yield b"x" * 10

        transport = httpx.ASGITransport(web.app, client=(NEAR, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.put(f"/{MAC}-app.log", content=body())).status_code == 413  # type: ignore[arg-type]
        web.app._around.sink._threads.shutdown()

    run(test, Web(MemorySite(), uploads=UploadPolicy(tmp_path, file_bytes=100)))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_sink_that_is_not_there_has_a_reason_of_its_own(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        assert (await web.ask("/x.log", "PUT", content=b"x")).status_code == 500
        assert web.reports[-1].reason is Reason.UPLOAD_SINK
        assert str(tmp_path / "nowhere") in web.reports[-1].subject.detail

    run(test, Web(MemorySite(), uploads=UploadPolicy(tmp_path / "nowhere")))


def test_the_number_of_uploads_is_limited(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        statuses = [(await web.ask(f"/{n}.log", "PUT", content=b"x")).status_code for n in range(3)]
        assert statuses == [200, 200, 403]

    run(test, Web(MemorySite(), uploads=UploadPolicy(tmp_path, files=2)))


def test_a_stranger_may_not_upload(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        assert (await web.ask("/x.log", "PUT", peer=FAR, content=b"x")).status_code == 403

    run(test, Web(MemorySite(), uploads=UploadPolicy(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_xml_says_so() -> None:
    async def test(web: Web) -> None:
        agent = "yealink SIP-T46S 66.86.0.15 00:15:65:00:00:01"
        for answer in (await web.ask("/settings.xml", user_agent=agent), await web.ask("/a.xml")):
            assert answer.headers["content-type"] == "text/xml; charset=utf-8"

    run(test)
