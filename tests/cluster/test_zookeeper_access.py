"""Who may come in to the real ZooKeeper, and who may read what we write: digest, SASL, TLS, ACLs, chroot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl

from era_ap.cluster.contract import Create, SessionState, UnavailableError
from era_ap.config import Mechanism, Zookeeper
from tests.cluster.certificates import Authority
from tests.cluster.clients import RealClient, RealHarness
from tests.cluster.ensemble import RealEnsemble, running, why_not

PASSWORD = "correct horse"
Test = Callable[[RealHarness], Awaitable[None]]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, server.pem for 127.0.0.1, client.pem; stranger.pem is another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    authority.issue("server")
    authority.issue("client")
    Authority(folder, "stranger")
    return folder


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[RealEnsemble]:
    """One server with users of its own (SASL), TLS beside clear text, and clients' certificates required."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("guarded")
    users = {"era": PASSWORD, "other": "x"}
    with running(folder, count=1, users=users, tls=certificates, client_auth="need") as ensemble:
        yield ensemble


def run(connect: str, test: Test, settings: Zookeeper, root: str = "", name: str = "127.0.0.1") -> None:
    """``name`` is how clients call the relay, which stands for the servers."""

    async def whole() -> None:
        harness = RealHarness(connect, settings=settings, **({"root": root} if root else {}))
        harness.name = name
        try:
            await test(harness)
        finally:
            await harness.close()

    asyncio.run(whole())


def digest(password: Path, user: str = "era", mechanism: Mechanism = Mechanism.DIGEST) -> Zookeeper:
    return Zookeeper(user=user, password_file=password, mechanism=mechanism)


def acls(connect: str, path: str, *auth: tuple[str, str]) -> list[Any]:
    """The ACLs of a node as somebody else sees them, by scheme."""
    client = KazooClient(hosts=connect, auth_data=list(auth))
    client.start()
    try:
        return [acl.id.scheme for acl in client.get_acls(path)[0]]
    finally:
        client.stop()
        client.close()


def told(client: RealClient, event: str) -> str:
    (line,) = client.logged(event)
    return f"{line.get('detail', '')} {line.get('path', '')} {line.get('advice', '')}"


async def works(client: RealClient) -> None:
    await client.until(lambda: client.ensemble.state is SessionState.CONNECTED)
    await client.ensemble.make("members")
    await client.ensemble.commit(Create("members/ap1", ephemeral=True))
    assert await client.ensemble.children("members") == ("ap1",)


def test_what_a_user_writes_nobody_else_may_read(servers: RealEnsemble, password: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client, second = await harness.open(), await harness.open()
        await works(client)
        await client.ensemble.commit(Create("secret", b"geheim"))
        await second.ensemble.make("members")
        assert await second.ensemble.children("") == ("members", "secret")
        root = harness.access.root
        chroot = root.removesuffix("/era_ap/lab")
        for path in (chroot, f"{chroot}/era_ap", root, f"{root}/secret", f"{root}/members/ap1"):
            auth = ("digest", f"era:{PASSWORD}")
            assert await asyncio.to_thread(acls, servers.connect, path, auth) == ["digest"]

        def spy() -> None:
            stranger = KazooClient(hosts=servers.connect)
            stranger.start()
            try:
                for path in (root, f"{root}/secret", f"{root}/members"):
                    for verb in (stranger.get, stranger.get_children):
                        with pytest.raises(NoAuthError):
                            verb(path)
            finally:
                stranger.stop()
                stranger.close()

        await asyncio.to_thread(spy)
        assert client.logged("ZooKeeper does not know who we are") == []
        assert PASSWORD not in str(client.log)

    run(servers.connect, test, digest(password))


def test_without_a_user_the_log_says_that_everybody_may_read(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        await works(client)
        assert "ext.zookeeper.user" in told(client, "ZooKeeper does not know who we are")

    run(servers.connect, test, Zookeeper())


def test_nodes_from_the_time_without_a_user_are_told(servers: RealEnsemble, password: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        await works(client)
        assert "deleteall" in told(client, "a node of ours is open to everybody")

    root = "/before/era_ap/lab"
    run(servers.connect, _make, Zookeeper(), root)
    run(servers.connect, test, digest(password), root)


async def _make(harness: RealHarness) -> None:
    await (await harness.open()).ensemble.make("members")


@pytest.mark.parametrize("settings", ["other password", "no user"])
def test_nodes_of_another_user_or_password_are_told_once(
    servers: RealEnsemble, password: Path, settings: str
) -> None:
    root = f"/{settings.replace(' ', '')}/era_ap/lab"
    run(servers.connect, _make, digest(password), root)

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        for _ in range(3):
            for verb in (
                one.read("members"),
                one.children("members"),
                one.commit(Create("members/ap1")),
                one.make("new"),
            ):
                with pytest.raises(UnavailableError, match="refuses us"):
                    await verb
        paths = [line["path"] for line in client.logged("ZooKeeper refuses us a node")]
        assert sorted(paths) == [f"{root}/members", f"{root}/members/ap1", f"{root}/new"]
        line = client.logged("ZooKeeper refuses us a node")[0]
        assert "another password than when it was made" in line["advice"]
        assert "wrong" not in str(client.log)

    password.write_text("wrong\n")
    run(servers.connect, test, digest(password) if settings == "other password" else Zookeeper(), root)


def test_a_password_that_was_put_right_is_taken_up(servers: RealEnsemble, password: Path) -> None:
    root = "/corrected/era_ap/lab"
    run(servers.connect, _make, digest(password), root)

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one, session = client.ensemble, client.ensemble.session_id
        for _ in range(3):
            with pytest.raises(UnavailableError, match="refuses us"):
                await one.children("members")
        assert one.session_id == session
        await asyncio.to_thread(password.write_text, PASSWORD)
        with pytest.raises(UnavailableError, match="refuses us"):
            await one.children("members")
        await client.until(lambda: one.session_id != session and one.state is SessionState.CONNECTED)
        assert await one.children("members") == ()

    password.write_text("wrong\n")
    run(servers.connect, test, digest(password), root)


def test_a_chroot_whose_parent_is_closed_is_told(servers: RealEnsemble, password: Path) -> None:
    def close() -> None:
        admin = KazooClient(hosts=servers.connect)
        admin.start()
        admin.create(
            "/closed", acl=[make_acl("digest", "admin:x", all=True), make_acl("world", "anyone", read=True)]
        )
        admin.stop()
        admin.close()

    async def test(harness: RealHarness) -> None:
        await asyncio.to_thread(close)
        client = await harness.open()
        with pytest.raises(UnavailableError, match="refuses us"):
            await client.ensemble.make("members")
        advice = told(client, "ZooKeeper refuses us a node")
        assert "/closed/era make the chroot" in advice.replace(
            "the node above does not let us make our own; ", ""
        )

    run(servers.connect, test, digest(password), "/closed/era/era_ap/lab")


def test_sasl(guarded: RealEnsemble, password: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        await works(client)
        session = client.ensemble.session_id
        client.relay.cut()
        await client.until(lambda: client.ensemble.state is SessionState.SUSPENDED)
        await client.relay.mend()
        await client.until(lambda: client.ensemble.state is SessionState.CONNECTED)
        assert client.ensemble.session_id == session
        assert await client.ensemble.children("members") == ("ap1",)
        with pytest.raises(NoAuthError):
            await asyncio.to_thread(acls, guarded.connect, harness.access.root)

    run(guarded.connect, test, digest(password, mechanism=Mechanism.SASL))


def test_a_wrong_sasl_password_is_told_and_a_corrected_one_taken(
    guarded: RealEnsemble, password: Path
) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        assert "authentication failed" in told(client, "ZooKeeper does not take us")
        assert "JAAS" in told(client, "ZooKeeper does not take us")
        assert client.ensemble.state is SessionState.LOST
        assert client.told == []
        await asyncio.to_thread(password.write_text, PASSWORD)
        await works(client)
        assert "wrong" not in str(client.log)

    password.write_text("wrong\n")
    run(guarded.connect, test, digest(password, mechanism=Mechanism.SASL))


def test_a_password_file_that_has_gone_is_told_and_taken_when_it_is_back(
    guarded: RealEnsemble, password: Path
) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await asyncio.to_thread(password.unlink)
        await client.until(lambda: len(client.logged("ZooKeeper does not take us")) == 2)
        assert "password: No such file" in str(client.logged("ZooKeeper does not take us")[1]["detail"])
        await asyncio.to_thread(password.write_text, PASSWORD)
        await works(client)

    password.write_text("wrong\n")
    run(guarded.connect, test, digest(password, mechanism=Mechanism.SASL))


def tls(folder: Path, **files: str) -> Zookeeper:
    paths: dict[str, Any] = {key: folder / name for key, name in files.items()}
    return Zookeeper(tls=True, **paths)


CLIENT = {"cert_file": "client.pem", "key_file": "client.pem"}


def test_tls_with_a_certificate_of_our_own(guarded: RealEnsemble, certificates: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client, second = await harness.open(), await harness.open()
        await works(client)
        one = client.ensemble
        # Many answers at once, of which TLS may read several ahead of those that are asked for.
        await asyncio.gather(*(one.commit(Create(f"members/{n}", bytes(500))) for n in range(200)))
        assert len(await one.children("members")) == 201
        await second.ensemble.make("members")
        nodes = await asyncio.gather(*(second.ensemble.read(f"members/{n}") for n in range(200)))
        assert {len(node.data) for node in nodes if node is not None} == {500}

    run(guarded.connect_tls, test, tls(certificates, ca_file="ca.pem", **CLIENT))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca_file": "stranger.pem", **CLIENT}, "not from ext.zookeeper.ca_file"),
        (CLIENT, "not from ext.zookeeper.ca_file"),
        ({"ca_file": "ca.pem"}, "asks for a client's certificate"),
    ],
    ids=["another authority", "the system's authorities", "no certificate of ours"],
)
def test_tls_that_does_not_match_is_told(
    guarded: RealEnsemble, certificates: Path, settings: dict[str, str], words: str
) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        assert words in told(client, "ZooKeeper does not take us")

    run(guarded.connect_tls, test, tls(certificates, **settings))


def test_a_server_under_another_name_is_not_trusted(guarded: RealEnsemble, certificates: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        assert "lacks the name or address" in told(client, "ZooKeeper does not take us")

    connect = guarded.connect_tls
    run(connect, test, tls(certificates, ca_file="ca.pem", **CLIENT), name="localhost")


def test_tls_to_a_port_in_clear_text_is_told(guarded: RealEnsemble, certificates: Path) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        assert "secureClientPort" in told(client, "ZooKeeper does not take us")

    run(guarded.connect, test, tls(certificates, ca_file="ca.pem", **CLIENT))


def test_clear_text_to_a_port_of_tls_is_told(guarded: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        assert "its port wants TLS" in told(client, "ZooKeeper does not take us")

    run(guarded.connect_tls, test, Zookeeper())
